"""The removal of a runs folder, with all that alkit wrote in it, and nothing else."""

import contextlib
import json
import re
import shutil
from pathlib import Path

from alkit.recipes import PROFILES
from alkit.store import TABLES, StoreError

RUN = {"config.json", "progress.json", ".lock", *TABLES}  # beside learner.<stage>.pt
CACHED = re.compile(r"[a-z]+(?:-[a-z]+)?-([0-9a-f]{12}(-pool|-test)?\.(pt|json|npz|npy|lock)|[a-z0-9_-]+\.lock)")
FIGURES = {".html", ".png", ".csv"}
PART = re.compile(r"\.(.+)\.[0-9a-f]+\.part")  # of a write that was killed: the file's name is inside


def remove(folder: Path) -> None:
    """Delete `folder` if alkit wrote every file in it.

    StoreError, with nothing deleted, where it holds another file or a link; and where it cannot be deleted.
    """
    files = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    foreign = [path for path in files if path.is_symlink() or not written_by_alkit(path, folder)]
    if foreign or folder.is_symlink() or not folder.is_dir():
        named = ", ".join(str(path.relative_to(folder)) for path in foreign[:5]) or "it is no folder of its own"
        raise StoreError(f"{folder} holds things that are not alkit's ({named}); delete it by hand")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"could not delete {error.filename or folder}: {error.strerror}; delete it by hand") from error


def written_by_alkit(path: Path, runs: Path) -> bool:
    """Whether the file at `path` is one that alkit writes there, below the folder `runs`.

    A run is known by its config.json, an executed notebook by papermill's mark in it, a log by its first characters;
    figures, tables and what runs share are known by folder and name.
    """
    kind, *folders = path.relative_to(runs).parent.parts or ("",)
    name = PART.sub(r"\1", path.name)
    match kind, len(folders):
        case "cells", 2:
            begun = name != path.name or (name == ".lock" and not path.stat().st_size)  # before there is a config.json
            return (name in RUN or re.fullmatch(r"learner\.\d+\.pt", name) is not None) and (
                begun or _is_run(path.parent)
            )
        case "cache", 0:
            return CACHED.fullmatch(name) is not None
        case "logs", 1:
            return path.suffix == ".log" and path.read_bytes().startswith(b"--- ")
        case "notebooks", 1:
            return _is_executed(path)
        case "figures", _:
            named = folders[:1] == ["speed"] or bool({*Path(name).stem.split("-")} & {*PROFILES})
            return name == "plotly.min.js" or (named and Path(name).suffix in FIGURES)
    return False


def _is_run(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return {"config", "about"} <= set(json.loads((folder / "config.json").read_bytes()))
    return False


def _is_executed(notebook: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return "papermill" in json.loads(notebook.read_bytes())["metadata"]
    return False
