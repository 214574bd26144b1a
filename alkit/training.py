"""The two training loops, on tensors that live on the device, and feature extraction.

There is no DataLoader: a batch is an index slice of the resident uint8 pool, augmentation is one batched call, and
nothing waits for the device inside an epoch.
"""

import functools
import math
from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from alkit import augment, losses
from alkit.recipes import Recipe
from alkit.rng import torch_stream
from alkit.runtime import threads

CPU_CHUNK = 512  # images that go through a net at once on a CPU: the maps of more leave its cache, at half the speed


@dataclass(frozen=True)
class Schedule:
    """How a classifier is trained; see the recipe's fields of the same names."""

    epochs: int
    optimiser: str
    lr: float
    momentum: float
    weight_decay: float
    batch: int
    milestones: tuple[float, ...]
    smoothing: float
    augment: str
    clip: float = 0.0


def schedule(recipe: Recipe, prefix: str) -> Schedule:
    """The recipe's `sup_*` or `tune_*` fields as a schedule."""
    names = [f.name for f in fields(Schedule)]
    return Schedule(**{n: getattr(recipe, f"{prefix}_{n}") for n in names if hasattr(recipe, f"{prefix}_{n}")})


def limited(function):
    """`function`, with as many CPU threads as the recipe among its arguments says."""

    @functools.wraps(function)
    def run(*args, **options):
        recipe = next(value for value in (*args, *options.values()) if isinstance(value, Recipe))
        with threads(recipe.cpu_threads):
            return function(*args, **options)

    return run


def to_float(images_BCHW: torch.Tensor) -> torch.Tensor:
    """uint8 images as floats in 0..1, channels last."""
    return images_BCHW.float().div_(255).contiguous(memory_format=torch.channels_last)


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """bf16 autocast where the recipe wants it and the hardware computes in it."""
    has_bf16 = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.bf16 and has_bf16)


def batches(rows: torch.Tensor, size: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """`rows` shuffled and cut into the fewest batches of at most `size`, all of nearly one length.

    Nearly equal lengths, because a last batch of a single image would break batch norm.
    """
    order = torch.randperm(len(rows), generator=generator, device=rows.device)
    return rows[order].tensor_split(math.ceil(len(rows) / size))


@limited
def train_classifier(
    net: nn.Module,
    images_NCHW,
    rows_L,
    labels_L,
    plan: Schedule,
    recipe: Recipe,
    *,
    seed: int,
    stage: int,
    progress=False,
) -> list[dict]:
    """Cross-entropy training of `net` on `images_NCHW[rows_L]` (uint8, resident) with `labels_L` (0..K), in place.

    `seed` and `stage` name the random streams of batch order and augmentation. Returns one row per epoch: epoch, loss.
    """
    device = images_NCHW.device
    order = torch_stream(seed, "classifier.batches", stage, device=device)
    looks = torch_stream(seed, "classifier.augmentation", stage, device=device)
    make = torch.optim.Adam if plan.optimiser == "adam" else torch.optim.SGD
    extra = {} if plan.optimiser == "adam" else {"momentum": plan.momentum}
    optimiser = make(net.parameters(), lr=plan.lr, weight_decay=plan.weight_decay, fused=True, **extra)
    labels_N = torch.full((len(images_NCHW),), -1, dtype=torch.long, device=device)
    labels_N[rows_L] = labels_L
    net.train()
    history = []
    for epoch in tqdm(range(plan.epochs), desc=f"stage {stage}: classifier", leave=False, disable=not progress):
        passed = sum(epoch >= share * plan.epochs for share in plan.milestones)
        set_rate(optimiser, plan.lr * 0.1**passed)
        total = torch.zeros((), device=device)
        for rows in batches(rows_L, plan.batch, order):
            x = to_float(images_NCHW[rows])
            x = augment.labelled(x, looks, recipe, plan.augment)
            with autocast(recipe, device):
                loss = F.cross_entropy(net(x), labels_N[rows], label_smoothing=plan.smoothing)
            step(optimiser, loss, net.parameters(), plan.clip)
            total += loss.detach() * len(rows)
        history.append({"epoch": epoch, "loss": total.item() / len(rows_L)})
    return history


@limited
def train_contrastive(
    encoder: nn.Module,
    head: nn.Module,
    images_NCHW,
    rows_U,
    rows_L,
    labels_L,
    recipe: Recipe,
    *,
    epochs: int,
    warmup: int,
    seed: int,
    stage: int,
    progress=False,
) -> list[dict]:
    """Eq. 2 on the unlabelled rows and, where there are any, the labelled ones (`labels_L` 0..K), in place.

    Each step takes `con_batch` unlabelled images and min(con_batch, L) labelled ones (see `contrastive_step`). The
    optimiser starts afresh; its rate rises linearly over `warmup` epochs and falls as a cosine over the rest. Returns
    one row per epoch: epoch, loss, con, supcon (None where nothing is labelled).
    """
    device = images_NCHW.device
    order = torch_stream(seed, "representation.batches", stage, device=device)
    looks = torch_stream(seed, "representation.augmentation", stage, device=device)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=recipe.con_lr, weight_decay=recipe.con_weight_decay, fused=True)
    encoder.train(), head.train()
    history = []
    for epoch in tqdm(range(epochs), desc=f"stage {stage}: representation", leave=False, disable=not progress):
        set_rate(optimiser, recipe.con_lr * cosine(epoch, epochs, warmup))
        sums = torch.zeros(3, device=device)
        steps = batches(rows_U, recipe.con_batch, order)
        for rows in steps:
            pick = torch.randperm(len(rows_L), generator=order, device=device)[: recipe.con_batch]
            parts = contrastive_step(encoder, head, images_NCHW, rows, rows_L[pick], labels_L[pick], recipe, looks)
            step(optimiser, parts[0], parameters, 0.0)
            sums += torch.stack(parts).detach()
        loss, con, sup = (sums / len(steps)).tolist()
        history.append({"epoch": epoch, "loss": loss, "con": con, "supcon": sup if len(rows_L) else None})
    return history


