"""The removal of what alkit wrote in a runs folder, and of nothing else.

What alkit wrote stands in a list in each folder (`store.record`). Files of runs before version 0.2.0 stand in none.
"""

import contextlib
import os
from pathlib import Path

from alkit.store import OWN, StoreError


def files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files below `folder` that alkit wrote, and all others, links among them; no link is followed.

    StoreError where `folder` is no folder of its own.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise StoreError(f"{folder} is no folder of its own; delete it by hand")
    own, others = [], []
    for here, folders, names in os.walk(folder):
        place = Path(here)
        listed = _listed(place)
        links = [name for name in folders if (place / name).is_symlink()]
        for name in sorted([*names, *links]):
            mine = not (place / name).is_symlink() and (name in listed or _written(name) in listed)
            (own if mine else others).append(place / name)
    return own, sorted(others)


def remove(folder: Path) -> list[Path]:
    """Delete what alkit wrote below `folder`, and the folders that are empty then; returns the files that stay.

    StoreError where something cannot be deleted.
    """
    own, others = files(folder)
    try:
        for path in sorted(own, key=lambda path: path.name == OWN):  # lists last: what is left is still known
            path.unlink()
        for place in sorted({above for path in own for above in path.parents}, reverse=True):
            if place == folder or folder in place.parents:
                with contextlib.suppress(OSError):  # it holds something else
                    place.rmdir()
    except OSError as error:
        raise StoreError(f"could not delete {error.filename or folder}: {error.strerror}; delete it by hand") from error
    return others


def _listed(folder: Path) -> set[str]:
    """The names of alkit's own files in `folder`, its list among them."""
    own = folder / OWN
    return {OWN, *own.read_text().splitlines()} if own.is_file() and not own.is_symlink() else set()


def _written(name: str) -> str:
    """The name of the file that a write which was killed would have given to the part `name`; "" for other names."""
    return name[1:].rsplit(".", 2)[0] if name.startswith(".") and name.endswith(".part") else ""
