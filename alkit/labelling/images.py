"""A folder of images: found, checked and known by their content. Nothing is ever written to the folder.

What is made from the images (an index, small pictures, arrays for learners) is kept in another folder, so that a second
look reads only what is new. An image is known by the SHA-256 of its file: it keeps its label when it is moved or
renamed, and a file with other bytes is another image.
"""

import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd
from torch.nn.functional import adaptive_avg_pool2d
from tqdm import tqdm

from alkit.benchmarks.sources.decode import SUFFIXES
from alkit.labelling.rows import Rows
from alkit.learners.pretrained import growing_array
from alkit.store import StoreError, lock, sha256, writable, write_atomic

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # no EPS: Pillow would run a program for it
MOST_BYTES, MOST_PIXELS = 1 << 28, 1 << 26  # of a file, and of a picture: 64 million take 256 MB
SMALL = 32  # px of the pictures for the map, and to find near duplicates by
PLAIN = 256 * 256  # pixels up to which a picture is sent without loss
DIRECTIONS, SAMPLE = 16, 2000  # in which near duplicates are looked for first, and the images that these are made from
CHUNK = 512  # images that are decoded between two writes to disk
MIME = "image/webp"


@dataclass(frozen=True, eq=False)
class Images:
    """The N distinct images of a folder that can be read, in the order of their paths.

    `paths` are relative to `folder`, one for each content; `ids` the SHA-256 of the files; `copies` further paths with
    the same bytes, by id; `unreadable` pairs (path, reason); `sizes_N2` width and height. `keep`: where what is made
    from them is kept.
    """

    folder: Path
    keep: Path
    paths: tuple[str, ...]
    ids: tuple[str, ...]
    copies: dict[str, tuple[str, ...]]
    unreadable: tuple[tuple[str, str], ...]
    sizes_N2: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def all_paths(self, position: int) -> tuple[str, ...]:
        """The paths of the image and of its copies."""
        return (self.paths[position], *self.copies.get(self.ids[position], ()))

    def bytes_of(self, position: int) -> bytes:
        """The bytes of the image's file, or of a copy of it. StoreError where none is what it was any more."""
        for path in self.all_paths(position):
            try:
                data = read_file(self.folder / path)
            except (OSError, ValueError):
                continue
            if sha256(data) == self.ids[position]:
                return data
        raise StoreError(
            f"{self.folder / self.paths[position]} was removed or changed since the folder was looked at; "
            "scan the folder again"
        )

    def there(self, position: int) -> bool:
        """Whether the file, or a copy of it, is still in the folder; its content is not looked at."""
        return any((self.folder / path).is_file() for path in self.all_paths(position))

    def pixels(self, side: int, *, progress: bool = False) -> np.ndarray:
        """uint8 (N, 3, side, side), memory-mapped, made once and gone on with where it was stopped.

        The shorter side is resized to `side`, the middle is taken. StoreError for a file that changed since the scan.
        """
        small = small_pictures(self.keep).known() if side == SMALL else {}
        bar = tqdm(total=len(self), desc=f"images of {side} px", unit="image", disable=not progress, mininterval=2)

        def row(position: int) -> np.ndarray:
            known = small.get(self.ids[position])
            return square(opened(self.bytes_of(position), side), side) if known is None else known

        def rows(start: int, stop: int) -> np.ndarray:
            made = list(map_in_threads(row, range(start, stop)))
            bar.update(stop - bar.n)
            return np.stack(made).reshape(stop - start, -1)

        note = {"side": side, "images": sha256("".join(self.ids).encode())}
        name = f"pixels-{side}-{note['images'][:12]}"
        flat = growing_array(self.keep, name, len(self), CHUNK, lambda: rows, note=note)
        bar.close()
        return flat.reshape(len(self), 3, side, side)

    def picture(self, position: int, longest: int = 1024) -> bytes:
        """The image as a WebP picture (`MIME`) to look at: upright, on white, at most `longest` px on a side."""
        image = opened(self.bytes_of(position), longest)
        image.thumbnail((longest, longest))
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", lossless=image.width * image.height <= PLAIN, quality=90, method=1)
        return buffer.getvalue()


