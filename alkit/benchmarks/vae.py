"""The networks behind the ambiguous digits: a hierarchical VAE in the style of NVAE, and an ensemble of voters.

NVAE: Vahdat and Kautz, 2020, arXiv:2007.03898. Ours is compact: latents at two or three scales on a top-down path,
residual cells with batch norm, Swish and squeeze-and-excitation, posteriors relative to their priors.

Shape letters: B batch, C channels, H W pixels, V voters, F features, K classes, L latent groups.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


class HierarchicalVAE(nn.Module):
    """The generator; images are (B, 1, size, size), float in 0..1.

    Each `patch` x `patch` square of pixels is one position of the finest hidden map, whose side is `size` / `patch`.
    `scales` are the sides of the latent maps, coarse to fine, each about half of the next and the last of the finest
    hidden map's. At each there are `groups` latent maps of `latents` channels; every hidden map has `width` channels.
    """

    def __init__(self, size: int, scales: Sequence[int], *, groups: int, latents: int, width: int, patch: int = 1):
        super().__init__()
        self.patch, self.sides = patch, (*scales[1:], size // patch)
        self.stem = nn.Sequential(nn.Conv2d(patch**2, width, 3, padding=1), Cell(width))
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1), Cell(width), Cell(width)) for _ in scales
        )
        self.top = nn.Parameter(torch.zeros(1, width, scales[0], scales[0]))
        self.groups = nn.ModuleList(nn.ModuleList(LatentGroup(width, latents) for _ in range(groups)) for _ in scales)
        self.up = nn.ModuleList(nn.Sequential(nn.Conv2d(width, width, 3, padding=1), Cell(width)) for _ in scales)
        self.head = nn.Sequential(
            Cell(width), nn.BatchNorm2d(width), nn.SiLU(), nn.Conv2d(width, 2 * patch**2, 3, padding=1)
        )

    def forward(self, images_B1HW: torch.Tensor, generator: torch.Generator):
        """Logistic location and log scale of every pixel, each (B, 1, H, W); KL of every group `kl_LB` (nats); latents.

        The latents are draws from the posteriors, one (B, latents, side, side) a group from the top of the path down,
        in standard units: 0 and 1 are the mean and the deviation of the prior, given what is above.
        """
        path, kls, latents = self.top.expand(len(images_B1HW), -1, -1, -1), [], []
        for step, seen in enumerate(self._pyramid(images_B1HW)):
            for group in self.groups[step]:
                shift, log_ratio = group.relative_posterior(path, seen)
                noise = torch.randn(shift.shape, generator=generator, device=shift.device)
                kls.append(relative_kl(shift, log_ratio).flatten(1).sum(1))
                latents.append(shift + log_ratio.exp() * noise)
                path = group.descend(path, latents[-1])
            path = self._rise(path, step)
        return *self._pixels(path), torch.stack(kls), latents

    def decode(self, latents: Sequence[torch.Tensor]) -> torch.Tensor:
        """Location of every pixel, (B, 1, H, W), from latents as `forward` returns them.

        It may leave 0..1, which keeps an order among saturated pixels.
        """
        path, waiting = self.top.expand(len(latents[0]), -1, -1, -1), iter(latents)
        for step, groups in enumerate(self.groups):
            for group in groups:
                path = group.descend(path, next(waiting))
            path = self._rise(path, step)
        return self._pixels(path)[0]

    def _pyramid(self, images_B1HW):
        """Encoder maps, one a scale, coarse to fine."""
        maps, pyramid = self.stem(F.pixel_unshuffle(images_B1HW, self.patch)), []
        for down in self.down:
            maps = down(maps)
            pyramid.insert(0, maps)
        return pyramid

    def _rise(self, path_BCHW, step):
        """From scale number `step` to the next finer one; the last step leads to the finest hidden map."""
        side = self.sides[step]
        return self.up[step](F.interpolate(path_BCHW, size=(side, side), mode="nearest"))

    def _pixels(self, path_BCHW):
        parts = self.head(path_BCHW).float().chunk(2, 1)
        location, log_scale = (F.pixel_shuffle(part, self.patch) for part in parts)
        return location + 0.5, (log_scale - 1).clamp(-7, 1)


class LatentGroup(nn.Module):
    """One latent map: its prior given the path so far, its posterior relative to it, and its way into the path."""

    def __init__(self, width: int, latents: int):
        super().__init__()
        self.prior = nn.Sequential(nn.SiLU(), nn.Conv2d(width, 2 * latents, 1))
        self.posterior = nn.Sequential(Cell(width), nn.SiLU(), nn.Conv2d(width, 2 * latents, 1))
        self.inject = nn.Conv2d(width + latents, width, 1)
        self.cell = Cell(width)

    def relative_posterior(self, path_BCHW, seen_BCHW):
        """How far the posterior's mean is from the prior's, in the latter's deviations, and the log ratio of both."""
        shift, log_ratio = self.posterior(path_BCHW + seen_BCHW).float().chunk(2, 1)
        return shift, _bounded(log_ratio)

    def descend(self, path_BCHW, standard_BCHW):
        """The path below this group, for a latent in standard units."""
        mean, log_std = self.prior(path_BCHW).chunk(2, 1)
        latent = mean + _bounded(log_std).exp() * standard_BCHW
        return self.cell(path_BCHW + self.inject(torch.cat([path_BCHW, latent], 1)))


