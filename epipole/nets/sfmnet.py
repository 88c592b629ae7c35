"""The two networks of SfM-Net (Vijayanarasimhan et al. 2017): one shape of convolutions and up-convolutions for depth
and for motion."""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import conv, predict, upconv

CHANNELS = (32, 64, 128, 256, 512, 1024)    # at the whole size, and at each half of the size before
START = 0.2                                 # factor that lets motions start near zero


class ConvDeconv(nn.Module):
    """Images to features of their size, and the coarsest ones, at 1/32 of it. Convolutions 3x3, of strides 2 and 1 in
    turn; after each up-convolution the features of that size are appended."""

    def __init__(self, inputs: int, width: float = 1.0, batch_norm: bool = False):
        super().__init__()
        counts = [max(4, round(width * c)) for c in CHANNELS]
        self.first = conv(inputs, counts[0], 3, 1, batch_norm)
        self.down = nn.ModuleList(
            nn.Sequential(conv(a, b, 3, 2, batch_norm), conv(b, b, 3, 1, batch_norm)) for a, b in pairwise(counts))
        before = [counts[-1], *(2 * c for c in counts[-2:0:-1])]
        self.up = nn.ModuleList(
            upconv(a, b, 3, batch_norm) for a, b in zip(before, counts[-2::-1], strict=True))
        self.channels, self.bottom = 2 * counts[0], counts[-1]

    def forward(
        self, image: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b d h w"], Float[Tensor, "b e y x"]]:
        features = [self.first(image)]
        for stage in self.down:
            features.append(stage(features[-1]))
        x = bottom = features.pop()
        for up in self.up:
            skip = features.pop()
            x = torch.cat([F.interpolate(up(x), skip.shape[-2:], mode="nearest"), skip], 1)
        return x, bottom


class StructureNet(nn.Module):
    """Image to depth of 1 and more, in no unit; it starts about 2, where the ReLU lets gradients pass."""

    def __init__(self, width: float = 1.0, batch_norm: bool = False):
        super().__init__()
        self.layers = ConvDeconv(3, width, batch_norm)
        self.depth = predict(self.layers.channels, 1, 1)
        nn.init.constant_(self.depth.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        return 1 + F.relu(self.depth(self.layers(image)[0]).float())


class RawMotions(NamedTuple):
    """What the motion network says of the camera (row 0) and of every object after it."""

    logits: Float[Tensor, "b k h w"]    # of the objects' masks
    sines: Float[Tensor, "b j 3"]       # of the Euler angles
    translation: Float[Tensor, "b j 3"]
    pivot: Float[Tensor, "b j 2"]       # share of the image's width and height, 0 to 1


class MotionNet(nn.Module):
    """A stacked pair to the objects' masks and to all motions.

    grid    rows and columns to which the coarsest features are averaged: those of the paper's images, 384 x 128
    hidden  units of both fully connected layers
    pivots  rows and columns of the grid of which a pivot is the expected point
    """

    def __init__(
        self, objects: int = 3, width: float = 1.0, grid: tuple[int, int] = (4, 12), hidden: int = 512,
        pivots: tuple[int, int] = (20, 30), batch_norm: bool = False,
    ):
        super().__init__()
        self.objects, self.grid, self.pivots = objects, grid, pivots
        self.layers = ConvDeconv(6, width, batch_norm)
        self.mask = predict(self.layers.channels, objects, 1) if objects else None
        self.hidden = nn.Sequential(
            nn.Linear(self.layers.bottom * math.prod(grid), hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.motion = nn.Linear(hidden, (objects + 1) * (6 + math.prod(pivots)))
        nn.init.zeros_(self.motion.bias)
        for layer in [*self.layers.modules(), *self.hidden]:
            _keep_size(layer)

    def forward(self, pair: Float[Tensor, "b 6 h w"]) -> RawMotions:
        fine, bottom = self.layers(pair)
        numbers = self.motion(self.hidden(F.adaptive_avg_pool2d(bottom, self.grid).flatten(1))).float()
        turn, shift, heat = numbers.unflatten(1, (self.objects + 1, -1)).split([3, 3, math.prod(self.pivots)], -1)
        logits = fine[:, :0] if self.mask is None else self.mask(fine)
        return RawMotions(logits.float(), torch.tanh(START * turn), START * shift, self.expected(heat))

    def expected(self, heat: Float[Tensor, "b j g"]) -> Float[Tensor, "b j 2"]:
        """The mean point of the grid under softmax(heat); its cells' centres are the points."""
        rows, columns = self.pivots
        share = heat.softmax(-1).unflatten(-1, (rows, columns))
        x, y = ((torch.arange(n).to(heat) + 0.5) / n for n in (columns, rows))
        return torch.stack([(share.sum(-2) * x).sum(-1), (share.sum(-1) * y).sum(-1)], -1)


def _keep_size(layer: nn.Module) -> None:
    """First weights that keep the size of what goes through them and a ReLU: after a dozen layers it still shows in
    which order a pair came, and motions forth and back, which are opposite, do not learn to cancel."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.xavier_uniform_(layer.weight, nn.init.calculate_gain("relu"))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
