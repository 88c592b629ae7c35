"""GoogLeNet (Szegedy et al. 2015) as a trunk: its nine inception modules without the classifiers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import conv

# channels of the 1x1 branch, before and of the 3x3, before and of the 5x5, and behind the pooling
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}
POOLED = ("3b", "4e")       # half the size after these
TAPPED = ("4a", "4d", "5b")  # whose maps come out


class Inception(nn.Module):
    """1x1, 3x3 and 5x5 convolutions and a 3x3 maximum side by side; what is large is made narrow before."""

    def __init__(self, inputs: int, channels: Sequence[int], batch_norm: bool):
        super().__init__()
        one, before3, three, before5, five, pooled = channels
        self.branches = nn.ModuleList([
            conv(inputs, one, 1, batch_norm=batch_norm),
            nn.Sequential(conv(inputs, before3, 1, batch_norm=batch_norm), conv(before3, three, 3, 1, batch_norm)),
            nn.Sequential(conv(inputs, before5, 1, batch_norm=batch_norm), conv(before5, five, 5, 1, batch_norm)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(inputs, pooled, 1, batch_norm=batch_norm)),
        ])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return torch.cat([branch(x) for branch in self.branches], 1)


class GoogLeNet(nn.Module):
    """Images to the maps of modules 4a, 4d (1/16 of the size, rounded up) and 5b (1/32).

    5,973,552 weights at width 1 without batch-norm, with which the two local response normalisations go.
    """

    def __init__(self, width: float = 1.0, batch_norm: bool = False):
        super().__init__()
        first, second = _scaled((64, 192), width)
        self.normalise = nn.Identity() if batch_norm else nn.LocalResponseNorm(5)
        self.first = conv(3, first, 7, 2, batch_norm)
        self.second = nn.Sequential(
            conv(first, first, 1, batch_norm=batch_norm), conv(first, second, 3, 1, batch_norm))
        before, self.channels, stages = second, [], {}
        for name, paper in MODULES.items():
            channels = _scaled(paper, width)
            stages[name] = Inception(before, channels, batch_norm)
            before = channels[0] + channels[2] + channels[4] + channels[5]
            if name in TAPPED:
                self.channels.append(before)
        self.stages = nn.ModuleDict(stages)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        x = self.normalise(_halved(self.first(image)))
        x = _halved(self.normalise(self.second(x)))
        maps = []
        for name, stage in self.stages.items():
            x = stage(x)
            if name in TAPPED:
                maps.append(x)
            if name in POOLED:
                x = _halved(x)
        return maps


def _halved(x: Tensor) -> Tensor:
    """The maximum over 3x3 pixels at every second one, sizes rounded up."""
    return F.max_pool2d(x, 3, 2, 1)


def _scaled(channels: Sequence[int], width: float) -> list[int]:
    return [max(4, round(width * c)) for c in channels]
