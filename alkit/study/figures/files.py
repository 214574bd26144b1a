"""Writing figures: an HTML page that is the same byte for byte on every run and, where there is a browser, a PNG."""

import importlib.util
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from uuid import uuid4

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from alkit.store import record

_failed: set[str] = set()  # browsers that failed once are not tried again in this process


def save(
    fig: go.Figure, name: str, folder: str | Path, *, copy_to: str | Path | None = None, timeout: float = 60.0
) -> list[Path]:
    """Write `<name>.html` and, if a browser is found, `<name>.png` at 2x into `folder`; return the paths that exist.

    All pages of a folder share one `plotly.min.js` beside them. Files are replaced whole, never half-written. The PNG
    is drawn anew only when the HTML has changed or the PNG is missing. `copy_to` gets a copy of the PNG alone; where
    none was drawn, an older one there is deleted. `BROWSER_PATH` names a browser of your choice (a path that does not
    exist: no PNG). A browser that fails or takes longer than `timeout` seconds costs the PNG and one warning. Errors:
    ValueError for a name that is not letters, digits, `-` and `_`; OSError, naming the folder, if it is not writable.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"a figure's name may hold letters, digits, '-' and '_', got {name!r}")
    folder = Path(folder)
    page, picture = folder / f"{name}.html", folder / f"{name}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "plotly.min.js", get_plotlyjs().encode())
        changed = _replace(page, _html(fig, name).encode())
        if changed:
            picture.unlink(missing_ok=True)  # never a picture of an older figure beside the page
        browser = None if picture.exists() else find_browser()
        if browser and browser not in _failed:
            _draw(fig, picture, browser, timeout)
        if copy_to is not None:
            _copy(picture, Path(copy_to))
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write figure {name!r} into the folder {folder}: {error.strerror}"
        ) from error
    return [path for path in (page, picture) if path.exists()]


def find_browser() -> str | None:
    """`BROWSER_PATH`, else the Chrome or Chromium that kaleido would use; None if there is none, or no kaleido."""
    if importlib.util.find_spec("kaleido") is None:
        return None
    from choreographer.browsers.chromium import Chromium

    path = os.environ.get("BROWSER_PATH") or Chromium.find_browser(skip_local=False)
    return path if path and os.access(path, os.X_OK) else None


def _html(fig: go.Figure, name: str) -> str:
    html = fig.to_html(include_plotlyjs="directory", div_id=name, config={"displaylogo": False})
    head = f'<head><title>{name}</title><meta name="color-scheme" content="light dark">'  # dark page for dark readers
    return html.replace("<head>", head, 1)


def _replace(path: Path, content: bytes) -> bool:
    """Give `path` this content in one step; False if it had it already."""
    if path.exists() and path.read_bytes() == content:
        return False
    record(path)
    part = _part(path)
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return True


def _copy(picture: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if picture.exists():
        _replace(folder / picture.name, picture.read_bytes())
    else:
        (folder / picture.name).unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex}.part")


def _draw(fig: go.Figure, picture: Path, browser: str, timeout: float) -> None:
    record(picture)
    part = _part(picture)
    worker = [sys.executable, "-P", str(Path(__file__).with_name("render.py")), str(part), str(timeout)]
    try:
        done = subprocess.run(
            worker,
            input=fig.to_json(),
            text=True,
            capture_output=True,
            timeout=timeout + 20,
            check=False,
            env={**os.environ, "BROWSER_PATH": browser},
        )
        problem = (
            "" if part.exists() and done.returncode == 0 else (done.stderr.strip() or "no output").splitlines()[-1]
        )
        if not problem:
            os.replace(part, picture)
    except subprocess.TimeoutExpired:
        problem = f"no answer within {timeout + 20:g} s"
    finally:
        part.unlink(missing_ok=True)
    if problem:
        _failed.add(browser)
        warnings.warn(
            f"the browser {browser} drew no PNG of {picture.stem!r} ({problem}); no more PNGs in this process, "
            "the HTML pages are complete",
            stacklevel=3,
        )
