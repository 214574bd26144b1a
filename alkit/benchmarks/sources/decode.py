"""From what a source comes as (archives, torchvision's files, directories) to the arrays of its normalised files.

Each function takes the data folder, where the user may have put the raw files, and a scratch folder for what has to be
downloaded. It returns, for each normalised file, its arrays; StoreError says which file is missing and how to get it.
`human_labels` is of no images and makes no file.
"""

import hashlib
import io
import pickle
import shutil
import warnings
from collections.abc import Collection
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from alkit.benchmarks.sources import downloads
from alkit.store import StoreError

Arrays = dict[str, np.ndarray]


HUMAN_LABELS, HUMAN_LABELS_FROM = "CIFAR-100_human.pt", "github.com/UCSC-REAL/cifar-10-100n"
HUMAN_LABELS_SHA256 = (  # of that file, and of the one in CIFAR-N.zip of October 2021, with the same labels
    "bd2d80409754d420292d622e15e25248ba21e37d27429efac49c8da723f44394",
    "3ca5e261fcff3a50f5c19044daa342e6b5392eb0ef70c5b9761766f5f9c68192",
)
NOTMNIST = "notMNIST_small.tar.gz"
NOTMNIST_URLS = (
    "https://commondatastorage.googleapis.com/books1000/notMNIST_small.tar.gz",
    "http://yaroslavvb.com/upload/notMNIST/notMNIST_small.tar.gz",
)
NOTMNIST_SIZE, NOTMNIST_MD5 = 8_458_043, "c9890a473a9769fda4bdf314aaf500dd"
NOTMNIST_IMAGES = 18_724
NOTMNIST_BROKEN = {  # empty files of the archive
    "A/RGVtb2NyYXRpY2FCb2xkT2xkc3R5bGUgQm9sZC50dGY=.png",
    "F/Q3Jvc3NvdmVyIEJvbGRPYmxpcXVlLnR0Zg==.png",
}
LSUN_IMAGES = 10_000  # of LSUN_fix.zip
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def mnist(folder: Path, scratch: Path) -> dict[str, Arrays]:
    """MNIST's training and test digits, through torchvision."""
    from torchvision.datasets import MNIST

    raw = {f"MNIST/raw/{file}": md5 for file, md5 in MNIST.resources}
    build = partial(MNIST, scratch, download=True)
    parts = _torchvision(folder, scratch, raw, lambda: {"train": build(train=True), "test": build(train=False)})
    return {f"mnist_{split}": _numbered(part.data.numpy(), part.targets.numpy()) for split, part in parts.items()}


def _numbered(images: np.ndarray, labels: np.ndarray) -> Arrays:
    return {"images": images, "labels": labels.astype(np.uint8), "label_names": np.array(list("0123456789"))}


def cifar100(folder: Path, scratch: Path) -> dict[str, Arrays]:
    """CIFAR-100's training and test images with their superclasses, through torchvision."""
    from torchvision.datasets import CIFAR100

    raw = {CIFAR100.filename: CIFAR100.tgz_md5}
    build = partial(CIFAR100, scratch, download=True)
    parts = _torchvision(folder, scratch, raw, lambda: {"train": build(train=True), "test": build(train=False)})
    return {f"cifar100_{split}": _cifar_arrays(scratch, split, part) for split, part in parts.items()}


def _cifar_arrays(scratch: Path, split: str, part) -> Arrays:
    """torchvision reads no superclasses; they are in the files whose checksums it has just verified."""
    files = [scratch / part.base_folder / file for file in (split, "meta")]
    stored = [pickle.loads(file.read_bytes(), encoding="latin1") for file in files]
    return {
        "images": part.data,
        "labels": np.array(part.targets, np.uint8),
        "label_names": np.array(part.classes),
        "coarse_labels": np.array(stored[0]["coarse_labels"], np.uint8),
        "coarse_label_names": np.array(stored[1]["coarse_label_names"]),
    }


