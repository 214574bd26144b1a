"""Every relative link of what people read leads to a file that is there, and to a heading that it has."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("figures/**/*.md"),
    *ROOT.glob("notebooks/**/*.md"),
    *ROOT.glob("tests/**/*.md"),
    *ROOT.glob("notebooks/*.ipynb"),
    *ROOT.glob("figures/*/notebooks/*/*.ipynb"),
]
TEXTS = ROOT / "notebooks" / "texts"  # shown inside notebooks, so their links are seen from there
GALLERY = ROOT / "figures" / "README.md"

CODE = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"\]\(<?([^)\s>]+)")
FRAME = re.compile(r'\b(?:src|href)="([^"]+)"')
ELSEWHERE = re.compile(r"[a-z]+:")  # https:, mailto:, data:


def contents(path):
    """(Markdown, HTML) that a reader of the file sees."""
    if path.suffix == ".md":
        return [CODE.sub("", path.read_text())], []
    cells = nbformat.read(path, as_version=4).cells
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    return texts + [data.get("text/markdown", "") for data in shown], [data.get("text/html", "") for data in shown]


def anchors(path):
    """The names under which GitHub offers the headings of a Markdown file."""
    titles = re.findall(r"^#+ (.+)$", CODE.sub("", path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(path):
    texts, pages = contents(path)
    found = [*LINK.findall("\n".join(texts)), *FRAME.findall("\n".join(pages))]
    return [link for link in found if not ELSEWHERE.match(link)]


def broken(path, seen_from=None):
    """The links of the file that lead nowhere, as seen from the folder `seen_from` (default: its own)."""
    wrong = []
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (seen_from or path.parent) / name if name else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


def test_documents_and_notebooks_are_found_and_have_links():
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "figures/README.md", "notebooks/sweeps/README.md"} <= names
    assert sum(path.suffix == ".ipynb" for path in DOCUMENTS) > 14 and len(links(ROOT / "README.md")) > 30


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_what_is_there(path):
    assert broken(path, ROOT / "notebooks" if path.parent == TEXTS else None) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# A title: of two\n")
    text = "[1](b.md) [2](c.md) ![3](d.png) [4](b.md#a-title-of-two) [5](b.md#another) [6](#one) [7](https://a.b/c)"
    (tmp_path / "a.md").write_text(text + "\n# One\n```\n[8](e.md)\n```\n")
    assert broken(tmp_path / "a.md") == ["c.md", "d.png", "b.md#another"]
    html = nbformat.v4.new_output("display_data", {"text/html": '<a href="b.md">x</a><iframe src="gone.html">'})
    cells = [nbformat.v4.new_markdown_cell("[x](gone.ipynb)"), nbformat.v4.new_code_cell("1", outputs=[html])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert broken(tmp_path / "a.ipynb") == ["gone.ipynb", "gone.html"]


def test_gallery_has_one_line_for_every_picture():
    lines = GALLERY.read_text().splitlines()
    pictures = sorted(ROOT.glob("figures/*/*.png"))
    assert {path.parent.name for path in pictures} == {"labelling", "mixcifar60", "mixdigits", "mixmnist", "speed"}
    assert len(pictures) > 75
    for picture in pictures:
        link = f"]({picture.relative_to(GALLERY.parent).as_posix()})"
        assert sum(line.startswith("| [") and link in line for line in lines) == 1, link


def test_readme_is_short_and_its_lines_too():
    """Tables and links, which cannot be broken, may be longer."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 200
    assert [line for line in lines if len(line) > 110 and not line.startswith("|") and "](" not in line] == []


def test_every_new_name_of_the_map_of_modules_is_a_module():
    """The map of old and new names in the CHANGELOG."""
    rows = re.findall(r"^\| `.*\| (`.*`) \|$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    names = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    places = {name: ROOT.joinpath("alkit", *name.split(".")) for name in names}
    assert len(names) > 45
    assert [name for name, path in places.items() if not (path.is_dir() or path.with_suffix(".py").is_file())] == []
