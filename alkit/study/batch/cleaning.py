"""What alkit leaves in a runs folder, and its removal."""

import shutil
from pathlib import Path

from alkit.store import StoreError

OURS = (  # what alkit leaves in a runs folder; two dashes: benchmark-profile-name
    "cells/*-*/*+*-s*/*",
    "cache/*-*.*",
    "logs/*-*/*+*-s*.log",
    "notebooks/*-*/[0-9][0-9]_*.ipynb",
    "notebooks/*-*/.*.part.ipynb",
    "figures/*-*-*",
    "figures/plotly.min.js",
    "figures/*/*-*.html",
    "figures/*/*-*.png",
    "figures/speed/*.html",
    "figures/speed/*.png",
    "figures/*/plotly.min.js",
    "figures/results/*-*.csv",
    "figures/**/.*.part",
)


def remove(folder: Path) -> None:
    """Delete `folder` if alkit made every file in it; StoreError, with nothing deleted, where one is not its own."""
    ours = {path for pattern in OURS for path in folder.glob(pattern)}
    files = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    foreign = [path for path in files if path not in ours]
    if foreign or folder.is_symlink() or not folder.is_dir():
        named = ", ".join(str(path.relative_to(folder)) for path in foreign[:5]) or "it is no folder of its own"
        raise StoreError(f"{folder} holds things that are not alkit's ({named}); delete it by hand")
    shutil.rmtree(folder)
