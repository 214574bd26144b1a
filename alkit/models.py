"""The networks: a three-convolution net, ResNet-18 with a CIFAR stem, and the heads.

An encoder maps `images_BCHW` (float in 0..1) to `features_BD` and has the attribute `width` = D.
"""

import torch
from torch import nn
from torchvision.models import resnet18

from .recipes import Recipe
from .rng import seeded


class ConvNet(nn.Module):
    """Three 3x3 convolutions (32, 64, 128 channels) with batch norm and ReLU, then the mean over positions: D = 128."""

    width = 128

    def __init__(self, channels: int, strides: tuple[int, ...] = (2, 2, 2)):
        super().__init__()
        widths = (channels, 32, 64, self.width)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(widths[i], widths[i + 1], 3, stride=stride, padding=1, bias=False),
                    nn.BatchNorm2d(widths[i + 1]),
                    nn.ReLU(inplace=True),
                )
                for i, stride in enumerate(strides)
            )
        )

    def forward(self, images_BCHW):
        return self.blocks(images_BCHW - 0.5).mean((2, 3))


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016) with the stem that 32 px images need: 3x3, stride 1, no pooling. D = 512."""

    width = 512

    def __init__(self, channels: int):
        super().__init__()
        self.net = resnet18(weights=None)
        self.net.conv1 = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
        self.net.maxpool = nn.Identity()
        self.net.fc = nn.Identity()

    def forward(self, images_BCHW):
        return self.net(images_BCHW - 0.5)


class Classifier(nn.Module):
    """An encoder and a linear layer of K + 1 outputs; the last one is the auxiliary class of non-iD samples."""

    def __init__(self, encoder: nn.Module, n_outputs: int):
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(encoder.width, n_outputs)

    def forward(self, images_BCHW):
        return self.linear(self.encoder(images_BCHW))


def encoder(recipe: Recipe, channels: int, *, seed: int, device: torch.device | str = "cpu") -> nn.Module:
    """The recipe's encoder, initialised from `seed` alone."""
    with seeded(seed):
        net = ConvNet(channels, recipe.strides) if recipe.net == "convnet" else ResNet18(channels)
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
