"""Copies of the notebooks that run at profile `smoke`, for nbval: python tests/smoke_notebooks.py FOLDER.

Committed notebooks hold the outputs of their own parameters. What is checked of them (cells tagged
`nbval-check-output`) is what does not depend on the profile.
"""

import sys
from pathlib import Path

import nbformat
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from alkit import paths
from alkit.study.batch import notebook_runs

SMOKE = {"profile": "smoke", "n_seeds": 2}


def write(folder: Path) -> list[Path]:
    """The copies; a notebook that has neither parameter is copied as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem in notebook_runs.notebooks():
        path = paths.NOTEBOOKS / f"{stem}.ipynb"
        given = {name: value for name, value in SMOKE.items() if name in notebook_runs.parameters(path)}
        book = load_notebook_node(str(path))
        nbformat.write(parameterize_notebook(book, given) if given else book, folder / path.name)
    return sorted(folder.glob("*.ipynb"))


if __name__ == "__main__":
    print(*write(Path(sys.argv[1])), sep="\n")
