"""Features of the images of a folder, kept by content: when files come, only theirs are computed."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from alkit import acquisition, recipes
from alkit.labelling.images import Images, hash_of, map_in_threads, opened, square
from alkit.labelling.rows import Rows
from alkit.learners.base import Setting
from alkit.learners.pretrained import given_array, network, resized
from alkit.learners.representation import Representation, first_representation
from alkit.recipes import Recipe
from alkit.runtime import default_device, resident
from alkit.store import Cache, StoreError, canonical, lock, sha256, writable, write_atomic
from alkit.training import autocast

CONTRASTIVE_SIDE = 32  # px of the images that `contrastive` features are trained on
GROWTH = 2  # times as many images as a network was trained on: then it is trained anew, on all
PIECE = 128  # images that go through a network at once
SAMPLE = 64  # images that the time of the features is measured on


def features_file(
    images: Images,
    features: str,
    seed: int,
    *,
    recipe: Recipe | None = None,
    side: int | None = None,
    progress: bool = False,
) -> Path:
    """A file .npy with a row of features for each of the `images`; see `Session` for the arguments.

    Rows are kept by the images' content, so that only those of images never seen before are computed, and a kill loses
    at most the last few hundred. `contrastive` features are trained on the images of the first call, and on all of them
    anew once there are twice as many. ValueError or StoreError for an array of one's own that does not fit the images.
    """
    known = sha256("".join(images.ids).encode())
    if features.endswith(".npy"):
        check_rows(Path(features), images, known)
        return Path(features)
    source = (Contrastive if features == "contrastive" else Network)(images, features, seed, recipe, side, progress)
    body = body_of(images, source)
    path = body.with_name(f"{body.stem}-{known[:12]}.npy")
    with lock(body.with_suffix(".lock")):
        if not path.exists():
            buffer = io.BytesIO()
            np.save(buffer, _all_rows(images, source, body, progress))
            write_atomic(path, buffer.getvalue())
            for other in body.parent.glob(f"{body.stem}-*.npy"):  # of images that the folder held before
                if other != path:
                    other.unlink(missing_ok=True)
    return path


def _all_rows(images: Images, source: "Network | Contrastive", body: Path, progress: bool) -> np.ndarray:
    """The rows of all images, those that are not kept computed first."""
    rows = rows_in(body, source)
    todo = missing(images, rows)
    bar = tqdm(total=len(todo), desc=f"features: {source.name}", unit="image", disable=not progress, mininterval=2)
    make = source.make() if todo else None
    for start in range(0, len(todo), PIECE):
        part = todo[start : start + PIECE]
        assert make is not None
        made = make(part)
        if rows is None:
            about = {"made from": source.made_from, "width": made.shape[1]}
            write_atomic(body.with_suffix(".json"), json.dumps(about, indent=1).encode())
            rows = Rows(body, made.shape[1:], source.dtype)
        rows.append({images.ids[position]: row for position, row in zip(part, made, strict=True)})
        bar.update(len(part))
    bar.close()
    assert rows is not None
    return rows.of(images.ids)


def body_of(images: Images, source: "Network | Contrastive") -> Path:
    """The file that keeps the rows of a source."""
    return writable(images.keep / "features") / f"rows-{sha256(canonical(source.made_from).encode())[:12]}.bin"


def rows_in(body: Path, source: "Network | Contrastive") -> Rows | None:
    """The rows that are kept; None where there are none yet, and their width is not known."""
    note = body.with_suffix(".json")
    return Rows(body, (json.loads(note.read_bytes())["width"],), source.dtype) if note.exists() else None


def missing(images: Images, rows: Rows | None) -> list[int]:
    """Positions of the images that have no row."""
    known = rows.known() if rows else {}
    return [position for position, one in enumerate(images.ids) if one not in known]


class Network:
    """Features of a network that was trained on other images, from the files themselves."""

    dtype = "f2"

    def __init__(self, images, name, seed, recipe, side, progress):
        self.images, self.name, self.recipe = images, name, recipe or recipe_of(name)
        self.side, self.device = side or self.recipe.pre_side, default_device()
        size, bf16 = self.recipe.pre_side, self.recipe.bf16
        self.made_from = {"features": name, "side": [self.side, size], "bf16": bf16, "device": self.device.type}

    def make(self) -> Callable[[list[int]], np.ndarray]:
        """Load the network; a function that gives rows by positions."""
        net, scale = network(self.name)
        net = net.to(self.device).to(memory_format=torch.channels_last)

        def pixels(position: int) -> np.ndarray:
            return square(opened(self.images.bytes_of(position), self.side), self.side)

        @torch.inference_mode()
        def rows(positions: list[int]) -> np.ndarray:
            x = torch.from_numpy(np.stack(list(map_in_threads(pixels, positions)))).to(self.device)
            with autocast(self.recipe, self.device):
                return net(scale(resized(x, self.recipe.pre_side))).float().cpu().numpy()

        return rows


class Contrastive:
    """Features of an encoder that is trained on the images themselves, without a label."""

    name, dtype = "contrastive", "f4"

    def __init__(self, images, name, seed, recipe, side, progress):
        self.images, recipe, self.side = images, recipe or recipe_of(name), side or CONTRASTIVE_SIDE
        self.pixels = images.pixels(self.side, progress=progress)
        known, note = sha256("".join(images.ids).encode()), writable(images.keep / "features") / "trained.json"
        options = {"recipe": json.loads(canonical(asdict(recipe))), "side": self.side, "seed": seed}
        trained = json.loads(note.read_bytes()) if note.exists() else {}
        if trained.get("options") != options or len(images) >= GROWTH * trained["count"]:
            trained = {"options": options, "images": known, "count": len(images)}
            write_atomic(note, json.dumps(trained, indent=1).encode())
        cache = Cache(images.keep / "features", images=trained["images"], side=self.side)
        self.setting = Setting(resident(self.pixels, default_device()), 1, recipe, seed, cache, progress)
        self.made_from = {"trained": trained, "device": self.setting.images_NCHW.device.type}

    def make(self) -> Callable[[list[int]], np.ndarray]:
        """Train the encoder, where that was not done; a function that gives rows by positions."""
        representation, _ = first_representation(self.setting)
        return lambda positions: representation.features("encoder", self.setting.images_NCHW[positions])


def recipe_of(features: str) -> Recipe:
    """The numbers for pictures of things: MixCIFAR60's `laptop` ones, with all threads."""
    return replace(recipes.recipe("mixcifar60", "laptop"), cpu_threads=0)


