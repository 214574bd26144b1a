"""The networks: a three-convolution net, ResNet-18 with a CIFAR stem, and the heads.

An encoder maps `images_BCHW` (float in 0..1) to `features_BD` and has the attribute `width` = D.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from alkit.recipes import Recipe
from alkit.rng import seeded

GRID = 3  # positions a side that the linear readout sees: what three halvings leave of 28 px


class PooledConv(nn.Conv2d):
    """A 3x3 convolution (padding 1, no bias) followed by a 2x2 mean, computed as one 4x4 convolution of stride 2.

    Mean and convolution are both linear, so the two equal one convolution whose kernel is the 3x3 kernel summed over
    the four shifts of the mean, divided by 4. That takes a quarter of the arithmetic. Maps (B, C, H, W) become
    (B, out, H // 2, W // 2), as with `nn.AvgPool2d(2)`: an odd last row or column is dropped.
    """

    def __init__(self, channels: int, out: int):
        super().__init__(channels, out, 3, padding=1, bias=False)

    def forward(self, maps_BCHW):
        weight = self.weight
        shifts = [(0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0)]
        kernel = sum(F.pad(weight, shift) for shift in shifts) / 4
        return F.conv2d(maps_BCHW, kernel, stride=2, padding=1)


class ConvNet(nn.Module):
    """Three 3x3 convolutions, each with batch norm and ReLU, then a readout of positions: D = 128 features.

    `widths`: channels of the three. `pooling`: 2 where a 2x2 mean follows a convolution at once (`PooledConv`), 1 where
    none does. `readout`: "mean" over positions, or "linear", a layer with batch norm and ReLU on a grid of 3x3
    positions, for images in which it matters where a stroke is.
    """

    width = 128

    def __init__(
        self,
        channels: int,
        widths: tuple[int, int, int] = (32, 64, 128),
        pooling: tuple[int, int, int] = (2, 2, 2),
        readout: str = "mean",
    ):
        super().__init__()
        before, blocks = channels, []
        for out, pool in zip(widths, pooling, strict=True):
            convolution = PooledConv(before, out) if pool == 2 else nn.Conv2d(before, out, 3, padding=1, bias=False)
            blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)))
            before = out
        self.blocks = nn.Sequential(*blocks)
        self.width = self.width if readout == "linear" else before
        self.readout = (
            nn.Sequential(
                Grid(GRID),
                nn.Flatten(),
                nn.Linear(GRID * GRID * before, self.width, bias=False),
                nn.BatchNorm1d(self.width),
                nn.ReLU(inplace=True),
            )
            if readout == "linear"
            else None
        )

    def forward(self, images_BCHW):
        maps_BCHW = self.blocks(images_BCHW - 0.5)
        return maps_BCHW.mean((2, 3)) if self.readout is None else self.readout(maps_BCHW)


class Grid(nn.AdaptiveAvgPool2d):
    """Mean pooling to a grid of positions; maps that have that many already pass as they are.

    A pool over windows of one position returns what it was given, in an eighth of a small net's time.
    """

    def forward(self, maps_BCHW):
        as_wanted = maps_BCHW.shape[2:] == (self.output_size, self.output_size)
        return maps_BCHW if as_wanted else super().forward(maps_BCHW)


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016) with the stem that 32 px images need: 3x3, stride 1, no pooling. D = 8 `base`.

    `base`: channels of the first of its four pairs of residual blocks; 64 is the published net.
    """

    def __init__(self, channels: int, base: int = 64):
        from torchvision.models.resnet import (
            BasicBlock,
            conv1x1,
            conv3x3,
        )  # a second that reading tables need not wait for

        super().__init__()
        self.width, before, layers = 8 * base, base, []
        for out, stride in ((base, 1), (2 * base, 2), (4 * base, 2), (8 * base, 2)):
            change = None if stride == 1 else nn.Sequential(conv1x1(before, out, stride), nn.BatchNorm2d(out))
            layers.append(nn.Sequential(BasicBlock(before, out, stride, change), BasicBlock(out, out)))
            before = out
        self.stem = nn.Sequential(conv3x3(channels, base), nn.BatchNorm2d(base), nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images_BCHW):
        return self.layers(self.stem(images_BCHW - 0.5)).mean((2, 3))


class SpectralCap(nn.Module):
    """A convolution's weight, divided by max(1, sigma / `limit`): no map may stretch more than that.

    sigma is the largest singular value of the weight as a matrix (out, in * k * k), by power iteration, one step a
    forward pass in training mode (Miyato et al. 2018); the limit of 3 is that of Mukhoti et al. (2023), for DDU.
    """

    def __init__(self, weight: torch.Tensor, limit: float = 3.0):
        super().__init__()
        self.limit = limit
        self.register_buffer("u", nn.functional.normalize(torch.randn(len(weight)), dim=0))
        with torch.no_grad():
            for _ in range(15):
                self._iterate(weight.flatten(1))

    def _iterate(self, matrix):
        v = nn.functional.normalize(matrix.T @ self.u, dim=0)
        self.u.copy_(nn.functional.normalize(matrix @ v, dim=0))

    def forward(self, weight):
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            with torch.no_grad():
                if self.training:
                    self._iterate(matrix)
                u, v = self.u.clone(), nn.functional.normalize(matrix.T @ self.u, dim=0)
            return weight / (u @ matrix @ v / self.limit).clamp(min=1)


class Classifier(nn.Module):
    """An encoder and a linear layer of K + 1 outputs; the last one is the auxiliary class of non-iD samples."""

    def __init__(self, encoder: nn.Module, n_outputs: int):
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(encoder.width, n_outputs)

    def forward(self, images_BCHW):
        return self.linear(self.encoder(images_BCHW))


def encoder(
    recipe: Recipe, channels: int, *, seed: int, device: torch.device | str = "cpu", spectral: bool = False
) -> ConvNet | ResNet18:
    """The recipe's encoder, initialised from `seed` alone; `spectral`: with a `SpectralCap` on every convolution."""
    net: ConvNet | ResNet18
    with seeded(seed):
        if recipe.net == "convnet":
            net = ConvNet(channels, recipe.widths, recipe.pooling, recipe.readout)
        else:
            net = ResNet18(channels, recipe.net_width)
        for module in [part for part in net.modules() if spectral and isinstance(part, nn.Conv2d)]:
            parametrize.register_parametrization(module, "weight", SpectralCap(module.weight))
    return net.to(device, memory_format=torch.channels_last)


def projection_head(recipe: Recipe, width: int, *, seed: int, device: torch.device | str = "cpu") -> nn.Module:
    """The projection head of SimCLR (Chen et al. 2020): linear, ReLU, linear."""
    hidden, out = recipe.projection
    with seeded(seed):
        head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out))
    return head.to(device)


def classifier(encoder_: nn.Module, n_outputs: int, *, seed: int, device: torch.device | str = "cpu") -> Classifier:
    """`encoder_` with a fresh linear layer on top."""
    with seeded(seed):
        net = Classifier(encoder_, n_outputs)
    return net.to(device)
