"""Images drawn from the fonts that matplotlib ships: what all drawn sources share, and the letters of MixDigits.

Needs matplotlib, for its fonts, and Pillow; both only when something is drawn.
"""

from pathlib import Path

import numpy as np

from alkit import rng

LETTERS = "ABCDEFGHIJ"
GRID = 8  # pixels a side of an image of load_digits
BLOCK = 4  # a pixel counts the ink of a 4x4 block of a 32x32 bitmap
CANVAS = GRID * BLOCK
FONT_SIZE = 96  # px; large enough that FreeType's hinting is invisible once the glyph fills 32 px
INK_RANGE = (251, 397)  # 1 % and 99 % quantile of a digit's ink over load_digits, in bitmap pixels of 1,024


# Named one by one, so that a matplotlib with more fonts draws the same letters. Left out, for want of Latin capitals:
# cmsy10, cmex10, STIXNonUni*, STIXSiz*, the two "Display" faces (four glyphs each) and LastResort.
FACES = (
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSans",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "DejaVuSerif-Italic",
    "DejaVuSerif",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmmi10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)


def to_grey(counts: np.ndarray) -> np.ndarray:
    """Ink counts 0..16 of 4x4 blocks as uint8 grey levels 0..255, in seventeen equal steps."""
    return np.rint(counts * (255 / BLOCK**2)).astype(np.uint8)


def block_sums(bitmap_HW: np.ndarray) -> np.ndarray:
    """Ink counts 0..16 of the 4x4 blocks of a binary bitmap: the step that made `load_digits`."""
    height, width = bitmap_HW.shape
    return bitmap_HW.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).sum((1, 3))


def letters(count: int, *, seed: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`count` letters, from number `first` on: `images_NHW` uint8 (count, 8, 8) and `labels_N` int64 (0..9 = A..J).

    Letter i is `LETTERS[i % 10]` and depends on (seed, i) alone, so that any can be drawn again without the rest.
    """
    numbers = range(first, first + count)
    images_NHW = np.stack([to_grey(block_sums(_letter_bitmap(i, seed))) for i in numbers])
    return images_NHW, np.array([i % len(LETTERS) for i in numbers], dtype=np.int64)


def _letter_bitmap(number: int, seed: int) -> np.ndarray:
    """Letter `number` as a binary bitmap (32, 32); drawn anew until its ink is what a handwritten digit has."""
    stream = rng.numpy_stream(seed, "letters", number)
    while True:
        bitmap_HW = _place(_glyph(LETTERS[number % len(LETTERS)], stream), stream)
        if INK_RANGE[0] <= bitmap_HW.sum() <= INK_RANGE[1]:
            return bitmap_HW


def _glyph(letter: str, stream: np.random.Generator):
    """`letter` in a random face, pen width, slant and rotation: a Pillow image cropped to the ink."""
    from PIL import Image, ImageDraw, ImageFont

    face = FACES[stream.integers(len(FACES))]
    font = ImageFont.truetype(font_folder() / f"{face}.ttf", FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
    side = 2 * FONT_SIZE
    image = Image.new("L", (side, side))
    pen = int(stream.integers(0, 7))  # px of outline on either side: handwriting has thicker strokes than type
    ImageDraw.Draw(image).text((side / 2, side / 2), letter, fill=255, font=font, anchor="mm", stroke_width=pen)
    slant = stream.uniform(-0.2, 0.2)
    shear = (1, slant, -slant * side / 2, 0, 1, 0)
    image = image.transform(image.size, Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR)
    image = image.rotate(stream.uniform(-8, 8), Image.Resampling.BILINEAR)
    return image.crop(image.getbbox())


def _place(glyph, stream: np.random.Generator) -> np.ndarray:
    """`glyph` scaled to the height that digits have, shifted a little and made binary: bool (32, 32)."""
    from PIL import Image

    height = int(stream.integers(CANVAS - 3, CANVAS + 1))
    natural = height * glyph.width / glyph.height
    width = int(np.clip(natural * stream.uniform(0.75, 1.0), 10, 25))  # digits keep clear of the outer columns
    glyph = glyph.resize((width, height), Image.Resampling.BOX)
    left = (CANVAS - width) // 2 + int(stream.integers(-2, 3))
    top = int(stream.integers(0, CANVAS - height + 1))
    canvas = Image.new("L", (CANVAS, CANVAS))
    canvas.paste(glyph, (left, top))
    return np.asarray(canvas) >= 128


def font_folder() -> Path:
    """Where matplotlib keeps its fonts."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"
