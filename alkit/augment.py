"""Augmentations of a whole batch at once, on tensors, on the batch's own device.

Each takes `images_BCHW` (float in 0..1) and a `torch.Generator` of the same device, gives every image its own random
parameters, and returns new images of the same shape.
"""

import math

import torch
from torch.nn import functional as F

from alkit.recipes import Recipe


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """`n` draws from [low, high) on the generator's device."""
    return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low


def affine(images_BCHW, generator, *, rotate: float, shear: float, scale: tuple[float, float], shift: float):
    """Random rotation and shear (degrees either way), scaling and shift (share of the side either way)."""
    n = len(images_BCHW)
    angle = uniform(n, -rotate, rotate, generator) * (math.pi / 180)
    slope = torch.tan(uniform(n, -shear, shear, generator) * (math.pi / 180))
    zoom = 1 / uniform(n, *scale, generator)  # the sampling grid shrinks where the picture grows
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    # grid_sample's coordinates run from -1 to 1, so a shift by the whole side is 2
    dx, dy = uniform(n, -2 * shift, 2 * shift, generator), uniform(n, -2 * shift, 2 * shift, generator)
    rows = torch.stack([cos, cos * slope - sin, dx, sin, sin * slope + cos, dy], 1)
    return sample(images_BCHW, rows.view(n, 2, 3))


def sample(images_BCHW, theta_B23):
    """Images seen through the affine maps `theta_B23`, bilinear, zero outside."""
    grid = F.affine_grid(theta_B23.to(images_BCHW.dtype), images_BCHW.shape, align_corners=False)
    return F.grid_sample(images_BCHW, grid, padding_mode="zeros", align_corners=False)


def flip_crop(images_BCHW, generator, *, pad: int = 4):
    """Random horizontal flip, then a crop of the same size from the image padded by `pad` zero pixels on each side."""
    n, _, height, width = images_BCHW.shape
    device = images_BCHW.device
    flip = torch.rand(n, generator=generator, device=device) < 0.5
    images_BCHW = torch.where(flip.view(n, 1, 1, 1), images_BCHW.flip(3), images_BCHW)
    padded = F.pad(images_BCHW, (pad, pad, pad, pad))
    top, left = (torch.randint(2 * pad + 1, (n, 1), generator=generator, device=device) for _ in range(2))
    rows = top + torch.arange(height, device=device)
    columns = left + torch.arange(width, device=device)
    batch = torch.arange(n, device=device)
    return padded[batch.view(n, 1, 1), :, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


def simclr(images_BCHW, generator):
    """SimCLR's chain for small images (Chen et al. 2020, appendix B.9): resized crop, flip, colour jitter, grey.

    The crop covers 8 % to 100 % of the area at an aspect of 3/4 to 4/3; the jitter has strength 0.5 and touches 80 %
    of the images, grey 20 %; no blur, as in the CIFAR setting.
    """
    n, device = len(images_BCHW), images_BCHW.device
    area = uniform(n, 0.08, 1.0, generator)
    aspect = torch.exp(uniform(n, math.log(3 / 4), math.log(4 / 3), generator) / 2)
    width, height = (area.sqrt() * aspect).clamp(max=1), (area.sqrt() / aspect).clamp(max=1)
    flip = torch.where(torch.rand(n, generator=generator, device=device) < 0.5, -1.0, 1.0)
    dx, dy = (uniform(n, -1, 1, generator) * (1 - side) for side in (width, height))
    zero = torch.zeros_like(width)
    theta = torch.stack([width * flip, zero, dx, zero, height, dy], 1).view(n, 2, 3)
    return colour_jitter(sample(images_BCHW, theta), generator, strength=0.5)


def colour_jitter(images_BCHW, generator, *, strength: float):
    """Brightness, contrast, saturation and hue of RGB images, each image its own; then grey for every fifth."""
    n, device = len(images_BCHW), images_BCHW.device

    def factor(width):
        return uniform(n, 1 - width, 1 + width, generator).view(n, 1, 1, 1)

    x = images_BCHW * factor(0.8 * strength)
    mean = grey(x).mean((2, 3), keepdim=True)
    x = (x - mean) * factor(0.8 * strength) + mean
    level = grey(x)
    x = (x - level) * factor(0.8 * strength) + level
    x = rotate_hue(x, uniform(n, -0.2 * strength, 0.2 * strength, generator))
    jittered = torch.rand(n, generator=generator, device=device) < 0.8
    x = torch.where(jittered.view(n, 1, 1, 1), x.clamp(0, 1), images_BCHW)
    to_grey = torch.rand(n, generator=generator, device=device) < 0.2
    return torch.where(to_grey.view(n, 1, 1, 1), grey(x).expand_as(x), x)


def grey(images_BCHW):
    """The luma of RGB images (ITU-R 601), one channel."""
    weights = images_BCHW.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (images_BCHW * weights).sum(1, keepdim=True)


def rotate_hue(images_BCHW, turns_B):
    """Hue turned by a share of the full circle: a rotation in the colour plane of YIQ, one 3x3 matrix per image."""
    to_yiq = images_BCHW.new_tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    cos, sin = torch.cos(2 * math.pi * turns_B), torch.sin(2 * math.pi * turns_B)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    turn = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3).to(images_BCHW.dtype)
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, images_BCHW)


def labelled(images_BCHW, generator, recipe: Recipe, kind: str):
    """Labelled images as a classifier is trained on them: `kind` "none", "flip_crop" or "affine"."""
    if kind == "flip_crop":
        return flip_crop(images_BCHW, generator)
    return _affine(images_BCHW, generator, recipe) if kind == "affine" else images_BCHW


def view(images_BCHW, generator, recipe: Recipe):
    """One random view of each image for the contrastive losses, as the recipe says."""
    if recipe.con_augment == "simclr":
        return simclr(images_BCHW, generator)
    return _affine(images_BCHW, generator, recipe)


def _affine(images_BCHW, generator, recipe: Recipe):
    return affine(
        images_BCHW, generator, rotate=recipe.rotate, shear=recipe.shear, scale=recipe.scale, shift=recipe.shift
    )
