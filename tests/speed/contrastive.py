"""Views a second of contrastive training: ours, lightly's SimCLR parts, and the recipe of public SimCLR repositories.

    python tests/speed/contrastive.py [--nets mixdigits mixmnist mixcifar60] [--device cpu] [--rounds 5] [--quick]

All three train the same net with the same projection head, batch, optimiser, temperature and strength of augmentation
on the same images, which are in memory. They differ in how an image becomes a view, and in the loss:

    ours     resident uint8 images, one batched augmentation a step, bf16 autocast and channels last as in a run
    lightly  its transforms of PIL images, projection head and NTXentLoss; a DataLoader with a worker for each thread;
             the same bf16 autocast and the same net, channels last too
    plain    torchvision's transforms of PIL images, the same DataLoader; fp32, contiguous; the loss as one takes it out
             of the similarity matrix with boolean masks

A turn is `steps` whole steps, the loader's start included (its workers live on between turns). Beside the three, what
the two ways of making views give alone, without a net: whoever makes them slower than the net takes them is bound by
it. Rates are medians over `rounds` turns.
"""

import argparse
import contextlib
import os
from dataclasses import replace
from pathlib import Path

import charts
import numpy as np
import torch
from measured import ROOT, in_turn, installed, keep, machine, rounded
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

from alkit import augment, models, training
from alkit.recipes import Recipe, recipe

SHAPES = {"mixdigits": (1, 8, 8), "mixmnist": (1, 28, 28), "mixcifar60": (3, 32, 32)}
STEPS = {"cpu": {"mixdigits": 40, "mixmnist": 12, "mixcifar60": 2}, "cuda": dict.fromkeys(SHAPES, 50)}
CPU_BATCH = {"mixcifar60": 128}  # ResNet-18 takes half a minute of two cores for the recipe's 2 x 1,024 views
NOTHING = torch.zeros(0, dtype=torch.long)


class Pictures(Dataset):
    """Images in memory, as PIL images through a transform."""

    def __init__(self, images_NCHW: np.ndarray, transform):
        self.images_NHWC, self.transform = images_NCHW.transpose(0, 2, 3, 1).squeeze(), transform

    def __len__(self):
        return len(self.images_NHWC)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images_NHWC[index]))


def view_transform(chosen: Recipe, side: int):
    """One view with the strength of `augment.view`, by torchvision's transforms; its v2 takes longer for PIL images."""
    if chosen.con_augment == "affine":
        moves = {"translate": (chosen.shift, chosen.shift), "scale": chosen.scale, "shear": chosen.shear}
        affine = T.RandomAffine(chosen.rotate, **moves, interpolation=T.InterpolationMode.BILINEAR)
        return T.Compose([affine, T.ToTensor()])
    jitter = T.ColorJitter(0.4, 0.4, 0.4, 0.1)
    return T.Compose([
        T.RandomResizedCrop(side, scale=(0.08, 1.0)), T.RandomHorizontalFlip(), T.RandomApply([jitter], p=0.8),
        T.RandomGrayscale(0.2), T.ToTensor(),
    ])  # fmt: skip


def two_views(transform):
    return lambda image: (transform(image), transform(image))


def lightly_transform(chosen: Recipe, side: int):
    """lightly's own transform for SimCLR; for digits, its container of views around the affine maps of the recipe."""
    from lightly.transforms import SimCLRTransform
    from lightly.transforms.multi_view_transform import MultiViewTransform

    if chosen.con_augment == "affine":
        return MultiViewTransform([view_transform(chosen, side)] * 2)
    return SimCLRTransform(input_size=side, cj_strength=0.5, gaussian_blur=0.0, normalize=None)


