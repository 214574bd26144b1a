"""`python -m alkit label`: notebook 8 with the reader's values, in the session's folder."""

import ast
import os
import sys

import nbformat
import numpy as np
import pytest
from folders import features_for, folder_of_digits

from alkit import labelling
from alkit.study import cli


@pytest.fixture
def started(monkeypatch):
    """The commands that would be started."""
    commands = []
    monkeypatch.setattr(os, "execv", lambda path, command: commands.append(command) or sys.exit(0))
    return commands


def values_of(notebook):
    """The parameters that the notebook was given."""
    (cell,) = [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])]
    return {s.targets[0].id: ast.literal_eval(s.value) for s in ast.parse(cell.source).body}


def label(*words):
    with pytest.raises(SystemExit) as ended:
        cli.main(["label", *map(str, words)])
    assert ended.value.code == 0


def test_notebook_is_opened_with_folder_and_classes_and_goes_on_with_others(tmp_path, started):
    folder = folder_of_digits(tmp_path, 4)
    label(folder, "--classes", "a cat", 'dog "x"', "--no-browser")
    copy = tmp_path / "images-labels" / "label.ipynb"
    opened = "--LabApp.default_url=/lab/tree/label.ipynb"
    assert started == [[sys.executable, "-m", "jupyterlab", str(copy), opened, "--no-browser"]]
    notebook = nbformat.read(copy, as_version=4)
    nbformat.validate(notebook)
    values = values_of(notebook)
    assert values["folder"] == str(folder) and values["where"] == str(copy.parent)
    assert values["classes"] == ["a cat", 'dog "x"'] and values["annotator"] not in ("", "scripted")
    assert values["features"] == "efficientnet_lite0" and values["budget"] == 0
    assert not any("picture" in cell.metadata.get("tags", []) for cell in notebook.cells)
    assert "](02_contrastive" not in copy.read_text()  # links hold from here

    notebook.cells.append(nbformat.v4.new_markdown_cell("a note of mine"))
    nbformat.write(notebook, copy)
    label(folder, "--classes", "cat", "--budget", 9, "--annotator", "ann", "--", "--allow-root", "--port", 8890)
    assert started[1][4:] == [opened, "--allow-root", "--port", "8890"]
    notebook = nbformat.read(copy, as_version=4)
    assert notebook.cells[-1].source == "a note of mine"
    assert {**values, "classes": ["cat"], "budget": 9, "annotator": "ann"} == values_of(notebook)
    assert sorted(path.name for path in folder.iterdir()) == [f"{i:06}.png" for i in range(4)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "--classes", "cat"], "there is no folder"),
        (["images", "--classes", "cat", "cat"], "names of their own"),
        (["images", "--classes", "skip"], "is an answer for images of no class"),
        (["images", "--classes", "cat", "--strategy", "marginal"], "unknown strategy"),
        (["images", "--classes", "cat", "--features", "nonsense"], "unknown features"),
        (["images", "--classes", "cat", "--features", "gone.npy"], "there is no file"),
        (["images", "--classes", "cat", "--into", "images/labels"], "never written to"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(tmp_path, monkeypatch, capsys, started, words, said):
    folder_of_digits(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["label", *words]) == 2
    assert said in capsys.readouterr().err and not started
    assert [path.name for path in tmp_path.iterdir()] == ["images"] and len(list((tmp_path / "images").iterdir())) == 2


@pytest.mark.slow
def test_whole_notebook_runs_on_a_folder_of_ones_own_before_and_after_answers(tmp_path, started, monkeypatch):
    import papermill

    monkeypatch.setenv("ALKIT_DATA", str(tmp_path / "data"))
    folder = folder_of_digits(tmp_path, 60)
    images = labelling.scan(folder)
    features = features_for(images, tmp_path)
    label(folder, "--classes", 0, 1, 2, "--features", features, "--annotator", "ann")
    copy = tmp_path / "images-labels" / "label.ipynb"
    papermill.execute_notebook(str(copy), str(tmp_path / "first.ipynb"), progress_bar=False)
    with labelling.Session(copy.parent, images, ["0", "1", "2"], features=features, annotator="ann") as session:
        for number in range(30):
            session.answer(session.question().number, np.array(["0", "1", "2", "not mine"])[number % 4])
    papermill.execute_notebook(str(copy), str(tmp_path / "second.ipynb"), progress_bar=False)
    text = (tmp_path / "second.ipynb").read_text()
    assert "answers from earlier: 30 " in text and "widget-view" in text
    assert (copy.parent / "labels.csv").read_text().count("\n") == 31 and (copy.parent / "predictions.csv").exists()
    assert [path.name for path in (tmp_path / "data" / "pools").iterdir()] == ["mine.npz"]
