"""Ambiguous digits: a generator mixes two digits, and ten classifiers that do not agree on the mixture keep it.

After NVAE-MNIST of Kim, Kim and Hwang, 2023 (arXiv:2303.14433), with a compact network of our own in place of NVAE's
published weights. A decoder's images are softer than real ones, so that a learner could tell mixtures by their blur,
without knowing a digit. Against that, and this is ours, a mixture keeps the variance of a single draw, and is given the
grey levels of a real image before the vote; `blur_check.shortcut_auroc` measures how well blur still tells them.

All images are uint8, (N, 1, H, W). Shape letters: N images, B batch, V voters, P pixels.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from alkit import augment, rng
from alkit.benchmarks.blur_check import shortcut_auroc
from alkit.benchmarks.vae import HierarchicalVAE, Voters, discretised_logistic
from alkit.training import autocast

ROUND = 512  # images that go through the generator at once


@dataclass(frozen=True)
class GeneratorRecipe:
    """Every number of the generator, for images of one size."""

    size: int  # pixels a side
    levels: int  # grey levels of the source's images, equally spaced over 0..255
    scales: tuple[int, ...]  # sides of the latent maps, coarse to fine
    epochs: int  # passes of the generator over the images
    voter_epochs: int  # passes of every voter over the images
    groups: int = 2  # latent maps at each scale
    latents: int = 8  # channels of a latent map
    width: int = 24  # channels of every hidden map
    patch: int = 1  # side of the square of pixels that is one position of the finest hidden map
    batch: int = 128  # images a step
    rate: float = 4e-3  # highest learning rate of Adam
    warm_up: float = 0.3  # share of the steps over which the weight of the KL term rises from 0 to 1
    mixture: float = 0.7  # share of the first parent's latents (Kim, Kim and Hwang, 2023)
    bf16: bool = False  # networks are trained in bf16 autocast where the hardware has it
    donors: int = 16  # real images nearest in ink, of which one gives its grey levels
    voters: int = 10  # classifiers that vote (Kim, Kim and Hwang, 2023)
    voter_widths: tuple[int, ...] = (24, 48, 48)  # channels of a voter's convolutions
    voter_strides: tuple[int, ...] = (1, 2, 1)  # their strides
    voter_batch: int = 128  # images a step and voter
    voter_rate: float = 3e-3  # as `rate`, for the voters
    rotate: float = 12.0  # voters see affine copies: rotated by up to this many degrees either way,
    shear: float = 12.0  # sheared by up to this many degrees either way,
    scale: tuple[float, float] = (0.85, 1.15)  # scaled by a factor in this range,
    shift: float = 0.1  # shifted by up to this share of the side either way


DIGITS_8PX = GeneratorRecipe(size=8, levels=17, scales=(2, 4), epochs=80, voter_epochs=60)
MNIST_28PX = GeneratorRecipe(
    size=28, levels=256, scales=(4, 7), epochs=14, voter_epochs=5, width=32, patch=2, bf16=True, voter_strides=(2, 2, 1)
)


@dataclass(frozen=True)
class AmbiguousSet:
    """Mixtures that passed the vote, and how good the vote was."""

    images_N1HW: np.ndarray  # uint8
    votes_NV: np.ndarray  # uint8, the class that each voter named
    parents_N2: np.ndarray  # int64, rows of the images that were mixed; the first has the larger share
    share_passed: float  # of all mixtures that were drawn
    voter_accuracy_V: np.ndarray  # on the test images
    test_passed: float  # share of the real test images that the same vote would have called ambiguous


def build(
    images_N1HW,
    labels_N,
    *,
    test_images,
    test_labels,
    count: int,
    recipe: GeneratorRecipe,
    seed: int,
    device="cpu",
    progress=False,
) -> AmbiguousSet:
    """`count` ambiguous images made from `images_N1HW` alone; the test images only measure the voters.

    One thread, one machine and one seed give the same bytes. RuntimeError if too few mixtures pass the vote.
    """
    model = train_generator(images_N1HW, recipe, seed=seed, device=device, progress=progress)
    voters = train_voters(images_N1HW, labels_N, recipe, seed=seed, device=device, progress=progress)
    levels, rounds, passed, drawn = GreyLevels(images_N1HW), [], 0, 0
    bar = tqdm(total=count, desc="ambiguous digits", disable=not progress)
    while passed < count:
        if drawn >= 100 * (count + ROUND):
            raise RuntimeError(f"{passed} of {drawn} mixtures passed the vote, {count} are wanted: train for longer")
        mixed, parents = _mixtures(model, images_N1HW, levels, recipe, seed, len(rounds))
        votes = vote(voters, mixed)
        keep = is_ambiguous(votes)
        rounds.append((mixed[keep], votes[keep], parents[keep]))
        passed, drawn = passed + int(keep.sum()), drawn + len(keep)
        bar.update(int(keep.sum()))
    bar.close()
    images, votes, parents = (np.concatenate(parts)[:count] for parts in zip(*rounds, strict=True))
    test_votes = vote(voters, test_images)
    accuracy_V = (test_votes == np.asarray(test_labels)[:, None]).mean(0)
    return AmbiguousSet(images, votes, parents, passed / drawn, accuracy_V, float(is_ambiguous(test_votes).mean()))


def measured(made: AmbiguousSet, real_N1HW: np.ndarray) -> dict:
    """What to record of a built set: how good the vote was, and how well blur alone tells it from `real_N1HW`."""
    return {
        "share of mixtures that pass the vote": round(made.share_passed, 4),
        "share of test digits that pass the vote": round(made.test_passed, 4),
        "voters' accuracy on the test set": [round(float(accuracy), 4) for accuracy in made.voter_accuracy_V],
        "shortcut AUROC": {
            model: round(shortcut_auroc(real_N1HW, made.images_N1HW, model=model), 4)
            for model in ("logistic", "boosting")
        },
    }


def _mixtures(model, images_N1HW, levels, recipe, seed, number):
    """Round `number` of mixtures of two distinct images, grey levels transported, and the rows of their parents."""
    n, stream = len(images_N1HW), rng.numpy_stream(seed, "generator.mixtures", number)
    first, step = stream.integers(n, size=ROUND), stream.integers(1, n, size=ROUND)
    parents_B2 = np.stack([first, (first + step) % n], axis=1)
    noise = rng.torch_stream(seed, "generator.latents", number, device=next(model.parameters()).device)
    decoded = mix_and_decode(model, *(images_N1HW[parents_B2[:, i]] for i in (0, 1)), recipe.mixture, noise)
    return transport_grey_levels(decoded, levels, stream, donors=recipe.donors), parents_B2


def train_generator(images_N1HW, recipe: GeneratorRecipe, *, seed, device="cpu", progress=False) -> HierarchicalVAE:
    """The hierarchical VAE fitted to uint8 images by the evidence lower bound, in evaluation mode."""
    with rng.seeded(rng.integer(seed, "generator.model")):
        model = HierarchicalVAE(
            recipe.size,
            recipe.scales,
            groups=recipe.groups,
            latents=recipe.latents,
            width=recipe.width,
            patch=recipe.patch,
        )
    model.to(device, memory_format=layout(recipe))
    images = to_float(images_N1HW, device)
    noise = rng.torch_stream(seed, "generator.noise", device=device)

    def loss(rows_B1, done):
        batch = images[rows_B1[:, 0]]
        with autocast(recipe, batch.device):
            location, log_scale, kl_LB, _ = model(batch, noise)
        pixels_B1HW = discretised_logistic(batch, location, log_scale, levels=recipe.levels)
        return min(1.0, done / recipe.warm_up) * kl_LB.sum(0).mean() - pixels_B1HW.flatten(1).sum(1).mean()

    orders = rng.torch_stream(seed, "generator.batches")
    _fit(
        model,
        loss,
        orders,
        shape=(len(images), 1),
        epochs=recipe.epochs,
        batch=recipe.batch,
        rate=recipe.rate,
        progress="generator" if progress else None,
    )
    return model


def train_voters(images_N1HW, labels_N, recipe: GeneratorRecipe, *, seed, device="cpu", progress=False) -> Voters:
    """`recipe.voters` classifiers in evaluation mode, each with weights, batch order and affine copies of its own."""
    with rng.seeded(rng.integer(seed, "voters.model")):
        shape = {"widths": recipe.voter_widths, "strides": recipe.voter_strides, "classes": int(np.max(labels_N)) + 1}
        model = Voters(recipe.voters, recipe.size, **shape)
    model.to(device)
    images, labels = to_float(images_N1HW, device), torch.as_tensor(labels_N, device=device)
    stream = rng.torch_stream(seed, "voters.augmentation", device=device)
    limits = {"rotate": recipe.rotate, "shear": recipe.shear, "scale": recipe.scale, "shift": recipe.shift}

    def loss(rows_BV, _):
        copies = augment.affine(images[rows_BV.flatten()], stream, **limits)
        with autocast(recipe, copies.device):
            logits_VBK = model(copies.view(*rows_BV.shape, recipe.size, recipe.size))
        # summed over voters, so that each has the gradient that it would have alone
        return F.cross_entropy(logits_VBK.float().flatten(0, 1), labels[rows_BV.T].flatten()) * recipe.voters

    orders = rng.torch_stream(seed, "voters.batches")
    _fit(
        model,
        loss,
        orders,
        shape=(len(images), recipe.voters),
        epochs=recipe.voter_epochs,
        batch=recipe.voter_batch,
        rate=recipe.voter_rate,
        progress="voters" if progress else None,
    )
    return model


def _fit(model, loss, orders, *, shape, epochs, batch, rate, progress):
    """Adam, its rate rising for a twentieth of the steps, then cosine to zero; and the model left in evaluation mode.

    `loss(rows, done)` is given a batch of rows (B, columns), each column in an order of its own drawn from `orders`,
    and the share of the steps that is done. `shape` is (images, columns); `progress` titles a bar, None shows none.
    """
    n, columns = shape
    steps = epochs * max(1, n // batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, fused=True)
    rise = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    device = next(model.parameters()).device
    model.train()
    for _ in tqdm(range(epochs), progress, disable=progress is None):
        order = torch.stack([torch.randperm(n, generator=orders) for _ in range(columns)], 1).to(device)
        for rows in order.split(batch)[: max(1, n // batch)]:  # full batches only
            optimiser.zero_grad()
            loss(rows, schedule.last_epoch / steps).backward()
            optimiser.step()
            schedule.step()
    model.eval()


def layout(recipe: GeneratorRecipe) -> torch.memory_format:
    """The order of a network's weights in memory: channels last, the faster one, goes with bf16."""
    return torch.channels_last if recipe.bf16 else torch.contiguous_format


