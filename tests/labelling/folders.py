"""Folders of images for sessions: the tiny benchmark as PNG files, and a pool of any size without files."""

from pathlib import Path

import numpy as np
from conftest import tiny_benchmark

from alkit import labelling
from alkit.labelling.images import SMALL, Images
from alkit.store import sha256

DIGITS = ("0", "1", "2")


def folder_of_digits(place: Path, count: int = 60) -> Path:
    """The first `count` images of the tiny benchmark as files of `place`/images."""
    return labelling.write_folder(tiny_benchmark(), place / "images", count)


def features_for(images: Images, place: Path) -> str:
    """A file of features, one row an image: its pixels at 4 px, which are fitted in a moment."""
    rows = images.pixels(4).reshape(len(images), -1)[:, ::3]
    np.save(place / "features.npy", rows.astype(np.float32) - rows.mean())
    return str(place / "features.npy")


def session_of(place: Path, count: int = 60, *, folder: Path | None = None, **options) -> labelling.Session:
    """A session on the tiny benchmark's images, in `place`/session, with pixels for features."""
    images = labelling.scan(folder or folder_of_digits(place, count), keep=place / "session")
    options = {"classes": DIGITS, "features": features_for(images, place), "stage_looks": 10, **options}
    return labelling.Session(place / "session", images, options.pop("classes"), **options)


def truth(question: labelling.Question) -> str:
    """What the tiny benchmark knows of an image."""
    return labelling.Scripted(tiny_benchmark())(question)


class NoFiles(Images):
    """Images that are there without files; a picture is made up."""

    def there(self, position: int) -> bool:
        return True

    def picture(self, position: int, longest: int = 1024) -> bytes:
        return b"RIFF"


def pool_without_files(place: Path, n: int, width: int = 16) -> tuple[Images, str]:
    """(images, file of features) of `n` made-up images in a few clusters."""
    stream = np.random.default_rng(0)
    ids = tuple(sha256(str(i).encode()) for i in range(n))
    paths = tuple(f"{i:06}.png" for i in range(n))
    images = NoFiles(place / "nowhere", place, paths, ids, {}, (), np.full((n, 2), SMALL))
    centres = 4 * stream.normal(size=(12, width))
    features = centres[stream.integers(0, 12, n)] + stream.normal(size=(n, width))
    np.save(place / "features.npy", features.astype(np.float32))
    return images, str(place / "features.npy")
