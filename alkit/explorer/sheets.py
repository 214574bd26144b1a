"""Images on sprite sheets: WebP pictures of 16 x 16 tiles each, in an order that keeps neighbours together."""

import io

import numpy as np

SIDE = 16  # tiles: a browser decodes a sheet of 448 pixels (28 a tile) in a few ms, when it is first looked at
LOSSLESS_BELOW = 4_000_000  # bytes of raw pixels; above, WebP of quality `QUALITY`: a third of the size
QUALITY = 75
MODES = {1: "L", 3: "RGB"}


def as_nhwc(images) -> np.ndarray:
    """uint8 images as (N, H, W, 1 or 3), from (N, H, W), channels first or channels last; ValueError for all else."""
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8, got {images.dtype}; scale them to 0..255 and convert with .astype('uint8')"
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[1] in MODES:
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[3] not in MODES:
        raise ValueError(
            f"images must be grey or RGB, (N, H, W), (N, 1 or 3, H, W) or (N, H, W, 1 or 3), got {images.shape}"
        )
    if not 1 <= min(images.shape[1:3]) <= max(images.shape[1:3]) <= 256:
        raise ValueError(f"images must be of 1 to 256 pixels a side, got {images.shape[1:3]}; make them smaller")
    return images


def z_order(square_N2: np.ndarray) -> np.ndarray:
    """The samples along a Z-order curve (Morton 1966) of their uint16 coordinates: who is near is mostly next."""
    bits = square_N2.astype(np.uint64)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        bits = (bits | (bits << np.uint64(shift))) & np.uint64(mask)
    return np.argsort(bits[:, 0] | (bits[:, 1] << np.uint64(1)), kind="stable")


def sheets(images_NHWC: np.ndarray, order_N: np.ndarray) -> tuple[list[bytes], np.ndarray]:
    """(WebP files, tile_N uint32): image i is tile `tile_N[i] % SIDE**2`, row by row, of sheet `tile_N[i] // SIDE**2`.

    A last sheet has no more rows than it needs.
    """
    n, height, width, channels = images_NHWC.shape
    tile_N = np.empty(n, np.uint32)
    tile_N[order_N] = np.arange(n)
    lossless = images_NHWC.nbytes <= LOSSLESS_BELOW
    made = []
    for start in range(0, n, SIDE * SIDE):
        part = images_NHWC[order_N[start : start + SIDE * SIDE]]
        rows = -(-len(part) // SIDE)
        tiles = np.zeros((rows * SIDE, height, width, channels), np.uint8)
        tiles[: len(part)] = part
        sheet = tiles.reshape(rows, SIDE, height, width, channels).swapaxes(1, 2)
        made.append(_webp(sheet.reshape(rows * height, SIDE * width, channels), lossless))
    return made, tile_N


def _webp(sheet_HWC: np.ndarray, lossless: bool) -> bytes:
    from PIL import Image

    mode = MODES[sheet_HWC.shape[2]]
    image = Image.fromarray(sheet_HWC[..., 0] if mode == "L" else sheet_HWC).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, quality=QUALITY, method=4, exact=True)
    return buffer.getvalue()