def small_pictures(keep: Path) -> Rows:
    """Small pictures of all images that were ever looked at: a scan decodes every file once, this is what it keeps."""
    return Rows(keep / "small.bin", (3, SMALL, SMALL), "u1")


def default_keep(folder: str | Path) -> Path:
    """Where the session of `folder` is kept where nothing else is said: beside it, in a folder named after it."""
    folder = Path(folder).expanduser().resolve()
    return folder.with_name(f"{folder.name}-labels")


def scan(folder: str | Path, *, keep: str | Path | None = None, progress: bool = False) -> Images:
    """The images of `folder`, at any depth; files that cannot be read are listed, with the reason.

    Hidden files are left out. A file is decoded when it is new or changed (its size or time); what is known is kept in
    `keep` (default: `default_keep`). ValueError where `folder` is none, or `keep` lies in it; StoreError where `keep`
    cannot be written to.
    """
    folder = Path(folder).expanduser().resolve()
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; name the one that holds your images")
    keep = outside(Path(keep).expanduser().resolve() if keep else default_keep(folder), folder)
    writable(keep, "keep=")
    with lock(keep / "scan.lock"):
        return _images(folder, keep, _looked_at(folder, keep, progress))


def outside(place: Path, folder: Path) -> Path:
    """`place`; ValueError where it is `folder` or lies in it."""
    if place == folder or folder in place.parents:
        raise ValueError(f"{place} lies in the folder of images {folder}, which is never written to; name another one")
    return place


