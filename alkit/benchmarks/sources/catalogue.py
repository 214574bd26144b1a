"""Where images come from: what a reader must know about each source, and how its images are read.

Two sources are made on the spot, by a function each: `digits` and `letters`. All others are read, by `read`, from
normalised files in the data folder, which are made from what the source comes as the first time that they are wanted.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alkit import paths
from alkit.benchmarks.pool import content_order
from alkit.benchmarks.sources import decode
from alkit.benchmarks.sources.files import can_write, write
from alkit.benchmarks.sources.files import read as read_file
from alkit.benchmarks.sources.glyphs import to_grey
from alkit.options import closest
from alkit.paths import data_folder
from alkit.store import StoreError, lock

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@dataclass(frozen=True)
class Source:
    """What a reader must know about a source before using its images, and how it comes to be in the data folder."""

    title: str
    licence: str
    citation: str
    origin: str
    bundled: bool = False  # True: on disk once alkit and its dependencies are installed; nothing to fetch
    files: tuple[str, ...] = ()  # its normalised files, without .npz
    raw: tuple[str, ...] = ()  # what it comes as, in the data folder, where the user has it
    make: Callable[[Path, Path], dict] | None = None  # normalised files from a data folder and a scratch folder
    pinned: bool = True  # False: what `make` reads is the user's own, so that it belongs to one data folder alone


SOURCES = {
    "digits": Source(
        title="Optical recognition of handwritten digits: 1,797 images of 8x8 pixels, 0 to 9",
        licence="CC BY 4.0",
        citation="Alpaydin and Kaynak, 1998. UCI Machine Learning Repository, doi:10.24432/C50P49",
        origin="sklearn.datasets.load_digits",
        bundled=True,
    ),
    "ambiguous": Source(
        title="Ambiguous digits: mixtures of two digits that ten classifiers do not agree on",
        licence="CC BY 4.0 (made from the digits)",
        citation="After NVAE-MNIST of Kim, Kim and Hwang, 2023, arXiv:2303.14433",
        origin="alkit.benchmarks.ambiguous, trained on the digits of the pool",
        bundled=True,
    ),
    "letters": Source(
        title="Letters A to J in 22 type faces: 8x8 pixels, made like the digits from 32x32 bitmaps",
        licence="Fonts: DejaVu (Bitstream Vera licence), STIX (SIL OFL 1.1), Computer Modern (BaKoMa licence)",
        citation="After notMNIST of Bulatov, 2011",
        origin="alkit.benchmarks.sources.glyphs.letters, drawn from the fonts of matplotlib",
        bundled=True,
    ),
    "mnist": Source(
        title="MNIST: 60,000 + 10,000 handwritten digits of 28x28 pixels, 0 to 9",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio and Haffner, 1998. Gradient-based learning applied to document recognition",
        origin="torchvision.datasets.MNIST: downloaded (12 MB) where the raw files are not in the data folder",
        files=("mnist_train", "mnist_test"),
        raw=(
            "MNIST/raw/train-images-idx3-ubyte.gz",
            "MNIST/raw/train-labels-idx1-ubyte.gz",
            "MNIST/raw/t10k-images-idx3-ubyte.gz",
            "MNIST/raw/t10k-labels-idx1-ubyte.gz",
        ),
        make=decode.mnist,
    ),
    "mixmnist_ambiguous": Source(
        title="Ambiguous digits: 15,000 mixtures of MNIST digits that ten classifiers do not agree on, 28x28 pixels",
        licence="CC BY-SA 3.0 (made from MNIST)",
        citation="After NVAE-MNIST of Kim, Kim and Hwang, 2023, arXiv:2303.14433",
        origin="alkit.benchmarks.ambiguous, trained on MNIST: python -m alkit data --rebuild mixmnist",
        files=("mixmnist_ambiguous",),
        pinned=False,
    ),
    "nvae_mnist": Source(
        title="Ambiguous digits made elsewhere, such as NVAE-MNIST: taken where mixmnist_ambiguous.npz holds no votes",
        licence="CC BY-SA 3.0 (made from MNIST)",
        citation="Kim, Kim and Hwang, 2023, arXiv:2303.14433; Vahdat and Kautz, 2020, arXiv:2007.03898",
        origin="`images` uint8 (15000 or more, 28, 28) that you put into the data folder as mixmnist_ambiguous.npz",
    ),
    "notmnist_small": Source(
        title="notMNIST (small, cleaned by hand): 18,724 letters A to J of 28x28 pixels",
        licence="none stated; for research use, cite the author",
        citation="Bulatov, 2011. notMNIST dataset, yaroslavvb.blogspot.com/2011/09/notmnist-dataset.html",
        origin="downloaded (8 MB) where notMNIST_small.tar.gz is not in the data folder",
        files=("notmnist_small",),
        raw=(decode.NOTMNIST,),
        make=decode.notmnist_small,
    ),
    "cifar100": Source(
        title="CIFAR-100: 50,000 + 10,000 colour images of 32x32 pixels, 100 classes in 20 superclasses",
        licence="none stated; cite the author",
        citation="Krizhevsky, 2009. Learning multiple layers of features from tiny images",
        origin="torchvision.datasets.CIFAR100: downloaded (169 MB) where the archive is not in the data folder",
        files=("cifar100_train", "cifar100_test"),
        raw=("cifar-100-python.tar.gz",),
        make=decode.cifar100,
    ),
    "cifar100n": Source(
        title="CIFAR-100N: the class that a person named for each of the 50,000 training images of CIFAR-100",
        licence="CC BY-NC 4.0",
        citation="Wei et al., 2022. Learning with noisy labels revisited, arXiv:2110.12088",
        origin=f"{decode.HUMAN_LABELS} that you put into the data folder: in data/ of {decode.HUMAN_LABELS_FROM}",
        raw=(decode.HUMAN_LABELS,),
    ),
    "svhn": Source(
        title="SVHN, test split: 26,032 colour images of house numbers of 32x32 pixels, 0 to 9",
        licence="for non-commercial use only",
        citation="Netzer et al., 2011. Reading digits in natural images with unsupervised feature learning",
        origin="torchvision.datasets.SVHN: downloaded (64 MB) where test_32x32.mat is not in the data folder",
        files=("svhn",),
        raw=("test_32x32.mat",),
        make=decode.svhn,
    ),
    "lsun_fix": Source(
        title="LSUN-FIX: 10,000 scenes of LSUN, resized without artefacts to 32x32 pixels",
        licence="none stated; for research use, cite the authors",
        citation="Tack, Mo, Jeong and Shin, 2020, arXiv:2007.08176; LSUN: Yu et al., 2015, arXiv:1506.03365",
        origin="LSUN_fix.zip (or the directory LSUN_fix) that you put into the data folder: see github.com/alinlab/CSI",
        files=("lsun_fix",),
        raw=("LSUN_fix.zip", "LSUN_fix"),
        make=decode.lsun_fix,
        pinned=False,
    ),
    "scenes": Source(
        title="Natural scenes (buildings, forest, glacier, mountain, sea, street), 32x32: a stand-in for LSUN-FIX",
        licence="for research use",
        citation="none known; the six classes are those of the Intel image classification challenge, 2018",
        origin="scenes.npz (`images` uint8 (N, 32, 32, 3)) that you put into the data folder",
        files=("scenes",),
        pinned=False,
    ),
    "house_numbers": Source(
        title="House numbers: 7,500 generated colour images of digits in 22 type faces, 32x32: a stand-in for SVHN",
        licence="Fonts: DejaVu (Bitstream Vera licence), STIX (SIL OFL 1.1), Computer Modern (BaKoMa licence)",
        citation="After SVHN of Netzer et al., 2011",
        origin="alkit.benchmarks.sources.house_numbers, drawn from the fonts of matplotlib on first use",
        bundled=True,
        files=("house_numbers",),
        make=decode.house_numbers,
    ),
}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 handwritten digits of scikit-learn: `images_NHW` uint8 (N, 8, 8) and `labels_N` int64 (0..9)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return to_grey(bunch.images), bunch.target.astype(np.int64)


def read(name: str, folder: Path | str | None = None, *, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The arrays of the normalised file `name`: `images` uint8 (N, *shape); `labels`, `label_names` where it has any.

    `name` is a file of a source (`mnist_train`, `scenes`), or a directory of your own images in the data folder. These
    are brought to `shape` (`decode.directory` says how), and read once: delete `<name>.npz` after a change.

    A file that is not there is made first, in the data folder; where that cannot be written to, in the user's cache
    directory, or (a source that is the user's own) in memory alone. ValueError for an unknown name, StoreError for
    images that are missing (it says how to get them), damaged, or of another shape.
    """
    folder = data_folder(folder)
    if not name or Path(name).name != name or name.startswith("."):  # ".." is a name of its own to pathlib
        raise ValueError(
            f"a source of images is named without a path and without a leading dot, got {name!r}: put it into {folder}"
        )
    path = found(name, folder)
    arrays = read_file(path) if path else _make(name, folder, shape)
    if arrays["images"].shape[1:] != shape:
        given = "x".join(map(str, arrays["images"].shape[1:]))
        wanted = "x".join(map(str, shape))
        raise StoreError(
            f"{path or name} holds images of {given}, not {wanted}; name another source, or delete it to have it remade"
        )
    return arrays


