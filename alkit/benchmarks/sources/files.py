"""Checked files of arrays: `<name>.npz`, each with its SHA-256 beside it in `<name>.sha256`.

`write` and `read_arrays` are for any arrays, such as what MixDigits reads. A *normalised* file is one of images:
`images` (uint8, NHW or NHWC) and, where there are any, `labels` (0..K-1), `label_names` and what else its source knows;
`read` checks that, too. Files are written whole or not at all. A normalised file that was put there by hand needs no
`.sha256`.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from alkit.store import StoreError, writable, write_atomic

SYNONYMS = {"fine_labels": "labels", "fine_label_names": "label_names"}  # CIFAR-100's own names, as others store them
KNOWN = ("images", "labels", "label_names", "coarse_labels", "coarse_label_names", "votes", "parents", "provenance")
MAKE_AGAIN = "delete it and its .sha256 to have it made again (if you put it there yourself, delete its .sha256 alone)"


def can_write(folder: Path) -> bool:
    """Whether files may be made in `folder`, which is made if need be."""
    try:
        check_writable(folder)
        return True
    except StoreError:
        return False


def check_writable(folder: Path, setting: str = "ALKIT_DATA") -> None:
    """StoreError where no files may be made in `folder`, which is made if need be; `setting` names what chooses it."""
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        closed = not nearest.stat().st_mode & 0o222
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; choose another folder ({setting})") from error
    if closed:  # the superuser could write there; a folder that nobody is meant to write to is left alone all the same
        raise StoreError(f"cannot write to {folder}: it is closed to writing; choose another folder ({setting})")
    writable(folder, setting)


def write(folder: Path, name: str, *, compress: bool = False, **arrays: np.ndarray) -> Path:
    """Write `name`.npz and its SHA-256; returns its path. StoreError, with nothing left behind, on a full disk."""
    check_writable(folder)
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **arrays)
    content, path = buffer.getbuffer(), folder / f"{name}.npz"
    path.with_suffix(".sha256").unlink(missing_ok=True)  # first: an old sum beside a new file would be a lie
    write_atomic(path, content)
    write_atomic(path.with_suffix(".sha256"), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())
    return path


def read_arrays(path: Path, remedy: str, *, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file by name, or `only` some of them, none unpickled.

    StoreError, ending in `remedy`, where the file cannot be read or is not what its SHA-256 says.
    """
    try:
        with open(path, "rb") as file:
            _check_sum(path, file, remedy)
            if not zipfile.is_zipfile(file):
                raise StoreError(f"{path} is no .npz file, or only part of one; {remedy}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files if only is None or name in only}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StoreError(f"{path} cannot be read: {error}; {remedy}") from error


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a normalised file: `images`, and those of `KNOWN` that it holds; labels are int64.

    StoreError where it is damaged, is no .npz file or holds something else; it says which, and what to do.
    """
    stored = read_arrays(path, MAKE_AGAIN, only=(*KNOWN, *SYNONYMS))
    named = {SYNONYMS.get(name, name): array for name, array in stored.items()}
    arrays = {name: named[name] for name in KNOWN if name in named}
    if problem := _problem(arrays):
        raise StoreError(f"{path} is not a file of images: {problem}; {MAKE_AGAIN}")
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
            f"{path} was truncated or edited: its SHA-256 is {found}, not what {sidecar.name} says; {remedy}"
        )
    file.seek(0)


def _problem(arrays: dict[str, np.ndarray]) -> str | None:
    """What is wrong with the arrays of a normalised file, or None."""
    images = arrays.get("images")
    if images is None:
        return "it holds no array `images`"
    if images.dtype != np.uint8 or not (images.ndim == 3 or images.ndim == 4 and images.shape[3] == 3):
        return f"`images` must be uint8 of shape (N, H, W) or (N, H, W, 3), got {images.dtype} of shape {images.shape}"
    if not images.size:
        return "it holds no image"
    for name in ("labels", "coarse_labels"):
        labels, names = arrays.get(name), arrays.get(name[:-1] + "_names")
        if labels is None:
            continue
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            given = f"{labels.dtype} of shape {labels.shape}"
            return f"`{name}` must be whole numbers, one an image ({len(images)}), got {given}"
        if labels.min() < 0 or names is not None and labels.max() >= len(names):
            return f"`{name}` must be from 0 up and have a name each, got {labels.min()} to {labels.max()}"
    return None