def to_float(images: np.ndarray, device) -> torch.Tensor:
    """uint8 images as float in 0..1 on `device`."""
    return torch.as_tensor(images, device=device).float() / 255


@torch.no_grad()
def mix_and_decode(
    model: HierarchicalVAE, first_N1HW, second_N1HW, mixture: float, noise: torch.Generator
) -> np.ndarray:
    """Images decoded from latents mixed in the ratio `mixture` : 1 - `mixture`, at every scale: float (N, 1, H, W).

    `noise` draws the latents from the posteriors of the two images.
    """
    device = next(model.parameters()).device
    _, _, _, one = model(to_float(first_N1HW, device), noise)
    _, _, _, two = model(to_float(second_N1HW, device), noise)
    # A weighted mean of two draws varies less than one draw, and a decoder shown so little variation answers with blur.
    # Dividing by the length of the weights gives the prior's own variance back, and leaves the ratio as it is.
    length = math.hypot(mixture, 1 - mixture)
    mixed = [(mixture * a + (1 - mixture) * b) / length for a, b in zip(one, two, strict=True)]
    return model.decode(mixed).cpu().numpy()


class GreyLevels:
    """The grey levels of real images, each image's in ascending order, the images by their ink (mean level, 0 to 1)."""

    def __init__(self, real_M1HW: np.ndarray):
        levels_MP = np.sort(real_M1HW.reshape(len(real_M1HW), -1), axis=1)
        ink_M = levels_MP.mean(1) / 255
        by_ink_M = np.argsort(ink_M, kind="stable")
        self.levels_MP, self.ink_M = levels_MP[by_ink_M], ink_M[by_ink_M]


