"""Which executed notebooks need not be executed again: nothing that they are made from has changed since.

Beside an executed notebook lies a note: a hash of what it was made from (the notebook, its parameters, all of alkit,
the notebooks' texts, the committed tables, the versions of packages) and the files that it wrote among the figures.
"""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from alkit import paths
from alkit.store import canonical, write_atomic

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "pandas",
    "plotly",
    "umap-learn",
    "matplotlib",
    "anywidget",
)
SEEN_OTHERWISE = ("publish", "own")  # parameters by which a notebook writes or reads what is not hashed here


def note_of(output: Path) -> Path:
    return output.with_suffix(".made.json")


def made_from(notebook: Path, given: dict) -> str:
    """A hash of everything that the executed notebook depends on."""
    found = hashlib.sha256(canonical({"given": given, "versions": [_version(name) for name in PACKAGES]}).encode())
    package = Path(paths.__file__).parent
    sources = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    texts = list((paths.NOTEBOOKS / "texts").glob("*.md"))
    tables = list((paths.ROOT / "figures" / "results").glob("*.csv"))
    for path in [notebook, *sorted(sources + texts + tables)]:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.name} {content}\n".encode())
    return found.hexdigest()


def is_unchanged(notebook: Path, output: Path, given: dict) -> bool:
    """Whether `output` is what executing the notebook would make again, and all that it wrote is still there."""
    if any(given.get(name) for name in SEEN_OTHERWISE):
        return False
    try:
        note = json.loads(note_of(output).read_bytes())
        whole = note["notebook"] == hashlib.sha256(output.read_bytes()).hexdigest()
        there = all((paths.figures_folder(False) / name).is_file() for name in note["figures"])
        return whole and there and note["made from"] == made_from(notebook, given)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def remember(notebook: Path, output: Path, given: dict, since: float) -> None:
    """Note what `output` was made from, and the figures and tables that were written from the time `since` on."""
    folder = paths.figures_folder(False)
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mtime >= since]
    note = {
        "made from": made_from(notebook, given),
        "notebook": hashlib.sha256(output.read_bytes()).hexdigest(),
        "figures": sorted(path.relative_to(folder).as_posix() for path in files if not path.name.startswith(".")),
    }
    write_atomic(note_of(output), json.dumps(note, indent=1).encode())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