def human_labels(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-100N: the class of each training image of CIFAR-100 and the one that a person named; int64 (50000,), 0..99.

    Images are in the order of CIFAR-100's archive, classes in that of the alphabet. StoreError where the file is not in
    the data folder or is not as published; nothing in it is executed.
    """
    import torch

    path = folder / HUMAN_LABELS
    remedy = f"take data/{HUMAN_LABELS} from {HUMAN_LABELS_FROM} and put it into {folder}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}; {remedy}") from error
    if (found := hashlib.sha256(content).hexdigest()) not in HUMAN_LABELS_SHA256:
        raise StoreError(f"{path} is none of the published files: its SHA-256 is {found}; {remedy}")
    rebuild = np.zeros(0).__reduce__()[0]  # numpy's own function, which the file calls by the name it had in numpy 1
    allowed = [(rebuild, "numpy.core.multiarray._reconstruct"), np.ndarray, np.dtype, type(np.dtype(np.int64))]
    with torch.serialization.safe_globals(allowed):
        stored = torch.load(io.BytesIO(content), weights_only=True)
    return stored["clean_label"], stored["noisy_label"]


def svhn(folder: Path, scratch: Path) -> dict[str, Arrays]:
    """SVHN's test split, the one that is common in OoD detection, through torchvision."""
    from torchvision.datasets import SVHN

    _, file, md5 = SVHN.split_list["test"]
    part = _torchvision(folder, scratch, {file: md5}, lambda: SVHN(scratch, split="test", download=True))
    return {"svhn": _numbered(np.ascontiguousarray(part.data.transpose(0, 2, 3, 1)), part.labels)}


def _torchvision(folder: Path, scratch: Path, raw: dict[str, str], build):
    """What `build` makes in `scratch`, from the user's `raw` files (path: MD5) where they are there, else downloaded.

    torchvision downloads nothing that is already in place with the right checksum, and unpacks beside the files; in a
    scratch folder it neither needs a data folder that can be written to, nor leaves half of something in it.
    """
    for name, md5 in raw.items():
        if (folder / name).exists():
            if not downloads.matches(folder / name, md5):
                raise StoreError(f"{folder / name} is damaged: its MD5 is not {md5}; delete it, or get it again")
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, scratch / name)
    try:
        with downloads.patience():
            return build()
    except (OSError, RuntimeError) as error:
        wanted = ", ".join(name for name in raw if not (folder / name).exists()) or "what they hold"
        reason = " ".join(str(error).split())  # torchvision's has several lines
        raise StoreError(
            f"could not get {wanted} for {folder}: {reason}; put what is missing there by hand, or try again"
        ) from error


def notmnist_small(folder: Path, scratch: Path) -> dict[str, Arrays]:
    """18,724 letters A to J of 28x28 pixels; two files of the archive are broken, and left out by name."""
    archive = folder / NOTMNIST
    if not archive.exists():
        try:
            archive = downloads.download(NOTMNIST_URLS, scratch / NOTMNIST, size=NOTMNIST_SIZE, md5=NOTMNIST_MD5)
        except StoreError as error:
            raise StoreError(f"{error}; put it there by hand as {archive}, or try again") from error
    elif not downloads.matches(archive, NOTMNIST_MD5):
        raise StoreError(f"{archive} is damaged: its MD5 is not {NOTMNIST_MD5}; delete it, or get it again")
    images, names = decode(archive, shape=(28, 28), exact=True, leave_out=NOTMNIST_BROKEN)
    if len(images) != NOTMNIST_IMAGES:
        raise StoreError(f"{archive} holds {len(images)} images, not {NOTMNIST_IMAGES}; get it again")
    return {"notmnist_small": {"images": images, **labelled([PurePosixPath(name).parent.name for name in names])}}


def lsun_fix(folder: Path, scratch: Path) -> dict[str, Arrays]:
    """LSUN-FIX, from `LSUN_fix.zip` or the directory `LSUN_fix` in the data folder: colour images of 32x32 pixels."""
    for place in (folder / "LSUN_fix.zip", folder / "LSUN_fix"):
        if place.exists():
            images, _ = decode(place, shape=(32, 32, 3), exact=True)
            if len(images) != LSUN_IMAGES:
                raise StoreError(f"{place} holds {len(images)} images, not LSUN-FIX's {LSUN_IMAGES}; get it again")
            return {"lsun_fix": {"images": images}}
    raise StoreError(
        f"LSUN-FIX is not in {folder}, and has no stable address to download it from: get LSUN_fix.zip through the "
        "page of its authors (Tack et al., 2020: github.com/alinlab/CSI, section 'Datasets') and put it there, or "
        f"unpacked as {folder / 'LSUN_fix'}; or name another source in its place"
    )


