"""Every number of the study: one flat recipe per benchmark and profile.

`paper` is the published schedule (Kim, Kim and Hwang 2023, arXiv 2303.14433; where the paper is silent, our decision),
`laptop` what a newcomer runs in minutes on two cores, `smoke` what the tests run in seconds. A profile differs from
`paper` in nothing but the values listed here, so there is one code path.
"""

import zipfile
import zlib
from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_type_hints

from alkit import paths
from alkit.options import Range, check_name, check_value, closest, fits
from alkit.store import StoreError


@dataclass(frozen=True)
class Recipe:
    """All options of one benchmark at one profile; the defaults are MixMNIST's published values."""

    # the pool
    share: float = 1.0  # of every class and kind; below 1 it is another pool, with a fingerprint of its own

    # the active-learning protocol
    initial_id: int = 100  # iD samples in the initial labelled set
    stage_id: int = 10  # iD samples bought at each later stage
    stop_id: int = 300  # the run ends when this many iD samples are labelled

    # the network that every learner trains
    net: Literal["convnet", "resnet18"] = "convnet"
    widths: tuple[int, int, int] = (32, 64, 128)  # channels of the three convolutions (convnet only)
    pooling: tuple[int, int, int] = (2, 2, 2)  # 2: a 2x2 mean follows the convolution, 1: none (convnet only)
    readout: Literal["linear", "mean"] = "linear"  # how positions become features (convnet only)
    net_width: int = 64  # channels of the first of ResNet-18's four blocks, each of which doubles them (resnet18 only)
    sn_width: int = 64  # the same of the residual net that `supervised_sn` trains, on every pool
    projection: tuple[int, int] = (128, 128)  # hidden and output width of the projection head

    # `supervised`: a classifier from scratch at each stage
    sup_epochs: int = 100
    sup_optimiser: Literal["adam", "sgd"] = "adam"
    sup_lr: float = 1e-3
    sup_momentum: float = 0.9  # sgd only
    sup_weight_decay: float = 5e-3
    sup_batch: int = 32
    sup_milestones: tuple[float, ...] = (0.7, 0.9)  # share of the epochs after which the rate is divided by 10
    sup_clip: float = 2.5  # gradient norm; 0 = no clipping
    sup_smoothing: float = 0.1
    sup_augment: Literal["none", "flip_crop", "affine"] = "none"

    # the representation: SimCLR on the unlabelled pool + SupCon on the labelled (Eq. 2)
    con_first_epochs: int = 300  # stage 0: the whole pool, nothing labelled
    con_epochs: int = 100  # each stage after an answer: both pools, weights carried on
    con_lr: float = 3e-4
    con_weight_decay: float = 1e-4
    con_batch: int = 1024
    con_warmup: int = 10  # epochs of linear warm-up, stage 0 only
    con_temperature: float = 0.07
    con_augment: Literal["affine", "simclr"] = "affine"  # of unlabelled images
    # SupCon's labelled images: "one_view", augmented as for `supervised` (the paper's words); "two_views" as unlabelled
    con_labelled: Literal["one_view", "two_views"] = "one_view"

    # the classifier on top of the representation, fine-tuned at each stage
    tune_epochs: int = 100
    tune_optimiser: Literal["adam", "sgd"] = "adam"
    tune_lr: float = 1e-3
    tune_momentum: float = 0.9  # sgd only
    tune_weight_decay: float = 1e-6
    tune_batch: int = 32
    tune_milestones: tuple[float, ...] = ()
    tune_smoothing: float = 0.1
    tune_augment: Literal["none", "flip_crop", "affine"] = "none"

    # `semi_supervised`: Adam, its rate falling as a cosine; smoothing and clipping as for `supervised`
    semi_share: float = 0.5  # of the stage-0 weights in the start; the rest is fresh
    semi_views: int = 18_000  # augmented images that each of a stage's two parts trains on
    semi_batch: int = 64
    semi_lr: float = 2e-3
    semi_weight_decay: float = 5e-3
    semi_augment: Literal["none", "flip_crop", "affine"] = "affine"
    semi_neighbours: int = 10  # of each image in the graph that labels spread over
    semi_looked: int = 20_000  # unlabelled images, at random, that may become pseudo-labels
    semi_kept: float = 0.5  # times the mean number on which net and graph agree in an iD class: kept of each class

    # affine augmentation, uniform within these bounds
    rotate: float = 20.0  # degrees either way
    shear: float = 15.0  # degrees either way
    scale: tuple[float, float] = (0.8, 1.2)
    shift: float = 0.1  # of the image's side, either way

    # `probe`: logistic regression on frozen stage-0 features
    probe_c: float = 10.0  # inverse regularisation on L2-normalised features

    # `pretrained`: frozen features of a network that was trained on other images
    pre_side: int = 128  # px that images are resized to; larger ones tell more and take longer

    # the 2-D picture of the feature space
    projector: Literal["umap", "pca"] = "umap"

    # how it is computed
    cpu_threads: int = 0  # threads per run on a CPU; 0 = as torch decides
    bf16: bool = True  # autocast where the hardware has it
    eval_batch: int = 4096  # images per forward pass in feature extraction; 512 at most on a CPU


