"""Augmentations: identity parameters change nothing, each image has its own draw, only the given generator is used."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY
from scipy.stats import ks_2samp
from torch.nn import functional as F
from torchvision.transforms import functional as TF
from torchvision.transforms import v2

from alkit import augment

STILL = dict(rotate=0.0, shear=0.0, scale=(1.0, 1.0), shift=0.0)
SIMCLR = replace(TINY, con_augment="simclr")


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n=6, channels=3, side=16, seed=9):
    return torch.rand(n, channels, side, side, generator=stream(seed))


def blob(side=33):
    """One bright, smooth spot right of the centre."""
    axis = torch.linspace(-1, 1, side)
    return torch.exp(-((axis[None, :] - 0.5) ** 2 + axis[:, None] ** 2) / 0.02).view(1, 1, side, side)


def centre(image_1HW):
    """Centre of mass (x, y) in -1..1, y downwards."""
    side = image_1HW.shape[-1]
    axis = torch.linspace(-1, 1, side)
    mass = image_1HW[0] / image_1HW.sum()
    return float((mass.sum(0) * axis).sum()), float((mass.sum(1) * axis).sum())


VIEWS = {
    "affine": lambda x, g: augment.affine(x, g, rotate=20, shear=15, scale=(0.8, 1.2), shift=0.1),
    "flip_crop": augment.flip_crop,
    "simclr": augment.simclr,
    "colour_jitter": lambda x, g: augment.colour_jitter(x, g, strength=0.5),
}


@pytest.mark.parametrize("name", VIEWS)
def test_augmentation_keeps_shape_type_range_and_its_input(name):
    x = pictures()
    before = x.clone()
    out = VIEWS[name](x, stream())
    assert out.shape == x.shape and out.dtype == x.dtype and out.device == x.device
    assert torch.equal(x, before)
    assert torch.isfinite(out).all() and out.min() >= -1e-6 and out.max() <= 1 + 1e-6
    assert not torch.equal(out, x)


@pytest.mark.parametrize("name", VIEWS)
def test_same_generator_state_gives_the_same_views_and_another_gives_others(name):
    x = pictures()
    assert torch.equal(VIEWS[name](x, stream(1)), VIEWS[name](x, stream(1)))
    assert not torch.equal(VIEWS[name](x, stream(1)), VIEWS[name](x, stream(2)))
    generator = stream(1)
    assert not torch.equal(VIEWS[name](x, generator), VIEWS[name](x, generator))  # two views of one batch differ


@pytest.mark.parametrize("name", VIEWS)
def test_global_random_state_is_neither_read_nor_moved(name):
    x = pictures()
    torch.manual_seed(1)
    first = VIEWS[name](x, stream())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(VIEWS[name](x, stream()), first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", VIEWS)
def test_each_image_has_its_own_parameters(name):
    """The same picture 64 times over must come out in many ways; one draw per batch would give one way."""
    out = VIEWS[name](pictures(1).expand(64, -1, -1, -1), stream())
    assert len(out.flatten(1).unique(dim=0)) >= {"flip_crop": 50, "colour_jitter": 40}.get(name, 64)


def test_affine_with_ranges_of_zero_is_the_identity():
    x = pictures()
    assert torch.allclose(augment.affine(x, stream(), **STILL), x, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 1.4])
def test_affine_scale_above_one_makes_the_picture_larger(scale):
    x = blob()
    grown = augment.affine(x, stream(), **{**STILL, "scale": (scale, scale)})
    assert centre(grown[0])[0] == pytest.approx(0.5 * scale, abs=0.02)
    assert float(grown.sum() / x.sum()) == pytest.approx(scale**2, rel=0.05)


@pytest.mark.parametrize(("option", "bound"), [("rotate", 20.0), ("shift", 0.1), ("shear", 15.0)])
def test_affine_draws_fill_their_bounds_on_both_sides(option, bound):
    x = blob().expand(400, -1, -1, -1)
    out = augment.affine(x, stream(), **{**STILL, option: bound})
    xs, ys = zip(*(centre(image) for image in out), strict=True)
    if option == "rotate":
        seen, limit = [math.degrees(math.atan2(y, v)) for v, y in zip(xs, ys, strict=True)], bound
    elif option == "shift":
        seen, limit = [v - 0.5 for v in xs], 2 * bound  # a side is 2 long
    else:
        spread = [
            float(((image[0] / image.sum()) * torch.outer(*[torch.linspace(-1, 1, 33)] * 2)).sum()) for image in out
        ]
        assert min(spread) < -1e-3 and max(spread) > 1e-3  # slanted both ways; a rotation would move the centre too
        assert max(abs(y) for y in ys) < 0.01
        return
    assert -limit * 1.05 <= min(seen) < -0.9 * limit and 0.9 * limit < max(seen) <= limit * 1.05


def naive_flip_crop(images, generator, pad):
    n, _, height, width = images.shape
    flips = torch.rand(n, generator=generator) < 0.5
    tops = torch.randint(2 * pad + 1, (n, 1), generator=generator)
    lefts = torch.randint(2 * pad + 1, (n, 1), generator=generator)
    out = []
    for image, flip, top, left in zip(images, flips, tops, lefts, strict=True):
        image = F.pad(TF.hflip(image) if flip else image, (pad, pad, pad, pad))
        out.append(TF.crop(image, int(top), int(left), height, width))
    return torch.stack(out)


@pytest.mark.parametrize("pad", [0, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_flip_crop_equals_a_loop_over_images(channels, pad):
    x = pictures(40, channels)
    assert torch.equal(augment.flip_crop(x, stream(), pad=pad), naive_flip_crop(x, stream(), pad))


def test_flip_crop_flips_half_and_reaches_every_offset():
    corner = torch.zeros(1, 1, 9, 9)
    corner[..., 4, 3] = 1
    out = augment.flip_crop(corner.expand(4000, -1, -1, -1), stream())
    rows, columns = out[:, 0].flatten(1).argmax(1).div(9, rounding_mode="floor"), out[:, 0].flatten(1).argmax(1) % 9
    assert set(rows.tolist()) == set(range(9)) and set(columns.tolist()) == set(range(9))
    # column 8 only by a flip to 5 and a shift of +3 or +4 (to 8, or out of sight); unflipped 3 reaches 7 at the most
    flipped_to_8 = float((columns == 8).float().mean())
    assert flipped_to_8 == pytest.approx(0.5 / 9, abs=0.015)


@pytest.mark.parametrize("turns", [1.0, -2.0, 0.0])
def test_hue_turned_by_full_circles_is_the_identity(turns):
    x = pictures()
    assert torch.allclose(augment.rotate_hue(x, torch.full((6,), turns)), x, atol=1e-4)


def test_hue_turn_keeps_luma_and_moves_colour():
    x = pictures()
    turned = augment.rotate_hue(x, torch.linspace(0.1, 0.9, 6))
    assert torch.allclose(augment.grey(turned), augment.grey(x), atol=2e-3)
    assert (turned - x).abs().mean() > 0.05
    thirds = augment.rotate_hue(augment.rotate_hue(x, torch.full((6,), 0.3)), torch.full((6,), 0.7))
    assert torch.allclose(thirds, x, atol=1e-4)


def test_grey_pictures_have_no_hue_to_turn():
    x = pictures(channels=1).expand(-1, 3, -1, -1)
    assert torch.allclose(augment.rotate_hue(x, torch.linspace(0, 1, 6)), x, atol=2e-3)


def test_simclr_jitter_touches_80_and_greys_20_of_a_hundred():
    x = pictures(1).expand(3000, -1, -1, -1)
    out = augment.colour_jitter(x, stream(), strength=0.5)
    greyed = (out - out.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-5
    untouched = (out - x).abs().amax((1, 2, 3)) < 1e-6
    assert float(greyed.float().mean()) == pytest.approx(0.2, abs=0.03)
    assert float(untouched.float().mean()) == pytest.approx(0.2 * 0.8, abs=0.03)


def test_simclr_crop_covers_8_to_100_percent_of_the_area(monkeypatch):
    seen = []
    sample = augment.sample
    monkeypatch.setattr(augment, "sample", lambda x, theta: (seen.append(theta), sample(x, theta))[1])
    augment.simclr(pictures(3000), stream())
    theta = seen[0]
    width, height = theta[:, 0, 0].abs(), theta[:, 1, 1]
    area, aspect = width * height, width / height
    whole = (width < 1) & (height < 1)  # where no side was cut to the picture's
    assert 0.08 * 0.99 <= float(area.min()) < 0.1 and float(area.max()) > 0.9
    assert float(aspect[whole].min()) >= 3 / 4 - 1e-4 and float(aspect[whole].max()) <= 4 / 3 + 1e-4
    assert float((theta[:, 0, 0] < 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    for side, shift in ((width, theta[:, 0, 2]), (height, theta[:, 1, 2])):
        assert bool((shift.abs() + side <= 1 + 1e-5).all())  # the crop never leaves the picture


def test_view_follows_the_recipe():
    x = pictures()
    assert torch.equal(augment.view(x, stream(), SIMCLR), augment.simclr(x, stream()))
    expected = augment.affine(x, stream(), rotate=TINY.rotate, shear=TINY.shear, scale=TINY.scale, shift=TINY.shift)
    assert torch.equal(augment.view(x, stream(), TINY), expected)
    assert torch.allclose(augment.view(x, stream(), replace(TINY, **STILL)), x, atol=1e-5)


def appearance(views_BCHW):
    """What a view looks like, in one number an image each: brightness, contrast, colour, sharpness."""
    red, green, blue = views_BCHW.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    saturation = views_BCHW.amax(1) - views_BCHW.amin(1)
    hue = torch.atan2(3**0.5 * (green - blue).mean((1, 2)), (2 * red - green - blue).mean((1, 2)))
    edges = (luma[:, :, 1:] - luma[:, :, :-1]).abs()
    parts = {"luma": luma.mean((1, 2)), "contrast": luma.std((1, 2)), "red": red.mean((1, 2)), "hue": hue,
             "blue": blue.mean((1, 2)), "saturation": saturation.mean((1, 2)), "edges": edges.mean((1, 2))}  # fmt: skip
    return {name: part.numpy() for name, part in parts.items()}


def test_simclr_views_are_distributed_as_torchvisions():
    """The same smooth colour images through both, each with draws of its own; a chain of another strength differs."""
    coarse = torch.rand(2000, 3, 4, 4, generator=stream())
    images = F.interpolate(coarse, size=(32, 32), mode="bicubic").clamp(0, 1)
    ours = appearance(augment.simclr(images, stream()))

    def distances(brightness):
        jitter = v2.ColorJitter(brightness, 0.4, 0.4, 0.1)
        chain = v2.Compose([v2.RandomResizedCrop(32, antialias=False), v2.RandomHorizontalFlip(),
                            v2.RandomApply([jitter], p=0.8), v2.RandomGrayscale(0.2)])  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            theirs = appearance(torch.stack([chain(image) for image in images]))
        return {name: ks_2samp(ours[name], theirs[name]).statistic for name in ours}

    found = distances(0.4)
    assert max(found.values()) < 0.07 and np.median(list(found.values())) < 0.04, found
    assert distances(0.8)["luma"] > 0.07