class Cell(nn.Module):
    """Residual cell: twice (batch norm, Swish, 3x3 convolution), then squeeze-and-excitation."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.BatchNorm2d(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)),
            *(nn.BatchNorm2d(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)),
        )
        self.excite = nn.Sequential(nn.Linear(width, width // 4), nn.SiLU(), nn.Linear(width // 4, width), nn.Sigmoid())

    def forward(self, maps_BCHW: torch.Tensor) -> torch.Tensor:
        out_BCHW = self.body(maps_BCHW)
        return maps_BCHW + out_BCHW * self.excite(out_BCHW.mean((2, 3)))[:, :, None, None]


def _bounded(log_std):
    return 5 * torch.tanh(log_std / 5)  # NVAE's soft clamp: no exploding KL, and a gradient everywhere


def relative_kl(shift, log_ratio):
    """KL(N(m + s d, (s r)^2) || N(m, s^2)) of each latent, from d and log r; NVAE, Eq. 2, the shift in units of s."""
    return 0.5 * (shift**2 + torch.expm1(2 * log_ratio)) - log_ratio


def discretised_logistic(images, location, log_scale, *, levels: int) -> torch.Tensor:
    """Log likelihood (nats) of every pixel among `levels` grey levels, equally spaced over 0..1.

    Salimans et al., 2017, arXiv:1701.05517, Eq. 2, with one component; the outermost levels take the tails.
    """
    half, precision = 0.5 / (levels - 1), (-log_scale).exp()
    upper, lower = (images - location + half) * precision, (images - location - half) * precision
    # log(sigmoid(upper) - sigmoid(lower)), written so that nothing cancels where both are near 0 or 1
    inner = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-2 * half * precision))
    return torch.where(images < half, F.logsigmoid(upper), torch.where(images > 1 - half, F.logsigmoid(-lower), inner))


class Voters(nn.Module):
    """V small convolutional classifiers as one network: convolution group v and matrix v belong to voter v alone.

    Each has 3x3 convolutions of `widths` channels and `strides`, with batch norm and ReLU, and one linear layer.
    """

    def __init__(self, voters: int, size: int, *, widths: Sequence[int], strides: Sequence[int], classes: int):
        super().__init__()
        self.voters = voters
        layers, before = [], 1
        for width, stride in zip(widths, strides, strict=True):
            layers += [
                nn.Conv2d(voters * before, voters * width, 3, stride, padding=1, groups=voters, bias=False),
                nn.BatchNorm2d(voters * width),
                nn.ReLU(inplace=True),
            ]
            before, size = width, -(-size // stride)
        self.convolutions = nn.Sequential(*layers)
        bound = (before * size**2) ** -0.5  # torch's own bound for a linear layer
        self.weight_VFK = nn.Parameter(torch.empty(voters, before * size**2, classes).uniform_(-bound, bound))
        self.bias_V1K = nn.Parameter(torch.zeros(voters, 1, classes))

    def forward(self, images_BVHW: torch.Tensor) -> torch.Tensor:
        """Logits (V, B, K); channel v of an image is what voter v sees."""
        maps = self.convolutions(images_BVHW)
        features_VBF = maps.reshape(len(maps), self.voters, -1).transpose(0, 1)
        return torch.baddbmm(self.bias_V1K, features_VBF, self.weight_VFK)
