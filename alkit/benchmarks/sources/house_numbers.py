"""House numbers: a generated stand-in for the cropped digits of SVHN (Netzer et al., 2011).

Digits of fonts that matplotlib ships, in random colours over coloured, uneven, blurred and noisy grounds, the digit
that is meant in the middle and its neighbours cut off at the edges. Not SVHN, and never to be called so: a benchmark
that is built with it carries its name.
"""

from functools import cache

import numpy as np

from alkit import rng
from alkit.benchmarks.sources.glyphs import FACES, font_folder

SIDE = 32  # pixels a side of an image
FINE = 3  # drawn this many times larger, then averaged
CANVAS = SIDE * FINE
DIGITS = "0123456789"


def house_numbers(count: int, *, seed: int = 0, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`count` images, from number `first` on: `images_NHWC` uint8 (count, 32, 32, 3) and `labels_N` int64 (0..9).

    Image i shows the digit i % 10 and depends on (seed, i) alone. Needs matplotlib, for its fonts, and Pillow.
    """
    numbers = range(first, first + count)
    images_NHWC = np.stack([_house_number(i, seed) for i in numbers])
    return images_NHWC, np.array([i % 10 for i in numbers], dtype=np.int64)


def _house_number(number: int, seed: int) -> np.ndarray:
    from PIL import Image, ImageFilter

    stream = rng.numpy_stream(seed, "house_numbers", number)
    ground_HWC, paint_C = _ground(stream), _paint(stream)
    luminance = ground_HWC.mean((0, 1)) @ LUMA
    if abs(paint_C @ LUMA - luminance) < 45:  # it could not be read
        paint_C = paint_C * 0.35 if luminance > 128 else 255 - (255 - paint_C) * 0.35
    glyphs, shadow = _digits(DIGITS[number % 10], stream)
    scene_HWC = ground_HWC
    if shadow is not None:
        scene_HWC = _over(scene_HWC, shadow, ground_HWC.mean((0, 1)) * stream.uniform(0.2, 0.7))
    scene_HWC = _over(scene_HWC, glyphs, paint_C)
    image = Image.fromarray(scene_HWC.clip(0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(FINE * stream.gamma(1.6, 0.45)))
    if stream.random() < 0.35:  # many crops were enlarged from a few pixels
        few = int(stream.integers(9, 22))
        image = image.resize((few, few), Image.Resampling.BOX)
    image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return _camera(np.asarray(image, float), stream)


LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def _paint(stream) -> np.ndarray:
    """A colour, rarely a strong one: RGB, float (3,) in 0..255."""
    grey, tint = stream.uniform(15, 250), stream.normal(size=3)
    return (grey + tint * stream.choice([5, 20, 60], p=[0.5, 0.4, 0.1])).clip(0, 255)


def _ground(stream) -> np.ndarray:
    """A wall, a door or a plate: one colour, a slope towards another, large stains, perhaps boards or a border."""
    from PIL import Image

    y, x = np.mgrid[0:CANVAS, 0:CANVAS] / CANVAS - 0.5
    angle = stream.uniform(0, 2 * np.pi)
    slope_HW = (x * np.cos(angle) + y * np.sin(angle)) * stream.gamma(1.5, 30)
    cells = int(stream.integers(2, 9))
    stains = Image.fromarray(stream.normal(size=(cells, cells)).astype(np.float32))
    stains_HW = np.asarray(stains.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)) * stream.gamma(1.2, 9)
    kind = stream.random()
    if kind < 0.2:  # boards or bricks: dark joints at equal distances, either way
        along = y if stream.random() < 0.6 else x
        phase = (along * stream.uniform(3, 9) + stream.random()) % 1
        stains_HW = stains_HW - (phase < stream.uniform(0.05, 0.2)) * stream.uniform(10, 60)
    ground_HWC = _paint(stream) + (slope_HW + stains_HW)[..., None]
    if 0.2 <= kind < 0.5:  # the edge of a plate, a door frame, a shaded corner
        side = x * np.cos(angle) + y * np.sin(angle) > stream.uniform(0.2, 0.45)
        ground_HWC[side] = _paint(stream) + (ground_HWC[side] - ground_HWC[side].mean(0)) if side.any() else 0
    return ground_HWC


@cache
def _font(face: str, size: int):
    from PIL import ImageFont

    return ImageFont.truetype(font_folder() / f"{face}.ttf", size, layout_engine=ImageFont.Layout.BASIC)


def _digits(digit: str, stream):
    """Coverage of the digits, and of their shadow or None: Pillow images (CANVAS, CANVAS), mode L."""
    from PIL import Image, ImageDraw

    font = _font(FACES[stream.integers(len(FACES))], int(stream.integers(85, 135)))
    before, after = ("".join(stream.choice(list(DIGITS), size=stream.choice(3, p=[0.4, 0.4, 0.2]))) for _ in range(2))
    gap, pen = int(stream.integers(-2, 14)), int(stream.choice([0, 1, 2, 4], p=[0.35, 0.3, 0.2, 0.15]))
    side = 2 * CANVAS  # room to turn
    image, middle = Image.new("L", (side, side)), side / 2
    draw = ImageDraw.Draw(image)
    left = middle - font.getlength(digit) / 2
    right = middle + font.getlength(digit) / 2
    draw.text((middle, middle), digit, 255, font, "mm", stroke_width=pen)
    for neighbour in reversed(before):
        left -= gap + font.getlength(neighbour)
        draw.text((left, middle), neighbour, 255, font, "lm", stroke_width=pen)
    for neighbour in after:
        draw.text((right + gap, middle), neighbour, 255, font, "lm", stroke_width=pen)
        right += gap + font.getlength(neighbour)
    cos, sin = np.cos(turn := np.deg2rad(stream.normal(0, 7))), np.sin(turn)
    slant, wide = stream.normal(0, 0.12), stream.uniform(0.85, 1.5)
    matrix_22 = np.array([[cos, sin], [-sin, cos]]) @ np.array([[wide, slant], [0, 1]])
    centre_2 = np.array([CANVAS / 2, CANVAS / 2]) + stream.normal(0, FINE * 1.2, size=2)

    def seen(shift_2):
        offset_2 = middle - matrix_22 @ (centre_2 + shift_2)
        values = (*matrix_22[0], offset_2[0], *matrix_22[1], offset_2[1])
        return image.transform((CANVAS, CANVAS), Image.Transform.AFFINE, values, Image.Resampling.BILINEAR)

    shadow = seen(stream.normal(0, FINE * 1.3, size=2)) if stream.random() < 0.4 else None
    return seen(np.zeros(2)), shadow


def _over(scene_HWC, coverage, paint_C) -> np.ndarray:
    share_HW1 = np.asarray(coverage, float)[..., None] / 255
    return scene_HWC * (1 - share_HW1) + paint_C * share_HW1


def _camera(image_HWC, stream) -> np.ndarray:
    """Contrast, exposure and noise: uint8 (H, W, 3)."""
    mean = image_HWC.mean()
    image_HWC = mean * stream.uniform(0.8, 1.1) + (image_HWC - mean) * stream.uniform(0.4, 1.1)
    image_HWC = image_HWC + stream.normal(size=image_HWC.shape) * stream.gamma(1.5, 2.0)
    return np.rint(image_HWC.clip(0, 255)).astype(np.uint8)
