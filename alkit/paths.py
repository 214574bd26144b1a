"""Where things are: the checkout, runs, data, notebooks and figures."""

import os
import sys
from pathlib import Path

from alkit.store import writable


def runs_folder() -> Path:
    """Where runs and what they leave go: `ALKIT_RUNS`, else `runs/` in the checkout, else in the working folder."""
    if folder := os.environ.get("ALKIT_RUNS"):
        return Path(folder).expanduser().resolve()
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "notebooks").is_dir() else Path.cwd()) / "runs"


def data_folder(folder: Path | str | None = None) -> Path:
    """Where images are kept: `folder`, else the environment variable `ALKIT_DATA`, else the user's cache directory."""
    if folder := folder or os.environ.get("ALKIT_DATA"):
        return Path(folder).expanduser().resolve()
    return user_cache()


def user_cache() -> Path:
    """alkit's folder in the user's cache directory: `XDG_CACHE_HOME` where it is set, else what the platform has."""
    if os.path.isabs(xdg := os.environ.get("XDG_CACHE_HOME", "")):
        return Path(xdg) / "alkit"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "alkit"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "alkit"


ROOT = Path(__file__).resolve().parent.parent


NOTEBOOKS = ROOT / "notebooks"


def outputs(benchmark: str, profile: str) -> Path:
    """Where executed notebooks of this benchmark and profile go."""
    return runs_folder() / "notebooks" / f"{benchmark}-{profile}"


def figures_folder(publish: bool) -> Path:
    """Where figures and result tables go: the committed `figures/` if `publish`, else `figures/` among the runs."""
    return writable(ROOT / "figures" if publish else runs_folder() / "figures")
