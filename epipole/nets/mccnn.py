"""MC-CNN's two networks (Zbontar & LeCun 2016, figures 2 and 3): one describes a patch of grey pixels, one says whether
two descriptions match."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PatchTower(nn.Module):
    """3x3 convolutions without a border: patches of 2 layers + 1 pixels to one description, larger images to one for
    every pixel whose patch lies inside. 111,424 weights with 4 layers of 64 channels.

    It computes in float32 wherever it is called: a disparity is the smallest of many costs that are nearly equal, and
    eight bits of mantissa would choose another one.
    """

    def __init__(self, channels: int = 64, layers: int = 4, last_relu: bool = False):
        super().__init__()
        self.margin = layers
        counts = [1] + layers * [channels]
        stages = [layer for a, b in pairwise(counts) for layer in (nn.Conv2d(a, b, 3), nn.ReLU())]
        self.layers = _drawn(*(stages if last_relu else stages[:-1]))

    def forward(self, grey: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c y x"]:
        with torch.autocast(grey.device.type, enabled=False):
            return self.layers(grey)


class Decision(nn.Module):
    """Two descriptions to the log-odds that they match: layers that are fully connected at every pixel.

    530,305 weights with 4 layers of 384 units over 2 x 112 channels. Computes in float32, as `PatchTower` does.
    """

    def __init__(self, channels: int = 112, units: int = 384, layers: int = 4):
        super().__init__()
        counts = [2 * channels] + layers * [units]
        stages = [layer for a, b in pairwise(counts) for layer in (nn.Conv2d(a, b, 1), nn.ReLU())]
        self.layers = _drawn(*stages, nn.Conv2d(units, 1, 1))

    def forward(
        self, left: Float[Tensor, "b c h w"], right: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b 1 h w"]:
        with torch.autocast(left.device.type, enabled=False):
            return self.layers(torch.cat([left, right], 1))


def _drawn(*layers: nn.Module) -> nn.Sequential:
    """He's weights and no bias: with torch's own the first answer is nearly the same for all patches."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.bias, 0.0)  # type: ignore[arg-type]
    return nn.Sequential(*layers)
