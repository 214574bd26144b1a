"""Where things are: the checkout, runs, data, notebooks and figures."""

import os
import re
import sys
from pathlib import Path

from alkit.options import closest
from alkit.store import StoreError, writable

ROOT = Path(__file__).resolve().parent.parent  # of the checkout, where there is one
NOTEBOOKS = ROOT / "notebooks"
IN_CHECKOUT = (ROOT / "pyproject.toml").is_file()
OWN = "own"  # what the names of pools of one's own begin with, as in "own-mine"


def checkout(what: str) -> Path:
    """The root of the checkout. StoreError, saying what is missing, where alkit was installed without one."""
    if not IN_CHECKOUT:
        raise StoreError(
            f"{what} are not part of an installed alkit, but of a checkout of its repository: "
            "clone that, install it with pip install --editable '.[study]', and run this there"
        )
    return ROOT


def runs_folder() -> Path:
    """Where runs and what they leave go: `ALKIT_RUNS`, else `runs/` in the checkout, else in the working folder."""
    if folder := os.environ.get("ALKIT_RUNS"):
        return Path(folder).expanduser().resolve()
    return (ROOT if IN_CHECKOUT else Path.cwd()) / "runs"


def data_folder(folder: Path | str | None = None) -> Path:
    """Where images are kept: `folder`, else the environment variable `ALKIT_DATA`, else the user's cache directory."""
    if folder := folder or os.environ.get("ALKIT_DATA"):
        return Path(folder).expanduser().resolve()
    return user_cache()


def pools_folder(folder: Path | str | None = None) -> Path:
    """Where pools of one's own are kept, a file each: `pools/` in the data folder."""
    return data_folder(folder) / "pools"


def own_pools(folder: Path | str | None = None) -> list[str]:
    """The names of the pools of one's own, such as "own-mine", in alphabetical order."""
    return sorted(f"{OWN}-{path.stem}" for path in pools_folder(folder).glob("*.npz") if is_pool_name(path.stem))


def is_pool_name(name: str) -> bool:
    """Whether a pool may be called that: what follows "own-" is of small letters, digits and _."""
    return re.fullmatch(r"[a-z0-9_]+", name) is not None


def own_pool(benchmark: str, folder: Path | str | None = None) -> Path:
    """The file of a pool of one's own, such as "own-mine"; ValueError, with all names, where there is no such pool."""
    known = own_pools(folder)
    if benchmark not in known:
        listed = ", ".join(known) or "none; notebook 8 makes one, and benchmarks.own.save of arrays of yours"
        where = pools_folder(folder)
        raise ValueError(f"there is no pool {benchmark!r}{closest(benchmark, known)} in {where}; there are: {listed}")
    return pools_folder(folder) / f"{benchmark.partition('-')[2]}.npz"


def user_cache() -> Path:
    """alkit's folder in the user's cache directory: `XDG_CACHE_HOME` where it is set, else what the platform has."""
    if os.path.isabs(xdg := os.environ.get("XDG_CACHE_HOME", "")):
        return Path(xdg) / "alkit"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "alkit"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "alkit"


def outputs(benchmark: str, profile: str) -> Path:
    """Where executed notebooks of this benchmark and profile go."""
    return runs_folder() / "notebooks" / f"{benchmark}-{profile}"


def figures_folder(publish: bool) -> Path:
    """Where figures and result tables go: the committed `figures/` if `publish`, else `figures/` among the runs."""
    if publish:
        return writable(checkout("committed figures") / "figures")
    return writable(writable(runs_folder(), runs=True) / "figures")


def figure_place(results: str, publish: bool) -> tuple[Path, str]:
    """The folder of the figures of one set of results, and what their names begin with.

    `results` is its label (`study.tables.label`): "mixdigits-laptop-beyond" gives (figures/mixdigits, "laptop-beyond").
    """
    pool, _, prefix = results.partition("-")
    return writable(figures_folder(publish) / pool), prefix
