"""A convolutional AlexNet with a coarse-to-fine head (Garg 2016; after Krizhevsky 2012 and Long 2015)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

CHANNELS = (96, 256, 384, 384, 256, 2048, 2048)  # of L1 .. L7
GAIN = 0.1                                       # of the maps, which are shares of the width


class CoarseToFine(nn.Module):
    """Image to one map at 1/4, 1/8, 1/16, 1/32 of its size, the finest first; 21,075,268 weights at width 1.

    L1 .. L5 are AlexNet's, L6 and L7 its fully connected layers as convolutions (5x5 and 1x1), L8 the coarsest map.
    Each block enlarges the map (bilinearly, x2) and adds what a 3x3 convolution sees in the features of that size. All
    maps begin near `start` and move by about a hundredth in a step of training, whatever the number of channels.
    """

    def __init__(self, width: float = 1.0, start: float = 0.0):
        super().__init__()
        c = [max(4, round(width * n)) for n in CHANNELS]
        self.stages = nn.ModuleList([
            nn.Sequential(_conv(3, c[0], 11, 4)),
            nn.Sequential(_pool()),
            nn.Sequential(_conv(c[0], c[1], 5), _pool()),
            nn.Sequential(_conv(c[1], c[2], 3), _conv(c[2], c[3], 3), _conv(c[3], c[4], 3), _pool(),
                          _conv(c[4], c[5], 5), _conv(c[5], c[6], 1)),
        ])
        self.maps = nn.ModuleList(_Map(n) for n in (c[0], c[0], c[1], c[6]))
        self.start = start

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 1 _ _"]]:
        features = [image - 0.45]
        for stage in self.stages:
            features.append(stage(features[-1]))
        found = [self.start + self.maps[-1](features[-1])]
        for feature, predict in zip(features[-2:0:-1], list(self.maps)[-2::-1], strict=True):
            larger = F.interpolate(found[-1], feature.shape[-2:], mode="bilinear", align_corners=False)
            found.append(larger + predict(feature))
        return found[::-1]


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(_unbiased(layer), nn.ReLU())


def _unbiased(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, its biases set to 0."""
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, 2, 1)


class _Map(nn.Conv2d):
    """A linear 3x3 convolution whose output does not grow with its inputs."""

    def __init__(self, inputs: int):
        super().__init__(inputs, 1, 3, padding=1)
        nn.init.normal_(_unbiased(self).weight, std=0.1)
        self.gain = GAIN / (9 * inputs) ** 0.5

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        return self.gain * super().forward(x)