def transport_grey_levels(decoded_N1HW, real: GreyLevels, stream: np.random.Generator, *, donors: int) -> np.ndarray:
    """Every decoded image with exactly the grey levels of a real image of similar ink, given out rank by rank: uint8.

    Of a decoded image only the order of its pixels is used, and its ink (the mean of its levels, cut to 0..1), by which
    one of the `donors` real images nearest in ink is drawn from `stream`.
    """
    n, m = len(decoded_N1HW), len(real.ink_M)
    pixels_NP = decoded_N1HW.reshape(n, -1)
    place_N = np.searchsorted(real.ink_M, np.clip(pixels_NP, 0, 1).mean(1))
    first_N = np.clip(place_N - donors // 2, 0, max(m - donors, 0))
    donor_N = first_N + stream.integers(min(donors, m), size=n)
    out_NP = np.empty(pixels_NP.shape, np.uint8)
    np.put_along_axis(out_NP, np.argsort(pixels_NP, axis=1, kind="stable"), real.levels_MP[donor_N], axis=1)
    return out_NP.reshape(decoded_N1HW.shape)


@torch.no_grad()
def vote(voters: Voters, images_N1HW: np.ndarray) -> np.ndarray:
    """The class that each voter names for each image: uint8 (N, V)."""
    device = next(voters.parameters()).device
    batches = torch.as_tensor(images_N1HW).split(2048)
    logits = [voters(to_float(batch, device).expand(-1, voters.voters, -1, -1)) for batch in batches]
    return np.concatenate([part.argmax(2).T.cpu().numpy() for part in logits]).astype(np.uint8)


def is_ambiguous(votes_NV: np.ndarray) -> np.ndarray:
    """Whether voters name two or three distinct classes; one is a clear image, four or more a broken one. bool (N,)."""
    ordered = np.sort(votes_NV, axis=1)
    distinct_N = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1)
    return (distinct_N == 2) | (distinct_N == 3)