def check_rows(path: Path, images: Images, known: str) -> None:
    """Hold an array of features to the images that it was first used with: a row has no name of its own.

    ValueError where it has another number of rows; StoreError where it was used with other images before.
    """
    given_array(path, 0, len(images), len(images))
    rows = len(np.load(path, mmap_mode="r"))
    how = "one row for each of Images.paths, in their order"
    if rows != len(images):
        raise ValueError(f"{path} has {rows} rows for {len(images)} distinct images; make it again: {how}")
    note = writable(images.keep) / f"rows-{hash_of(path)[:16]}.txt"
    if note.exists() and note.read_text() != known:
        raise StoreError(f"{path} was made for other images: files came or went since; make it again: {how}")
    write_atomic(note, known.encode())


def seconds_for(images: Images, features: str, *, recipe: Recipe | None = None, side: int | None = None) -> float:
    """About how many seconds the features take on this machine, by a trial on a few images; 0 for an array.

    Those of a network count for images that have none yet, contrastive ones for training on all images.
    """
    if features.endswith(".npy"):
        return 0.0
    recipe = recipe or recipe_of(features)
    device, count = default_device(), min(SAMPLE, len(images))
    if features == "contrastive":
        x = torch.zeros(count, 3, side or CONTRASTIVE_SIDE, side or CONTRASTIVE_SIDE, dtype=torch.uint8, device=device)
        trial = Representation(Setting(x, 1, recipe, 0, Cache(images.keep / "features")))
        nothing = np.full(count, acquisition.NOT_ASKED)
        once = _seconds(lambda: trial.train(nothing, 0, epochs=1, warmup=0))
        return once / count * len(images) * recipe.con_first_epochs
    source = Network(images, features, 0, recipe, side, progress=False)
    todo = missing(images, rows_in(body_of(images, source), source))
    make = source.make()
    return _seconds(lambda: make(todo[:SAMPLE])) / min(SAMPLE, len(todo)) * len(todo) if todo else 0.0


def _seconds(act: Callable) -> float:
    """How long `act` takes the second time."""
    act()
    start = time.perf_counter()
    act()
    return time.perf_counter() - start
