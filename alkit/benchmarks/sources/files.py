"""The data folder, and the normalised files in it: `<name>.npz`, each with its SHA-256 beside it in `<name>.sha256`.

A normalised file holds `images` (uint8, NHW or NHWC) and, where there are any, `labels` (0..K-1), `label_names` and
what else its source knows. It is written whole or not at all. One that was put there by hand needs no `.sha256`.
"""

import hashlib
import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from alkit.store import StoreError, writable, write_atomic

SYNONYMS = {"fine_labels": "labels", "fine_label_names": "label_names"}  # CIFAR-100's own names, as others store them


KNOWN = ("images", "labels", "label_names", "coarse_labels", "coarse_label_names", "votes", "parents", "provenance")


def can_write(folder: Path) -> bool:
    """Whether files may be made in `folder`, which is made if need be."""
    try:
        # the superuser can write anywhere; a folder that nobody is meant to write to is left alone all the same
        return not (folder.exists() and not folder.stat().st_mode & 0o222) and bool(writable(folder))
    except (OSError, StoreError):
        return False


def check_writable(folder: Path) -> None:
    """StoreError where no files may be made in `folder`."""
    if not can_write(folder):
        raise StoreError(f"cannot write to {folder}; choose another folder (ALKIT_DATA)")


def write(folder: Path, name: str, *, compress: bool = False, **arrays: np.ndarray) -> Path:
    """The normalised file `name`.npz and its SHA-256. StoreError, with nothing left behind, where the disk is full."""
    check_writable(folder)
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **arrays)
    content, path = buffer.getbuffer(), folder / f"{name}.npz"
    path.with_suffix(".sha256").unlink(missing_ok=True)  # first: an old sum beside a new file would be a lie
    write_atomic(path, content)
    write_atomic(path.with_suffix(".sha256"), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())
    return path


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a normalised file, checked: `images`, and those of `KNOWN` that it holds; labels are int64.

    StoreError where it is damaged, is no .npz file or holds something else; it says which, and what to do.
    """
    remedy = "delete it (and its .sha256) to have it made again, or put the right file there"
    try:
        with open(path, "rb") as file:
            _check_sum(path, file, remedy)
            if not zipfile.is_zipfile(file):
                raise StoreError(f"{path} is no .npz file, or only part of one; {remedy}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                named = {SYNONYMS.get(name, name): name for name in stored.files}
                arrays = {name: stored[named[name]] for name in KNOWN if name in named}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StoreError(f"{path} cannot be read: {error}; {remedy}") from error
    if problem := _problem(arrays):
        raise StoreError(f"{path} is not a file of images: {problem}; {remedy}")
    if "labels" in arrays:
        arrays["labels"] = arrays["labels"].astype(np.int64)
    return arrays


def _check_sum(path: Path, file, remedy: str) -> None:
    sidecar = path.with_suffix(".sha256")
    if not sidecar.exists():
        return
    found = hashlib.file_digest(file, "sha256").hexdigest()
    if sidecar.read_text(errors="replace").split()[:1] != [found]:
        raise StoreError(
            f"{path} was truncated or edited: its SHA-256 is {found}, not what {sidecar.name} says; {remedy} "
            f"(where you put it there yourself, delete {sidecar.name} alone)"
        )
    file.seek(0)


def _problem(arrays: dict[str, np.ndarray]) -> str | None:
    """What is wrong with the arrays of a normalised file, or None."""
    images = arrays.get("images")
    if images is None:
        return "it holds no array `images`"
    if images.dtype != np.uint8 or not (images.ndim == 3 or images.ndim == 4 and images.shape[3] == 3):
        return f"`images` must be uint8 of shape (N, H, W) or (N, H, W, 3), got {images.dtype} of shape {images.shape}"
    for name in ("labels", "coarse_labels"):
        labels, names = arrays.get(name), arrays.get(name[:-1] + "_names")
        if labels is None:
            continue
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            given = f"{labels.dtype} of shape {labels.shape}"
            return f"`{name}` must be whole numbers, one an image ({len(images)}), got {given}"
        if len(labels) and (labels.min() < 0 or names is not None and labels.max() >= len(names)):
            return f"`{name}` must be from 0 up and have a name each, got {labels.min()} to {labels.max()}"
    return None