def contrastive_step(encoder, head, images_NCHW, rows_U, rows_L, labels_L, recipe, looks):
    """(total, L_con, L_supcon) of one batch, in one forward pass: two views of each unlabelled row, and of each
    labelled row one or two as the recipe says.
    """
    x_U, x_L = to_float(images_NCHW[rows_U]), to_float(images_NCHW[rows_L])
    parts = [augment.view(x_U, looks, recipe), augment.view(x_U, looks, recipe)]
    if recipe.con_labelled == "two_views":
        parts += [augment.view(x_L, looks, recipe), augment.view(x_L, looks, recipe)]
    else:
        parts.append(augment.labelled(x_L, looks, recipe, recipe.sup_augment))
    with autocast(recipe, x_U.device):
        z = head(encoder(torch.cat(parts).contiguous(memory_format=torch.channels_last)))
    z1, z2, z_L = z.split([len(x_U), len(x_U), len(z) - 2 * len(x_U)])
    labels = labels_L.repeat(len(parts) - 2)
    return losses.total(z1, z2, z_L, labels, temperature=recipe.con_temperature)


def cosine(epoch: int, epochs: int, warmup: int) -> float:
    """Share of the peak rate at `epoch`: linear warm-up, then half a cosine from 1 towards 0."""
    if epoch < warmup:
        return (epoch + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / max(1, epochs - warmup)))


def set_rate(optimiser, lr: float) -> None:
    """Give every parameter group of `optimiser` the rate `lr`."""
    for group in optimiser.param_groups:
        group["lr"] = lr


def step(optimiser, loss, parameters, clip: float) -> None:
    """One step of `optimiser` down the gradient of `loss`, cut to length `clip` first where that is not 0."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimiser.step()


@limited
@torch.inference_mode()
def extract(net: nn.Module, images_NCHW: torch.Tensor, recipe: Recipe, *, forward=None) -> torch.Tensor:
    """`net` on every image in order, in evaluation mode and without augmentation; float32 on the CPU, one row per
    image.

    `forward`: what to compute with `net` where that is not `net(images)` itself.
    """
    net.eval()
    forward, on_cpu = forward or net, images_NCHW.device.type == "cpu"
    rows_ND, done = None, 0
    for chunk in images_NCHW.split(min(recipe.eval_batch, CPU_CHUNK) if on_cpu else recipe.eval_batch):
        with autocast(recipe, images_NCHW.device):
            found = forward(to_float(chunk))
        if rows_ND is None:  # filled in place: a list to be joined would hold a large pool's features twice
            rows_ND = found.new_empty((len(images_NCHW), *found.shape[1:]), dtype=torch.float32)
        rows_ND[done : done + len(chunk)] = found
        done += len(chunk)
    return rows_ND.cpu()
