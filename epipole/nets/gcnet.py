"""GC-Net's two networks (Kendall et al. 2017, table 1): a tower over each image, an hourglass over the cost volume.

Numbers in comments are the paper's layers. Every layer but the last of each network is followed by batch-norm and ReLU;
all have a bias, as counted in the paper.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

MULTIPLE = 32   # of which height, width and number of disparities are multiples


class Tower(nn.Module):
    """Features at half the size; 160,736 weights at 32 channels."""

    def __init__(self, channels: int = 32, units: int = 8):
        super().__init__()
        self.first = _flat(3, channels, 5, 2)                                                       # 1
        self.units = nn.ModuleList(
            nn.Sequential(_flat(channels, channels), _flat(channels, channels)) for _ in range(units)  # 2 .. 17
        )
        self.last = nn.Conv2d(channels, channels, 3, 1, 1)                                          # 18

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c _ _"]:
        x = self.first(image)
        for unit in self.units:
            x = x + unit(x)
        return self.last(x)


class Hourglass(nn.Module):
    """A volume of 2 c channels at half the resolution to one cost for every disparity and pixel at the full one;
    2,686,465 weights at c = 32."""

    def __init__(self, channels: int = 32):
        super().__init__()
        c = channels
        self.full = nn.Sequential(_deep(2 * c, c), _deep(c, c))                                     # 19, 20
        widths = [2 * c, 2 * c, 2 * c, 2 * c, 4 * c]
        self.down = nn.ModuleList(_deep(a, b, 2) for a, b in pairwise(widths))                      # 21, 24, 27, 30
        self.level = nn.ModuleList(
            nn.Sequential(_deep(b, b), _deep(b, b)) for b in widths[1:]           # 22-23, 25-26, 28-29, 31-32
        )
        self.up = nn.ModuleList(_wide(a, b) for a, b in pairwise([4 * c, 2 * c, 2 * c, 2 * c, c]))  # 33 .. 36
        self.last = nn.ConvTranspose3d(c, 1, 3, 2, 1, output_padding=1)                             # 37

    def forward(self, volume: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b _ _ _"]:
        skips, x = [self.full(volume)], volume
        for down, level in zip(self.down, self.level, strict=True):
            x = down(x)
            skips.append(level(x))
        y = skips.pop()
        for up in self.up:
            y = up(y) + skips.pop()
        return self.last(y)[:, 0]


def _flat(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def _deep(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(inputs, outputs, 3, stride, 1), nn.BatchNorm3d(outputs), nn.ReLU())


def _wide(inputs: int, outputs: int) -> nn.Sequential:
    layer = nn.ConvTranspose3d(inputs, outputs, 3, 2, 1, output_padding=1)
    return nn.Sequential(layer, nn.BatchNorm3d(outputs), nn.ReLU())