def found(name: str, folder: Path) -> Path | None:
    """The normalised file `name`: in the data folder, in the user's cache (unless it is the user's own), or shipped.

    None where it is nowhere. StoreError where the data folder is closed to this user.
    """
    source = _source(name)
    for place in _homes(source, folder) + ((ASSETS,) if source else ()):
        try:
            if (path := place / f"{name}.npz").is_file():
                return path
        except OSError as error:
            if place == folder:
                reason = f"cannot look into {folder}: {error.strerror}"
                raise StoreError(f"{reason}; choose another folder (ALKIT_DATA)") from error
    return None


def _homes(source: Source | None, folder: Path) -> tuple[Path, ...]:
    """Where a file of `source` may be written: what is the user's own must not turn up in another data folder."""
    return (folder, paths.user_cache()) if source and source.pinned else (folder,)


def _source(name: str) -> Source | None:
    return next((source for source in SOURCES.values() if name in source.files), None)


def _make(name: str, folder: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The arrays of a normalised file that is not there yet, which is then written where there is room for it."""
    source = _source(name)
    if source is None and not (folder / name).is_dir():
        known = sorted(file for s in SOURCES.values() for file in s.files)
        raise ValueError(
            f"unknown source of images {name!r}{closest(name, known)}: it is neither one of {', '.join(known)}, "
            f"nor a file {name}.npz or a directory of images {name} in {folder}"
        )
    if source is not None and source.make is None:
        raise StoreError(f"{name}.npz is not in {folder}: {source.origin}")
    home = next((place for place in _homes(source, folder) if can_write(place)), None)
    first = source.files[0] if source else name  # one lock for all files of a source, which are made together
    with lock(home / f".{first}.lock") if home else contextlib.nullcontext():
        if path := found(name, folder):  # made by another process meanwhile
            return read_file(path)
        with _scratch(first, home) as scratch:
            made = source.make(folder, scratch) if source else {name: decode.directory(folder / name, shape)}
        for file, arrays in made.items():
            if home and not found(file, folder):
                write(home, file, **arrays)
    return made[name] | ({"labels": made[name]["labels"].astype(np.int64)} if "labels" in made[name] else {})


@contextlib.contextmanager
def _scratch(name: str, home: Path | None):
    """A folder for downloads, on the disk that the normalised file goes to; gone at the end, whatever happens."""
    for left in home.glob(f".{name}.*.part") if home else ():  # by a process that was killed: the lock is ours
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    with tempfile.TemporaryDirectory(".part", f".{name}.", home, ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


def inventory(folder: Path | str | None = None) -> list[dict]:
    """One row a source: `name`, `state` (bundled, present, raw files present, missing), `bytes` and `paths` on disk."""
    folder = data_folder(folder)
    rows = []
    for name, source in SOURCES.items():
        files = [path for file in source.files if (path := found(file, folder))]
        raw = [folder / file for file in source.raw if (folder / file).exists()]
        complete = bool(files) and len(files) == len(source.files)
        state = "present" if complete else "bundled" if source.bundled else "raw files present" if raw else "missing"
        rows.append({"name": name, "state": state, "bytes": sum(map(_size, files + raw)), "paths": files + raw})
    return rows


def _size(path: Path) -> int:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def stamps(folder: Path, *names: str) -> tuple:
    """Where each of these files is and what tells it from one that replaces it; None for one that is nowhere.

    Benchmarks are cached by it. A time alone would not do: a clock may be set back, and those of file systems are
    coarse. A file that replaces another while that is there has another inode.
    """
    paths = [found(name, folder) for name in names]
    return tuple(path and (path, (stat := path.stat()).st_mtime_ns, stat.st_ino, stat.st_size) for path in paths)


def read_labelled(name: str, folder: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """`read` of a source that must have labels with names. StoreError where it has none."""
    arrays = read(name, folder, shape=shape)
    if missing := [key for key in ("labels", "label_names") if key not in arrays]:
        what = f"{name}.npz holds no {' and no '.join(missing)}"
        if _source(name):
            raise StoreError(f"{what}; delete it to have it made again")
        remedy = f"put every image into the subdirectory of its class, delete {name}.npz and run again"
        raise StoreError(f"{what}; {remedy}")
    return arrays


def draw_by_content(arrays, count: int, part: str, source: str, *, among: np.ndarray | None = None) -> np.ndarray:
    """Rows of `count` images (of those in the mask `among`), drawn by content: uniform, and the same every time."""
    rows = np.arange(len(arrays["images"])) if among is None else np.flatnonzero(among)
    if len(rows) < count:
        raise StoreError(
            f"{source} has {len(rows)} images for the {part} part, which needs {count}: get all of it, or another"
        )
    ties = [arrays["labels"][rows]] if "labels" in arrays else []  # some sources hold an image twice, under two labels
    return rows[content_order([arrays["images"][row] for row in rows], part, *ties)[:count]]
