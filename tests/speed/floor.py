"""What a training step costs beyond its forward and backward pass, and what those are beside the hardware's limits.

    python tests/speed/floor.py [--device cpu] [--rounds 15] [--threads 2] [--quick]

The floor of a step is the same net's forward and backward pass on one resident batch of the same size in the same
precision, with nothing else: no augmentation, no loss, no optimiser, no moving of data. `times_the_floor` is the whole
step over that; the parts are timed alone. `share_of_matmul_rate` is how much of the rate at which this machine
multiplies two 2,048 x 2,048 matrices in that precision the floor's own arithmetic reaches; `share_of_copy_bandwidth`
is how long its activations take to be written and read once, over the floor. Medians over `rounds`, in turn.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

import charts
import torch
from contrastive import CPU_BATCH, NOTHING, SHAPES
from measured import ROOT, in_turn, keep, machine, rounded
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from alkit import augment, losses, models, training
from alkit.recipes import Recipe, recipe

SIDE = 2048  # of the matrices that are multiplied
COPIED = 2**26  # bytes


def images(shape, n: int, device) -> torch.Tensor:
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).to(device)


def forward_backward(net: nn.Module, x, chosen: Recipe):
    """One pass each way on what is there, with a gradient that is there."""
    with training.autocast(chosen, x.device):
        gradient = torch.ones_like(net(x))

    def turn():
        net.zero_grad(set_to_none=True)
        with training.autocast(chosen, x.device):
            out = net(x)
        out.backward(gradient)

    return turn


def contrastive(name: str, device: torch.device, batch: int) -> tuple[dict, nn.Module, torch.Tensor]:
    """The step of `train_contrastive`, its floor, and its parts."""
    chosen, generator = recipe(name, "paper"), torch.Generator(device).manual_seed(0)
    pool, nothing = images(SHAPES[name], 4 * batch, device), NOTHING.to(device)
    encoder = models.encoder(chosen, SHAPES[name][0], seed=0, device=device).train()
    head = models.projection_head(chosen, encoder.width, seed=0, device=device).train()
    net, parameters = nn.Sequential(encoder, head), [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-4, fused=True)
    views = training.to_float(pool[: 2 * batch])
    z_BD = torch.randn(2 * batch, chosen.projection[1], device=device, requires_grad=True)

    def rows():
        return torch.randint(len(pool), (batch,), generator=generator, device=device)

    def step():
        parts = training.contrastive_step(encoder, head, pool, rows(), nothing, nothing, chosen, generator)
        training.step(optimiser, parts[0], parameters, 0.0)

    def views_alone():
        x = training.to_float(pool[rows()])
        return torch.cat([augment.view(x, generator, chosen), augment.view(x, generator, chosen)])

    turns = {
        "step": step, "floor": forward_backward(net, views, chosen), "augmentation": views_alone,
        "loss": lambda: losses.nt_xent(*z_BD.chunk(2), temperature=chosen.con_temperature).backward(),
        "optimiser": optimiser.step,
    }  # fmt: skip
    return turns, net, views


def classifier(name: str, device: torch.device, batch: int) -> tuple[dict, nn.Module, torch.Tensor]:
    """The step of `train_classifier` on a batch of the recipe's size, and its floor."""
    chosen = recipe(name, "paper")
    plan, pool, rows = training.schedule(chosen, "sup"), images(SHAPES[name], batch, device), torch.arange(batch)
    net = models.classifier(models.encoder(chosen, SHAPES[name][0], seed=0, device=device), 11, seed=0, device=device)
    one_epoch, labels, rows = replace(plan, epochs=STEPS), (rows % 11).to(device), rows.to(device)

    def step():
        training.train_classifier(net, pool, rows, labels, one_epoch, chosen, seed=0, stage=0)

    floor = forward_backward(net.train(), training.to_float(pool), chosen)

    def floors():
        for _ in range(STEPS):
            floor()

    return {"step": step, "floor": floors}, net, training.to_float(pool)


STEPS = 20  # of a classifier at a time: one is too short to time


def arithmetic(net: nn.Module, x) -> tuple[float, float]:
    """Operations of one pass each way, and bytes of what its modules put out in the precision of `x`."""
    written, hooks = [], []
    for module in net.modules():
        if not list(module.children()):
            hooks.append(module.register_forward_hook(lambda m, i, out: written.append(out.numel())))
    with FlopCounterMode(display=False) as counter:
        net(x).sum().backward()
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops(), sum(written)


def limits(device: torch.device, rounds: int) -> dict[str, float]:
    """Operations a second of matrix products in either precision, and bytes a second of a copy (read and written)."""
    a = torch.randn(SIDE, SIDE, device=device)
    half, source = a.bfloat16(), torch.zeros(COPIED // 4, device=device)
    target = torch.empty_like(source)
    turns = {"fp32": lambda: a @ a, "bf16": lambda: half @ half, "copy": lambda: target.copy_(source)}
    took = in_turn(turns, rounds, device)
    return {name: (2 * COPIED if name == "copy" else 2 * SIDE**3) / took[name].seconds for name in turns}


def rows(name: str, kind: str, device: torch.device, rounds: int, limit: dict, quick: bool) -> dict:
    chosen = recipe(name, "paper")
    full = {"mixdigits": 487}.get(name, chosen.con_batch) if kind == "contrastive" else chosen.sup_batch
    batch = CPU_BATCH.get(name, full) if device.type == "cpu" and kind == "contrastive" else full
    batch = 16 if quick else batch
    turns, net, x = (contrastive if kind == "contrastive" else classifier)(name, device, batch)
    took = in_turn(turns, rounds, device)
    repeats = STEPS if kind == "classifier" else 1
    seconds = {part: spent.seconds / repeats for part, spent in took.items()}
    bf16 = training.autocast(chosen, device)._enabled
    operations, outputs = arithmetic(net, x)
    moved = 2 * outputs * (2 if bf16 else 4)
    return {
        "net": name, "training": kind, "device": device.type, "images_a_pass": len(x),
        "precision": "bf16" if bf16 else "fp32",
        **{f"{part}_ms": rounded(1000 * seconds[part]) if part in seconds else None
           for part in ("step", "floor", "augmentation", "loss", "optimiser")},
        "times_the_floor": round(seconds["step"] / seconds["floor"], 2),
        "floor_GFLOP": rounded(operations / 1e9),
        "share_of_matmul_rate": rounded(operations / seconds["floor"] / limit["bf16" if bf16 else "fp32"]),
        "share_of_copy_bandwidth": rounded(moved / limit["copy"] / seconds["floor"]),
        "matmul_fp32_GFLOPs": rounded(limit["fp32"] / 1e9), "matmul_bf16_GFLOPs": rounded(limit["bf16"] / 1e9),
        "copy_GBs": rounded(limit["copy"] / 1e9),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="16 images: whether it runs, not how fast")
    parser.add_argument("--into", type=Path, default=ROOT / "figures", help="folder of the figure and of results/")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    limit = limits(device, args.rounds)
    found = [rows(name, kind, device, args.rounds, limit, args.quick)
             for name in SHAPES for kind in ("contrastive", "classifier")]  # fmt: skip
    name = "floor" if args.device == "cpu" else "floor-cuda"
    charts.save(charts.floor(keep(name, found, on=machine(device), into=args.into / "results")), name, args.into)


if __name__ == "__main__":
    main()