_MIXMNIST = Recipe()


_MIXCIFAR60 = Recipe(
    initial_id=2000, stage_id=2000, stop_id=20000,
    net="resnet18", projection=(512, 128),
    sup_epochs=200, sup_optimiser="sgd", sup_lr=0.1, sup_weight_decay=1e-4, sup_batch=128, sup_milestones=(0.6, 0.8),
    sup_clip=0.0, sup_smoothing=0.0, sup_augment="flip_crop",
    con_first_epochs=500, con_epochs=300, con_augment="simclr",
    tune_epochs=200, tune_optimiser="sgd", tune_lr=0.1, tune_weight_decay=0.0, tune_batch=256, tune_augment="flip_crop",
    semi_views=400_000, semi_batch=128, semi_augment="flip_crop",
)  # fmt: skip


_MIXDIGITS = replace(
    _MIXMNIST,
    stop_id=200,
    pooling=(1, 2, 2),  # 8 px: a third halving would leave a single pixel
    sn_width=16,
    readout="mean",  # of 2x2 positions
    semi_views=12_000,  # 4 s a stage
    con_batch=512,  # about 2,000 images: four steps an epoch, as few as still shuffle
    rotate=15.0, shear=10.0, scale=(0.9, 1.1), shift=0.06,  # half a pixel
    cpu_threads=1,  # a second thread gains nothing at 8 px, and one makes results independent of the core count
    bf16=False,  # casting costs more than it saves at this size
)  # fmt: skip


RECIPES: dict[tuple[str, str], Recipe] = {
    ("mixdigits", "paper"): _MIXDIGITS,
    ("mixdigits", "laptop"): replace(_MIXDIGITS, sup_epochs=40, con_first_epochs=60, con_epochs=6, tune_epochs=40),
    ("mixdigits", "smoke"): replace(
        _MIXDIGITS, stop_id=120, sn_width=8, sup_epochs=15, con_first_epochs=3, con_epochs=1, con_warmup=1,
        tune_epochs=5,
        semi_views=4000, projector="pca",
    ),
    ("mixmnist", "paper"): _MIXMNIST,
    ("mixmnist", "laptop"): replace(
        _MIXMNIST, widths=(16, 32, 128), sn_width=16, con_first_epochs=12, con_epochs=1, con_warmup=1, cpu_threads=1,
    ),
    ("mixmnist", "smoke"): replace(
        _MIXMNIST, widths=(16, 32, 128), sn_width=8, share=0.02, stop_id=120, sup_epochs=5,
        con_first_epochs=1, con_epochs=1, con_warmup=0, tune_epochs=2, semi_views=640, projector="pca", cpu_threads=1,
    ),
    ("mixcifar60", "paper"): _MIXCIFAR60,
    ("mixcifar60", "short"): replace(  # no stage longer than ten minutes on one large GPU: runs go on between stages
        _MIXCIFAR60, sup_epochs=30, con_first_epochs=40, con_epochs=6, con_warmup=2, tune_epochs=20, semi_views=100_000
    ),
    # a tenth of the pool, of the first labels and of the last, in fewer stages; a sixteenth of the net's arithmetic
    ("mixcifar60", "laptop"): replace(
        _MIXCIFAR60, share=0.1, initial_id=200, stage_id=450, stop_id=2000, net_width=16, sn_width=16,
        projection=(128, 128),
        sup_epochs=20, con_first_epochs=12, con_epochs=2, con_warmup=2, con_batch=512, tune_epochs=15,
        semi_views=20_000, cpu_threads=1,
    ),
    ("mixcifar60", "smoke"): replace(
        _MIXCIFAR60, share=0.02, initial_id=120, stage_id=60, stop_id=180, net_width=8, sn_width=8, projection=(32, 32),
        sup_epochs=1, con_first_epochs=1, con_epochs=1, con_batch=512, con_warmup=0, tune_epochs=1, semi_views=256,
        projector="pca", cpu_threads=1,
    ),
}  # fmt: skip


PROFILES = ("smoke", "laptop", "short", "paper")


QUOTAS_OF = {  # what differs from the family's recipe where a variant's pool has too few iD images for its quotas
    **dict.fromkeys(
        ("mixdigits-id30", "mixdigits-ambiguous_heavy", "mixdigits-ood_heavy"), dict(initial_id=50, stop_id=150)
    ),
    "mixdigits-id10": dict(initial_id=20, stage_id=5, stop_id=60),
    "mixdigits-two_classes": dict(initial_id=20, stop_id=100),
}


LONG_TAIL = {"mixcifar60": 0.4}  # of the quotas, where a long tail leaves that share of the iD images or less to buy


SMOKE_STAGES = 2  # after the initial set