def plain_loss(z_BD, temperature: float):
    """NT-Xent out of the similarity matrix by boolean masks: positive first, then the negatives, class 0."""
    n = len(z_BD)
    z_BD = F.normalize(z_BD, dim=1)
    similarity = z_BD @ z_BD.T
    itself = torch.eye(n, dtype=torch.bool, device=z_BD.device)
    partner = itself.roll(n // 2, 0)
    positives = similarity[partner].view(n, 1)
    negatives = similarity[~(itself | partner)].view(n, n - 2)
    logits = torch.cat([positives, negatives], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(n, dtype=torch.long, device=z_BD.device))


class Bench:
    """One net and its images; each contestant's turn as a function without arguments."""

    def __init__(self, name: str, device: str, threads: int, quick: bool = False):
        self.name, self.device = name, torch.device(device)
        self.recipe, self.shape = replace(recipe(name, "paper"), cpu_threads=0), SHAPES[name]
        batch = 487 if name == "mixdigits" else self.recipe.con_batch  # a quarter of MixDigits, as in its runs
        self.batch = CPU_BATCH.get(name, batch) if device == "cpu" else batch
        self.steps = STEPS[device][name]
        if quick:
            self.batch, self.steps = 32, 2
        n = self.batch * self.steps
        # noise costs what a picture costs: nothing here depends on content
        self.images_NCHW = np.random.default_rng(0).integers(0, 256, (n, *self.shape), dtype=np.uint8)
        self.resident = torch.from_numpy(self.images_NCHW).to(self.device)
        self.workers = threads
        self.generator = torch.Generator(self.device).manual_seed(0)

    def parts(self, *, head=None, channels_last=True):
        """Encoder, head, parameters and Adam, all with the same start."""
        encoder = models.encoder(self.recipe, self.shape[0], seed=0, device=self.device).train()
        if not channels_last:
            encoder = encoder.to(memory_format=torch.contiguous_format)
        head = head or models.projection_head(self.recipe, encoder.width, seed=0, device=self.device)
        parameters = [*encoder.parameters(), *head.parameters()]
        settings = {"lr": self.recipe.con_lr, "weight_decay": self.recipe.con_weight_decay}
        return encoder, head, parameters, settings

    def ours(self):
        encoder, head, parameters, settings = self.parts()
        optimiser = torch.optim.Adam(parameters, fused=True, **settings)
        nothing = NOTHING.to(self.device)

        def turn():
            rows = torch.arange(len(self.resident), device=self.device)
            for batch in training.batches(rows, self.batch, self.generator):
                loss, _, _ = training.contrastive_step(
                    encoder, head, self.resident, batch, nothing, nothing, self.recipe, self.generator
                )
                training.step(optimiser, loss, parameters, 0.0)

        return turn

    def loader(self, transform):
        return DataLoader(
            Pictures(self.images_NCHW, transform), batch_size=self.batch, shuffle=True, drop_last=True,
            num_workers=self.workers, persistent_workers=True, pin_memory=self.device.type == "cuda",
        )  # fmt: skip

    def lightly(self):
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead

        width, (hidden, out) = models.encoder(self.recipe, self.shape[0], seed=0).width, self.recipe.projection
        head = SimCLRProjectionHead(width, hidden, out, batch_norm=False).to(self.device)
        encoder, head, parameters, settings = self.parts(head=head)
        loss_of = NTXentLoss(temperature=self.recipe.con_temperature)
        precision = training.autocast(self.recipe, self.device)
        loader = self.loader(lightly_transform(self.recipe, self.shape[-1]))
        return self.loop(loader, encoder, head, torch.optim.Adam(parameters, **settings), loss_of, precision), loader

    def plain(self):
        encoder, head, parameters, settings = self.parts(channels_last=False)
        loader = self.loader(two_views(view_transform(self.recipe, self.shape[-1])))

        def loss_of(z0, z1):
            return plain_loss(torch.cat([z0, z1]), self.recipe.con_temperature)

        optimiser = torch.optim.Adam(parameters, **settings)
        return self.loop(loader, encoder, head, optimiser, loss_of, contextlib.nullcontext()), loader

    def loop(self, loader, encoder, head, optimiser, loss_of, precision):
        def turn():
            for first, second in loader:
                views = torch.cat([first, second]).to(self.device, non_blocking=True)
                with precision:
                    z = head(encoder(views))
                    loss = loss_of(*z.chunk(2))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

        return turn

    def only_views(self):
        """Our views without a net."""

        def turn():
            for rows in torch.arange(len(self.resident), device=self.device).split(self.batch):
                x = training.to_float(self.resident[rows])
                for _ in range(2):
                    augment.view(x, self.generator, self.recipe)

        return turn

    def measure(self, rounds: int) -> dict[str, float]:
        """Views a second of each contestant, on the clock and of processor time."""
        lightly, loader = self.lightly()
        plain, plain_loader = self.plain()
        turns = {
            "ours": self.ours(), "lightly": lightly, "plain": plain, "ours, views only": self.only_views(),
            "lightly, views only": lambda: [None for _ in loader],
            "plain, views only": lambda: [None for _ in plain_loader],
        }  # fmt: skip
        views = 2 * self.batch * self.steps
        return {
            name: (rounded(views / took.seconds), rounded(views / max(took.cpu_seconds, 1e-3)))
            for name, took in in_turn(turns, rounds, self.device).items()
        }


def rows(name: str, device: str, rounds: int, threads: int, quick: bool) -> list[dict]:
    bench = Bench(name, device, threads, quick)
    rates = bench.measure(rounds)
    bf16 = training.autocast(bench.recipe, bench.device)._enabled
    common = {
        "net": name, "device": device, "images_a_batch": bench.batch, "ours_and_lightly_in": "bf16" if bf16 else "fp32"
    }  # fmt: skip
    return [
        {**common, "contestant": contestant, "views_per_second": rate, "views_per_cpu_second": of_cpu,
         "ours_is_times_as_fast": round(rates["ours"][0] / rate, 2)}
        for contestant, (rate, of_cpu) in rates.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch, and the loaders' workers")
    parser.add_argument("--quick", action="store_true", help="two steps of 32 images: whether it runs, not how fast")
    parser.add_argument("--into", type=Path, default=ROOT / "figures", help="folder of the figure and of results/")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = [row for name in args.nets for row in rows(name, args.device, args.rounds, args.threads, args.quick)]
    on = f"{machine(args.device)}, lightly {installed('lightly')}"
    name = "contrastive" if args.device == "cpu" else "contrastive-cuda"
    charts.save(charts.contrastive(keep(name, found, on=on, into=args.into / "results")), name, args.into)


if __name__ == "__main__":
    main()
