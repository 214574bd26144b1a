"""Frozen features of a network trained on other images (or an array of the user's own), and a classifier on them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from alkit.learners import efficientnet
from alkit.learners.base import Auxiliary, Setting
from alkit.learners.mlp import Mlp
from alkit.learners.probe import FrozenFeatures, Model
from alkit.options import Range
from alkit.runtime import threads
from alkit.store import StoreError, lock, record, writable, write_atomic
from alkit.training import autocast

CHUNK = 2048  # images that are extracted between two writes to disk
PIECE = 128  # images that go through a large network at once on a CPU
StartUp = Callable[[], Callable[[int, int], np.ndarray]]  # loads what is needed; gives a function of (start, stop)
IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pretrained(FrozenFeatures):
    """Frozen features of a pretrained network, fewer dimensions by PCA, and a classifier with K + 1 outputs on them.

    `features` names where they come from: "efficientnet_lite0" (ImageNet, weights in a small package); a network of
    torchvision with its weights, such as "resnet50/IMAGENET1K_V2"; or a file "....npy" with a row for each pool image
    and, where accuracy is measured, for each test image after them. `dimensions`: of the PCA over the pool (0: none).
    `head`: "linear", which is a logistic regression, or "mlp", with a hidden layer. Images are resized to the recipe's
    `pre_side` px. Extraction goes on where it was stopped and is kept for all runs.

    A network that was trained on ImageNet has seen classes that CIFAR-100 has, the ambiguous ones included.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        features: str = "efficientnet_lite0",
        dimensions: Annotated[int, Range(0)] = 256,
        head: Literal["linear", "mlp"] = "linear",
        auxiliary: Auxiliary = "undersampled",
    ):
        super().__init__(setting, auxiliary=auxiliary)
        self.source, self.dimensions, self.head = features, dimensions, head
        self.rotation: tuple[np.ndarray, np.ndarray] | None = None  # mean and components of the PCA

    def pool_features(self) -> np.ndarray:
        """(N, D) features of the pool."""
        s = self.setting
        raw_ND = self._raw(s.images_NCHW, 0)
        dimensions = min(self.dimensions, len(raw_ND))  # a small pool spans no more
        if not 0 < dimensions < raw_ND.shape[1]:
            return np.asarray(raw_ND, np.float32)

        def build() -> dict:
            with threads(s.recipe.cpu_threads):
                found = PCA(dimensions, svd_solver="covariance_eigh").fit(np.asarray(raw_ND, np.float32))
            return {"mean": torch.from_numpy(found.mean_), "components": torch.from_numpy(found.components_)}

        inputs = {**self._inputs(), "dimensions": dimensions}
        state = s.cache("pretrained-pca", inputs, build)
        self.rotation = state["mean"].numpy(), state["components"].numpy()
        return self._rotated(raw_ND)

    def features_of(self, images_NCHW: torch.Tensor) -> np.ndarray:
        """(M, D) features of other images."""
        raw_MD = self._raw(images_NCHW, len(self.setting.images_NCHW))
        return np.asarray(raw_MD, np.float32) if self.rotation is None else self._rotated(raw_MD)

    def _model(self, rows: np.ndarray, labels: np.ndarray, stage: int) -> Model:
        if self.head == "linear":
            return super()._model(rows, labels, stage)
        s = self.setting
        return Mlp.fit(self.unit_ND[rows], labels, s.n_classes + 1, s.recipe, seed=s.seed, stage=stage)

    def _restored(self, state: dict) -> Model:
        return super()._restored(state) if self.head == "linear" else Mlp.restored(state)

    def _rotated(self, raw_ND: np.ndarray) -> np.ndarray:
        assert self.rotation is not None
        mean, components = self.rotation
        return ((np.asarray(raw_ND, np.float32) - mean) @ components.T).astype(np.float32)

    def _inputs(self) -> dict:
        """What features depend on, beside the images: for the cache's key."""
        recipe, device = self.setting.recipe, self.setting.images_NCHW.device.type
        source = _array_hash(Path(self.source)) if self.source.endswith(".npy") else self.source
        return {"features": source, "side": recipe.pre_side, "bf16": recipe.bf16, "device": device}

    def _raw(self, images_NCHW: torch.Tensor, first: int) -> np.ndarray:
        """(N, D) features before the PCA, from disk where they were extracted; `first`: row of a given array."""
        if self.source.endswith(".npy"):
            return given_array(Path(self.source), first, len(images_NCHW), len(self.setting.images_NCHW))
        s = self.setting
        key = json.dumps({**self._inputs(), "images": _images_hash(images_NCHW)}, sort_keys=True)
        name = f"pretrained-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        return growing_array(
            s.cache.folder, name, len(images_NCHW), CHUNK, self._extractor(images_NCHW), note=json.loads(key)
        )

    def _extractor(self, images_NCHW: torch.Tensor) -> StartUp:
        """A function that loads the network and returns one that gives the features of rows `start` to `stop`."""

        def start_up() -> Callable[[int, int], np.ndarray]:
            recipe, device = self.setting.recipe, images_NCHW.device
            net, scale = network(self.source)
            net = net.to(device).to(memory_format=torch.channels_last)
            piece = recipe.eval_batch // 8 if device.type == "cuda" else PIECE
            bar = tqdm(total=len(images_NCHW), desc=f"features of {self.source}", unit="image", mininterval=2)

            @torch.inference_mode()
            def rows(start: int, stop: int) -> np.ndarray:
                parts = []
                for chunk in images_NCHW[start:stop].split(piece):
                    with autocast(recipe, device):
                        parts.append(net(scale(resized(chunk, recipe.pre_side))).float().cpu())
                bar.update(stop - bar.n)
                return torch.cat(parts).numpy().astype(np.float16)

            return rows

        return start_up