def recipe(benchmark: str, profile: str) -> Recipe:
    """The recipe of `benchmark` at `profile`; ValueError with the known names where there is none.

    A variant, such as "mixcifar60-scenes-svhn", has the recipe of the benchmark that its name begins with, and those of
    `QUOTAS_OF` have quotas of their own; at `smoke` these end after two stages, as all do. A pool of one's own, such as
    "own-mine", has one that fits its size (`_recipe_of_own`); StoreError where its file is damaged.
    """
    family, known = benchmark.partition("-")[0], sorted({name for name, _ in RECIPES})
    if family == paths.OWN:
        return _recipe_of_own(benchmark, profile)
    if family not in known:
        listed = ", ".join([*known, *paths.own_pools()])
        raise ValueError(f"unknown benchmark {benchmark!r}{closest(family, known)}; known: {listed}")
    profiles = [name for name in PROFILES if (family, name) in RECIPES]
    if profile not in profiles:
        raise ValueError(
            f"unknown profile {profile!r} of {family}{closest(profile, profiles)}; known: {', '.join(profiles)}"
        )
    found = replace(RECIPES[family, profile], **QUOTAS_OF.get(benchmark, {}))
    if benchmark.endswith("-long_tail") and family in LONG_TAIL:
        quotas = ("initial_id", "stage_id", "stop_id")
        found = replace(found, **{name: round(LONG_TAIL[family] * getattr(found, name)) for name in quotas})
    if benchmark in QUOTAS_OF and profile == "smoke":
        found = replace(found, stop_id=found.initial_id + SMOKE_STAGES * found.stage_id)
    return found


OWN_STAGES = {"smoke": SMOKE_STAGES, "laptop": 5}  # by the profiles that a pool of one's own has
SMALL_SIDE = 31  # px: up to it, a pool of one's own is learned as MixDigits is, from 32 px on as MixCIFAR60


def _recipe_of_own(benchmark: str, profile: str) -> Recipe:
    """The recipe of a pool of one's own: from a quarter to half of its iD images, all of the pool, four steps an epoch.

    Few images were labelled, so that the quotas must follow their number. All else is MixDigits' or MixCIFAR60's.
    """
    file = paths.own_pool(benchmark)
    if profile not in OWN_STAGES:
        said = f"unknown profile {profile!r} of {benchmark}{closest(profile, OWN_STAGES)}"
        raise ValueError(f"{said}; known: {', '.join(OWN_STAGES)}")
    import numpy as np  # here, not above: the command line answers at once where no pool is read

    try:
        with np.load(file, allow_pickle=False) as stored:
            category_N, side = stored["category_N"], stored["test_images_MCHW"].shape[-1]
    except (OSError, ValueError, LookupError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise StoreError(f"{file} cannot be read: {error}; delete it, and save the pool again") from error
    found, n_id = RECIPES["mixdigits" if side <= SMALL_SIDE else "mixcifar60", profile], int((category_N == 0).sum())
    first, last = max(1, n_id // 4), max(1, n_id // 2)
    stage = max(1, (last - first) // OWN_STAGES[profile])
    batch = min(found.con_batch, max(2, len(category_N) // 4))
    return replace(found, share=1.0, initial_id=first, stage_id=stage, stop_id=last, con_batch=batch)


QUOTAS = ("initial_id", "stage_id", "stop_id")


POSITIVE = (
    *QUOTAS,
    "share",
    "net_width",
    "sn_width",
    "sup_batch",
    "con_batch",
    "tune_batch",
    "semi_views",
    "semi_neighbours",
    "semi_looked",
    "eval_batch",
    "con_temperature",
    "probe_c",
    "pre_side",
    "widths",
    "projection",
    "scale",
)


KINDS = get_type_hints(Recipe)


RANGES = {  # of the numbers of a recipe; from 0 up for all others
    **dict.fromkeys(POSITIVE, Range(0, above=True)),
    "share": Range(0, 1, above=True),
    "net_width": Range(8),  # with fewer channels, oneDNN's AVX2 convolutions write past the end of their memory
    "sn_width": Range(8),
    "pooling": Range(1, 2),
    "semi_share": Range(0, 1),
    "semi_kept": Range(0, 1, above=True),
    "semi_batch": Range(2),  # half of it labelled
}


def check(recipe: Recipe) -> None:
    """ValueError where a value has the wrong type or makes no sense; names the value and what it must be."""
    for name in QUOTAS:
        value = getattr(recipe, name)
        if not fits(value, int, RANGES[name]):
            raise ValueError(f"{name} must be a positive whole number of iD samples, got {value!r}")
    for name, kind in KINDS.items():
        check_value(getattr(recipe, name), Annotated[kind, RANGES.get(name, Range(0))], name)
    if recipe.stop_id < recipe.initial_id:
        raise ValueError(
            f"stop_id ({recipe.stop_id}) is below initial_id ({recipe.initial_id}): raise it, or start lower"
        )


def changed(recipe: Recipe, changes: dict) -> Recipe:
    """`recipe` with some values changed by name; ValueError for a name that a recipe does not have or a bad number."""
    for name in changes:
        check_name(name, KINDS, of="a recipe")
    recipe = replace(recipe, **{name: tuple(v) if isinstance(v, list) else v for name, v in changes.items()})
    check(recipe)
    return recipe
