"""Executed notebooks for plain web pages: pictures in the place of figures, nothing of the machine left."""

import base64
import io

import nbformat
import numpy as np
import pytest
from PIL import Image

from alkit.study.batch import publish


def figure(kind):
    layout = {"title": {"text": "<b>Curves</b><br>of a test"}, "meta": {"kind": kind}}
    return {publish.PLOTLY: {"data": [], "layout": layout}}


def cell(source, *outputs, tags=()):
    made = nbformat.v4.new_code_cell(source, execution_count=1, outputs=list(outputs))
    made.metadata = {"tags": list(tags), "papermill": {"duration": 1.0}, "execution": {"when": "now"}}
    return made


@pytest.fixture
def notebook(tmp_path):
    """An executed notebook with a table, two figures and a progress bar, and the picture of one of the figures."""
    book = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "P"}, "papermill": {"path": "/somewhere"}}
    )
    output = nbformat.v4.new_output
    book.cells = [
        nbformat.v4.new_markdown_cell("![a](b.png)", metadata={"tags": ["picture"]}),
        nbformat.v4.new_markdown_cell("about its digits", metadata={"tags": ["mixdigits"]}),
        nbformat.v4.new_markdown_cell("text"),
        cell("1 + 1", output("execute_result", {"text/plain": "2"}), tags=["keep_output"]),
        cell("for kind in kinds:\n    display(keep(figures.curves(results), kind))",
             output("stream", name="stderr", text="50%|##"), output("display_data", figure("curves"))),
        cell('display(keep(figures.samples(a), "samples"))', output("display_data", figure("samples"))),
    ]  # fmt: skip
    nbformat.write(book, tmp_path / "01.ipynb")
    pixels = np.zeros((400, 1800, 4), np.uint8)
    pixels[:200] = (10, 90, 200, 255)  # the lower half is transparent
    Image.fromarray(pixels).save(tmp_path / "pool-laptop-curves.png")
    return tmp_path / "01.ipynb"


def test_pictures_and_the_text_of_another_pool_are_dropped_and_nothing_else(notebook):
    before = nbformat.read(notebook, as_version=4)
    publish.drop_what_is_of_mixdigits(notebook, "mixdigits")
    assert nbformat.read(notebook, as_version=4).cells == before.cells[1:]
    publish.drop_what_is_of_mixdigits(notebook, "mixmnist")
    assert nbformat.read(notebook, as_version=4).cells == before.cells[2:]


def test_published_copy_shows_pictures_and_keeps_no_trace_of_the_run(notebook, tmp_path):
    content = notebook.read_bytes()
    path = publish.publish(notebook, tmp_path, "pool-laptop", old=tmp_path)
    assert path == tmp_path / "notebooks" / "pool-laptop" / "01.ipynb" and notebook.read_bytes() == content
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.metadata == {"kernelspec": {"name": "python3", "display_name": "P"}}
    assert [set(cell.metadata) for cell in book.cells] == [{"tags"}, {"tags"}, set(), {"tags"}, set(), set()]
    (table,), (curves,), (samples,) = (cell.outputs for cell in book.cells if cell.cell_type == "code")
    assert table.data["text/plain"] == "2"
    picture = Image.open(io.BytesIO(base64.b64decode(curves.data["image/png"]))).convert("RGB")
    assert picture.size == (900, 200)
    assert picture.getpixel((450, 20)) == (10, 90, 200) and picture.getpixel((450, 180)) == (255, 255, 255)
    assert "Curves" in curves.data["text/plain"]
    assert samples.data == {"text/plain": "Curves of a test: no picture was drawn"}


def test_pictures_take_the_place_of_figures_in_the_notebook_itself_and_a_missing_one_is_an_error(notebook, tmp_path):
    publish.embed(notebook, tmp_path, "pool-laptop")
    book = nbformat.read(notebook, as_version=4)
    (table,), (curves,), _ = (cell.outputs for cell in book.cells if cell.cell_type == "code")
    assert table.data["text/plain"] == "2" and "image/png" in curves.data and publish.PLOTLY not in curves.data
    book.cells[-1].metadata["tags"] = ["keep_output"]
    book.cells[-1].outputs = [nbformat.v4.new_output("display_data", figure("samples"))]
    nbformat.write(book, notebook)
    before = notebook.read_bytes()
    with pytest.raises(ValueError, match="01.ipynb: Curves of a test: no picture was drawn; install a Chrome"):
        publish.embed(notebook, tmp_path, "pool-laptop")
    assert notebook.read_bytes() == before


def test_frames_and_links_hold_from_where_the_executed_notebook_lies(tmp_path):
    html = (
        '<iframe src="../runs/figures/page.html"></iframe><a href="../runs/figures/page.html">x</a><a href="../x">y</a>'
    )
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", {"text/html": html})])
    path = tmp_path / "runs" / "notebooks" / "pool-laptop" / "03.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    publish.relink(path, tmp_path / "notebooks", targets=tmp_path / "runs" / "figures")
    shown = nbformat.read(path, as_version=4).cells[0].outputs[0].data["text/html"]
    assert shown == html.replace("../runs/figures/", "../../figures/")


def test_links_of_the_text_lead_to_the_copy_beside_it_or_to_what_they_led_to(tmp_path):
    old, new = tmp_path / "notebooks", tmp_path / "figures" / "pool" / "laptop"
    for path in (old / "03.ipynb", old / "05.ipynb", new / "03.ipynb", tmp_path / "README.md"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    text = "[3](03.ipynb), [5](05.ipynb), [here](../README.md#harder), [none](x.md), [a](https://a.org/b), [b](#c)"
    moved = text.replace("(05.", "(../../../notebooks/05.").replace("(../README", "(../../../README")
    output = nbformat.v4.new_output("display_data", {"text/markdown": text})
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("1", outputs=[output])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), new / "07.ipynb")
    publish.relink(new / "07.ipynb", old, targets=tmp_path / "figures")
    book = nbformat.read(new / "07.ipynb", as_version=4)
    assert book.cells[0].source == book.cells[1].outputs[0].data["text/markdown"] == moved
    assert publish.linked(moved, new, old) == moved.replace("../../../notebooks/05", "05").replace("../../../", "../")