def house_numbers(folder: Path, scratch: Path) -> dict[str, Arrays]:
    """7,500 generated house numbers: what MixCIFAR60 takes of SVHN."""
    from alkit.benchmarks.sources import house_numbers as drawn

    try:
        images, labels = drawn.house_numbers(7500)
    except ImportError as error:
        raise StoreError(f"house_numbers are drawn with matplotlib's fonts: {error}; pip install matplotlib") from error
    return {"house_numbers": _numbered(images, labels)}


def directory(place: Path, shape: tuple[int, ...]) -> Arrays:
    """A directory of images, at any depth: resized so that the shorter side fits (antialiased), then centre-cropped.

    `shape` is (S, S) for grey and (S, S, 3) for colour images. Where every image lies in a subdirectory, those of the
    first level are the classes, in alphabetical order: `labels`, `label_names`. Where only some do, no image has a
    label, and a warning says so. Transparent pixels are shown on white. Hidden files are left out.
    """
    images, names = decode(place, shape=shape, exact=False)
    beside = [name for name in names if "/" not in name]
    if not beside:
        return {"images": images, **labelled([name.split("/")[0] for name in names])}
    if len(beside) < len(names):
        warnings.warn(
            f"no image of {place} has a label, because {len(beside)} of {len(names)} lie in no subdirectory (such as "
            f"{beside[0]}); if the subdirectories are classes, move these, delete {place.name}.npz and read it again",
            stacklevel=2,
        )
    return {"images": images}


def labelled(classes: list[str]) -> Arrays:
    """Labels for the name of each image's class: 0 is the first name of the alphabet."""
    names, labels = np.unique(np.array(classes), return_inverse=True)
    return {"labels": labels.astype(np.uint8 if len(names) <= 256 else np.int64), "label_names": names}


def decode(
    place: Path, *, shape: tuple[int, ...], exact: bool, leave_out: Collection[str] = ()
) -> tuple[np.ndarray, list[str]]:
    """The images of a directory or an archive, uint8 (N, *shape), and their names. StoreError where there are none.

    `exact`: they must be of that size and mode as they are. Else they are converted, resized and cropped. `leave_out`:
    files by the last two parts of their names.
    """

    def wanted(name: str) -> bool:
        hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))  # archives made on a Mac hold some
        return not hidden and name.lower().endswith(SUFFIXES) and "/".join(name.split("/")[-2:]) not in leave_out

    images, names = [], []
    for name, data in downloads.files_in(place, wanted):
        images.append(_image(f"{place}: {name}", data, shape, exact))
        names.append(name)
    if not images:
        raise StoreError(f"{place} holds no images ({', '.join(SUFFIXES)})")
    return np.stack(images), names


def _image(name: str, data: bytes, shape: tuple[int, ...], exact: bool) -> np.ndarray:
    from PIL import Image, ImageOps, UnidentifiedImageError
    from torchvision.transforms import InterpolationMode, functional

    mode, side = "L" if len(shape) == 2 else "RGB", shape[0]
    if not data:
        raise StoreError(f"{name} is an empty file; delete it or get it again")
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # the words of UnidentifiedImageError name an object in memory
        reason = "its format is not known" if isinstance(error, UnidentifiedImageError) else error
        raise StoreError(f"{name} is no image that can be read ({reason}); delete it or get it again") from error
    if exact and (image.mode, image.size) != (mode, (side, side)):
        given = f"mode {image.mode} and {image.width}x{image.height} pixels"
        raise StoreError(f"{name} is an image of {given}, not of mode {mode} and {side}x{side}: get the right archive")
    if image.mode.startswith(("I", "F")):
        raise StoreError(f"{name} has more than 8 bits a channel (mode {image.mode}); save it with 8")
    if not exact:
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:  # a conversion would show the colour that a transparent pixel hides
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = functional.resize(image.convert(mode), side, InterpolationMode.BILINEAR, antialias=True)
        image = functional.center_crop(image, [side, side])
    return np.array(image)