def resized(images_NCHW: torch.Tensor, side: int) -> torch.Tensor:
    """uint8 images as RGB floats in 0..1 of `side` x `side` pixels (bicubic)."""
    x = images_NCHW.float().div_(255)
    x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
    x = F.interpolate(x, size=(side, side), mode="bicubic", align_corners=False).clamp_(0, 1)
    return x.contiguous(memory_format=torch.channels_last)


def check_network(name: str) -> None:
    """ValueError for the name of a network that neither alkit nor torchvision knows; nothing is loaded."""
    if name == "efficientnet_lite0":
        return
    import torchvision

    model, _, weights = name.partition("/")
    if model not in torchvision.models.list_models(torchvision.models):
        raise ValueError(
            f"unknown features {name!r}: name efficientnet_lite0, a network of torchvision with its weights "
            "(resnet50/IMAGENET1K_V2), or a file of your own (features.npy)"
        )
    known = [one.name for one in torchvision.models.get_model_weights(model)]
    if weights not in known:
        raise ValueError(f"{model} has no weights {weights!r}; name one of: {', '.join(f'{model}/{w}' for w in known)}")


def network(name: str) -> tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor]]:
    """The network called `name` without its last layer, in evaluation mode, and how it wants images in 0..1 scaled.

    ValueError for a name that neither alkit nor torchvision knows; StoreError where weights are not to be had.
    """
    check_network(name)
    if name == "efficientnet_lite0":
        return efficientnet.load(), lambda x: x * 2 - 1
    import torchvision

    model, _, weights = name.partition("/")
    try:
        net = torchvision.models.get_model(model, weights=weights)
    except OSError as error:
        url = torchvision.models.get_model_weights(model)[weights].url
        raise StoreError(
            f"the weights of {name} could not be downloaded ({error}); get {url} elsewhere and put it into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}"
        ) from error
    last = [path for path, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Identity())
    mean, sd = (torch.tensor(part).view(1, 3, 1, 1) for part in (IMAGENET_MEAN, IMAGENET_SD))
    return net.eval(), lambda x: (x - mean.to(x.device)) / sd.to(x.device)


def given_array(path: Path, first: int, count: int, n_pool: int) -> np.ndarray:
    """Rows `first` to `first + count` of the user's own array of features, memory-mapped.

    ValueError where it is no array of numbers with a row for each image, or holds values that are not finite.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"features {str(path)!r} cannot be read as a .npy array: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(f"{path} must hold numbers of shape (images, dimensions), got {array.dtype} {array.shape}")
    if len(array) < first + count or (first == 0 and len(array) < n_pool):
        raise ValueError(
            f"{path} has {len(array)} rows; it needs one for each of the {n_pool} pool images, and after them one for "
            f"each test image whose class is to be predicted ({first + count} here)"
        )
    rows = array[first : first + count]
    if not np.isfinite(rows).all():
        raise ValueError(
            f"{path} holds values that are not finite, in row {int(np.argwhere(~np.isfinite(rows))[0, 0])}"
        )
    return rows


def _array_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else str(path)


def _images_hash(images_NCHW: torch.Tensor) -> str:
    found = hashlib.sha256(str(tuple(images_NCHW.shape)).encode())
    for chunk in images_NCHW.split(CHUNK):
        found.update(chunk.cpu().numpy().tobytes())
    return found.hexdigest()


def growing_array(folder: Path, name: str, n_rows: int, chunk: int, start_up: StartUp, note: dict) -> np.ndarray:
    """A memory-mapped array (`n_rows`, D) that is made `chunk` rows at a time, kept in `folder`, and gone on with.

    `start_up()` returns a function (start, stop) -> rows; it is called where rows are missing. A kill loses at most the
    chunk in hand; two processes wait for each other. StoreError where the folder cannot be written to or files of this
    name do not fit `note`, what the array was made from.
    """
    body, journal_file = writable(folder) / f"{name}.npy", folder / f"{name}.json"
    with lock(folder / f"{name}.lock"):
        done = _rows_done(journal_file, body, n_rows, note)
        if done < n_rows:
            rows = start_up()
            while done < n_rows:
                stop = min(done + chunk, n_rows)
                made = rows(done, stop)
                if done == 0:
                    record(body)
                    array = np.lib.format.open_memmap(body, "w+", dtype=made.dtype, shape=(n_rows, made.shape[1]))
                else:
                    array = np.lib.format.open_memmap(body, "r+")
                array[done:stop] = made
                array.flush()
                done = stop
                write_atomic(journal_file, json.dumps({"made from": note, "rows": done}, indent=1).encode())
    return np.load(body, mmap_mode="r")


def _rows_done(journal_file: Path, body: Path, n_rows: int, note: dict) -> int:
    """Rows of a growing array that are on disk, 0 where there is none."""
    if not journal_file.exists():
        return 0
    try:
        known = json.loads(journal_file.read_bytes())
        fits = known["made from"] == note and np.load(body, mmap_mode="r").shape[0] == n_rows
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{journal_file} or {body.name} cannot be read ({error}); delete both, run again") from error
    if not fits:
        raise StoreError(f"{body} is not what {journal_file.name} says; delete both and run again")
    return known["rows"]