def _looked_at(folder: Path, keep: Path, progress: bool) -> dict[str, list]:
    """[size, time, id or None, reason, width, height] of each file by its path, from the index where it is known."""
    index_file = keep / "files.json"
    try:
        known = json.loads(index_file.read_bytes()) if index_file.exists() else {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{index_file} cannot be read ({error}); delete it and scan again") from error
    small = small_pictures(keep)
    kept, found, todo = set(small.known()), {}, []
    for path, size, time in files_in(folder):
        entry = known.get(path)
        if entry and entry[:2] == [size, time] and (entry[2] is None or entry[2] in kept):
            found[path] = entry
        else:
            todo.append((path, size, time))
    bar = tqdm(total=len(todo), desc="looking at images", unit="image", disable=not progress, mininterval=2)
    for start in range(0, len(todo), CHUNK):
        part, made = todo[start : start + CHUNK], {}
        for (path, size, time), (entry, rgb) in zip(
            part, map_in_threads(lambda one: look_at(folder / one[0]), part), strict=True
        ):
            found[path] = [size, time, *entry]
            if rgb is not None and entry[0] not in kept:
                made[entry[0]] = rgb
        small.append(made)
        kept |= set(made)
        write_atomic(index_file, json.dumps(found).encode())
        bar.update(len(part))
    bar.close()
    if not todo and found != known:
        write_atomic(index_file, json.dumps(found).encode())
    return found


def _images(folder: Path, keep: Path, found: dict[str, list]) -> Images:
    by_id: dict[str, list[str]] = {}
    for path in sorted(found):
        if found[path][2]:
            by_id.setdefault(found[path][2], []).append(path)
    paths = tuple(paths[0] for paths in by_id.values())
    sizes = np.array([found[path][4:6] for path in paths], np.int64).reshape(len(paths), 2)
    copies = {one: tuple(rest) for one, (_, *rest) in by_id.items() if rest}
    unreadable = tuple((path, found[path][3]) for path in sorted(found) if not found[path][2])
    return Images(folder, keep, paths, tuple(by_id), copies, unreadable, sizes)


def files_in(folder: Path) -> Iterator[tuple[str, int, int]]:
    """(path, size, time of change in ns) of the files of `folder` whose names end as those of images do."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and name.lower().endswith(SUFFIXES) and path.is_file():
                known = path.stat()
                yield path.relative_to(folder).as_posix(), known.st_size, known.st_mtime_ns


def look_at(path: Path) -> tuple[list, np.ndarray | None]:
    """([id, "", width, height], small picture) of a file, or ([None, reason, 0, 0], None) where it is unreadable."""
    try:
        str(path).encode()
        data = read_file(path)
        small = square(opened(data, SMALL), SMALL)
        with _image(data) as image:
            return [sha256(data), "", *image.size], small
    except UnicodeEncodeError:
        reason = "its name is no valid text; rename it"
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    return [None, reason, 0, 0], None


def read_file(path: Path) -> bytes:
    """The bytes of a file. ValueError where it is empty or too large to be read."""
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if not data:
        raise ValueError("it is empty")
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 20} MB")
    return data


def _image(data: bytes):
    """The image in `data`, not decoded yet. ValueError where it is none, or too large."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("its format is not known") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"it has {image.width} x {image.height} pixels, more than {MOST_PIXELS >> 20} million")
    return image


def opened(data: bytes, side: int):
    """The first picture in `data`, upright, RGB, on white, of about `side` px or more where it has them.

    ValueError where it cannot be decoded. More than 8 bits a channel are scaled to 8.
    """
    from PIL import Image, ImageOps

    image = _image(data)
    image.draft(None, (side, side))  # a large JPEG is decoded at a half, a quarter or an eighth
    try:
        image.load()
        if image.mode.startswith(("I", "F")):
            image = Image.fromarray(_eight_bits(np.asarray(image)))
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:  # a conversion would show the colour that a transparent pixel hides
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"it cannot be decoded ({error})") from error


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of more than 8 bits as uint8: 16-bit ones by their range, others by the smallest and the largest."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    if values.min() >= 0 and 255 < high < 65536:
        low, high = 0, 65535
    elif low >= 0 and high <= 255:
        low, high = 0, 1 if high <= 1 else 255
    return ((values - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)


def square(image, side: int) -> np.ndarray:
    """uint8 (3, side, side): the shorter side resized, the middle taken."""
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def map_in_threads(function: Callable, items) -> Iterator:
    """`map`, by a few threads: Pillow decodes outside Python's lock."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(function, items)


def likeness(small_N3HW: np.ndarray) -> np.ndarray:
    """(N, D) float32 descriptions for `near_duplicates`: the pictures of 16 x 16 pixels, less their mean."""
    x = torch.from_numpy(np.array(small_N3HW))
    parts = [adaptive_avg_pool2d(chunk.float(), 16).flatten(1) for chunk in x.split(4096)]
    return torch.cat([part - part.mean(1, keepdim=True) for part in parts]).numpy()


def near_duplicates(features_ND: np.ndarray, above: float = 0.999) -> list[np.ndarray]:
    """Groups of positions, each of whose members has a cosine above `above` with its first one; largest first.

    With `likeness`, they are the same picture saved again, scaled or made lighter. No position is in two groups, and
    rows of zeros, such as those of pictures of one colour, are in none.
    """
    unit_ND = normalize(np.asarray(features_ND, np.float32))
    taken, groups, reach = ~unit_ND.any(1), [], np.sqrt(2 - 2 * above)
    # unit vectors of such a cosine are less than `reach` apart, and no farther in a projection: look at those near it
    some = unit_ND[:: -(-len(unit_ND) // SAMPLE)]
    directions_dD = randomized_svd(some - some.mean(0), min(DIRECTIONS, *some.shape), random_state=0)[2]
    flat_Nd = unit_ND @ directions_dD.T
    tree = KDTree(flat_Nd)
    for first in np.flatnonzero(~taken).tolist():
        if taken[first]:
            continue
        near = np.sort(tree.query_ball_point(flat_Nd[first], reach + 1e-4))
        near = near[~taken[near] & (near > first)]
        group = np.append(first, near[unit_ND[near] @ unit_ND[first] > above])
        if len(group) > 1:
            taken[group] = True
            groups.append(group)
    return sorted(groups, key=len, reverse=True)


def hash_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
