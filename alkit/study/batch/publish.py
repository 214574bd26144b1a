"""Executed notebooks: made ready to be read on a plain web page, where no plotly figure is drawn."""

import base64
import io
import os
import re
from pathlib import Path

import nbformat

from alkit.store import writable, write_atomic

PLOTLY = "application/vnd.plotly.v1+json"
NO_PICTURE = ": no picture was drawn"
WIDTH = 900  # pixels of a picture, as wide as a page shows it
LINK = re.compile(r"\]\((?!\w+://|#)([^)#\s]+)")


def drop_what_is_of_mixdigits(path: Path, benchmark: str) -> None:
    """Take cells that are about MixDigits out of an executed notebook: it has figures of its own (tag "picture").

    Of another `benchmark` it has a text of its own, too (tag "mixdigits").
    """
    dropped = {"picture"} if benchmark == "mixdigits" else {"picture", "mixdigits"}
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not dropped & {*cell.metadata.get("tags", [])}]
    write_atomic(path, nbformat.writes(notebook).encode())


def relink(path: Path, old: Path, *, targets: Path, new: Path | None = None) -> None:
    """Rewrite links in the notebook at `path` that hold from the folder `old` to hold from `new`, or from its own.

    These are all links of the text, and frames and links of outputs to files of the folder `targets`.
    """
    new = new or path.parent
    notebook = nbformat.read(path, as_version=4)
    was, now = (Path(os.path.relpath(targets, folder)).as_posix() for folder in (old, new))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, old, new)
        for data in (output.get("data", {}) for output in cell.get("outputs", ())):
            if html := data.get("text/html"):
                data["text/html"] = re.sub(rf'(src|href)="{re.escape(was)}/', rf'\1="{now}/', html)
            if text := data.get("text/markdown"):
                data["text/markdown"] = linked(text, old, new)
    write_atomic(path, nbformat.writes(notebook).encode())


def linked(text: str, old: Path, new: Path) -> str:
    """Markdown with its relative links, written as seen from the folder `old`, as seen from `new`.

    A link to what lies in `new` under the same name stays: it leads to a copy that belongs there.
    """

    def seen(match):
        target = match[1]
        if (new / target).exists() or not (old / target).exists():
            return match[0]
        return f"]({Path(os.path.relpath(old / target, new)).as_posix()}"

    return LINK.sub(seen, text)


def publish(path: Path, folder: Path, prefix: str, *, old: Path) -> Path:
    """A copy of the executed notebook at `path` in `folder`/notebooks/`prefix`, its figures pictures; returns its path.

    `old`: the folder from which its links are seen.

    The pictures are those that the notebook has saved in `folder` as `prefix`-<kind>.png; `kind` is read from each
    figure's `layout.meta`. A figure without a picture (there was no browser to draw it) is left out, with a line that
    says so. Progress bars and papermill's marks are dropped.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        if cell.cell_type == "code":
            outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            cell.outputs = [_pictured(output, folder, prefix) for output in outputs]
    target = writable(folder / "notebooks" / prefix) / path.name
    write_atomic(target, nbformat.writes(notebook).encode())
    relink(target, old, targets=folder)
    return target


def embed(path: Path, folder: Path, prefix: str) -> None:
    """Put pictures in the place of the figures of the notebook at `path`, which has saved them as `publish` says.

    So a single file shows them, on a plain web page too. Progress bars are dropped. ValueError for a figure that is to
    stay and has no picture: there was no browser to draw it.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            cell.outputs = [_pictured(output, folder, prefix) for output in outputs]
            lacking = [o for o in cell.outputs if str(o.get("data", {}).get("text/plain", "")).endswith(NO_PICTURE)]
            if lacking and "keep_output" in cell.metadata.get("tags", []):
                raise ValueError(f"{path.name}: {lacking[0].data['text/plain']}; install a Chrome and run again")
    write_atomic(path, nbformat.writes(notebook).encode())


def _pictured(output, folder: Path, prefix: str):
    """`output` with a picture in the place of a plotly figure."""
    if PLOTLY not in output.get("data", {}):
        return output
    layout = output.data[PLOTLY]["layout"]
    title, kind = _title(layout), layout.get("meta", {}).get("kind")
    picture = folder / f"{prefix}-{kind}.png"
    if kind and picture.exists():
        data = {"image/png": _small(picture), "text/plain": title}
    else:
        data = {"text/plain": f"{title}{NO_PICTURE}"}
    return nbformat.v4.new_output("display_data", data)


def _title(layout: dict) -> str:
    text = layout.get("title", {}).get("text", "figure")
    return " ".join(re.sub(r"<.*?>", " ", text).split())


def _small(picture: Path) -> str:
    """The picture on white, `WIDTH` pixels wide, in 128 colours: base64 of a PNG of some 50 kB."""
    from PIL import Image

    image = Image.open(picture).convert("RGBA")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    size = (WIDTH, round(image.height * WIDTH / image.width))
    small = ground.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.quantize(128, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
