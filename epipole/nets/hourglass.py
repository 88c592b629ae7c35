"""The hourglass of inception modules of Depth in the Wild (Chen 2016, figure 3 and table 1)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import BatchNorm

NARROW, WIDE = (3, 5, 7), (3, 7, 11)    # kernels beside the 1x1
MODULES = {                             # channels out, channels within, kernels
    "A": (64, 64, WIDE), "A'": (64, 32, WIDE), "B": (128, 32, NARROW), "C": (128, 64, WIDE), "D": (256, 32, NARROW),
    "E": (256, 32, NARROW), "F": (256, 64, WIDE), "G": (128, 32, NARROW),
}
FIRST = 128                             # channels of the first layer


def scaled(channels: int, width: float) -> int:
    """This share of the paper's channels, a multiple of 4."""
    return 4 * max(1, round(width * channels / 4))


class Inception(nn.Module):
    """Four branches with a quarter of the channels each: a 1x1 convolution, and three that look farther behind one."""

    def __init__(self, inputs: int, outputs: int, within: int, kernels: Sequence[int]):
        super().__init__()
        share = outputs // 4
        self.branches = nn.ModuleList([_conv(inputs, share, 1)])
        self.branches.extend(nn.Sequential(_conv(inputs, within, 1), _conv(within, share, k)) for k in kernels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Level(nn.Module):
    """A way round plus the way through half the size, enlarged by repetition."""

    def __init__(self, around: nn.Module, through: nn.Module):
        super().__init__()
        self.around, self.through = around, through

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        around = self.around(x)
        return around + F.interpolate(self.through(x), around.shape[-2:], mode="nearest")


class Hourglass(nn.Module):
    """Images to one map of their size; sides need not be multiples of 16.

    5,546,689 weights at width 1; the authors' network has 7,072 more, the biases that batch-norm takes away again.
    Their batch-norm has a scale and a shift in the first layer alone.
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        first = scaled(FIRST, width)
        level1 = Level(_chain("EE", 256, width), _chain([_half(nn.AvgPool2d), *"EEE"], 256, width))
        level2 = Level(_chain("EF", 256, width), _chain([_half(nn.AvgPool2d), *"EE", level1, *"EF"], 256, width))
        level3 = Level(_chain("BC", 128, width), _chain([_half(nn.MaxPool2d), *"BD", level2, *"EG"], 128, width))
        level4 = Level(_chain("A", 128, width), _chain([_half(nn.MaxPool2d), *"BB", level3, "C", "A'"], 128, width))
        self.first = nn.Sequential(nn.Conv2d(3, first, 7, padding=3, bias=False), BatchNorm(first), nn.ReLU())
        self.levels = level4
        self.last = nn.Conv2d(scaled(MODULES["A"][0], width), 1, 3, padding=1)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        return self.last(self.levels(self.first(image)))


def _chain(parts: Sequence[str | nn.Module], inputs: int, width: float) -> nn.Sequential:
    """Modules by their letters, and what keeps the number of channels, one after the other."""
    layers: list[nn.Module] = []
    before = scaled(inputs, width)
    for part in parts:
        if isinstance(part, str):
            outputs, within, kernels = MODULES[part]
            layers.append(Inception(before, scaled(outputs, width), scaled(within, width), kernels))
            before = scaled(outputs, width)
        else:
            layers.append(part)
    return nn.Sequential(*layers)


def _half(pool: type[nn.AvgPool2d] | type[nn.MaxPool2d]) -> nn.Module:
    """Half the size, rounded up."""
    return pool(2, 2, ceil_mode=True)


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, BatchNorm(outputs, affine=False), nn.ReLU())
