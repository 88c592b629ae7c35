"""A light encoder-decoder with skips, for one map at the size of the image."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import BatchNorm


def normed(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """Convolution and batch-norm, whose moments follow twenty batches: a short training must not end with old ones."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(layer, BatchNorm(outputs, momentum=0.05))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with ELU around a projected shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.first = normed(inputs, outputs, 3, stride)
        self.second = normed(outputs, outputs)
        self.shortcut = normed(inputs, outputs, 1, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        return F.elu(self.second(F.elu(self.first(x))) + self.shortcut(x))


class UNet(nn.Module):
    """Image (and pixel coordinates, which tell a single camera's floor from its ceiling) to `outputs` maps.

    Level l has widths[l] channels at 1 / 2^(l+1) of the size: few where there are many pixels, which cost most. The
    last layer starts small: the first maps are flat.
    """

    def __init__(self, outputs: int, widths: Sequence[int], inputs: int = 3):
        super().__init__()
        inputs += 2
        self.stem = normed(inputs, widths[0], 5, 2)
        levels = list(pairwise(widths))
        self.down = nn.ModuleList(ResidualBlock(a, b, 2) for a, b in levels)
        self.up = nn.ModuleList(ResidualBlock(a + b, a) for a, b in reversed(levels))
        self.full = nn.Conv2d(widths[0] + inputs, widths[0] * 3 // 4, 3, 1, 1)
        self.last = nn.Conv2d(widths[0] * 3 // 4, outputs, 3, 1, 1)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.constant_(self.last.bias, 0.0)  # type: ignore[arg-type]

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        x = torch.cat([image, coordinates(image)], 1).contiguous(memory_format=torch.channels_last)
        skips = [F.elu(self.stem(x))]
        for block in self.down:
            skips.append(block(skips[-1]))
        y = skips.pop()
        for block in self.up:
            skip = skips.pop()
            y = block(torch.cat([F.interpolate(y, size=skip.shape[-2:], mode="nearest"), skip], 1))
        y = F.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return self.last(F.elu(self.full(torch.cat([y, x], 1))))


def coordinates(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 h w"]:
    """(x, y) of every pixel in [-1, 1]."""
    h, w = image.shape[-2:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    return torch.stack([x, y]).to(image).expand(len(image), 2, h, w)
