"""Heads on an encoder's features: maps at four scales with skips, and the motion of a pair (Godard 2019)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

WIDTHS = (256, 128, 64, 32, 16)  # of the levels, the coarsest first


class DepthDecoder(nn.Module):
    """Five features to sigmoid maps at four scales, the finest first of both; the finest map has the image's size.

    A level: 3x3 convolution + ELU, nearest x2, the skip, 3x3 convolution + ELU; 3,152,724 weights on a ResNet-18 with
    one output and width 1. What a map means (inverse depth within a range) is the system's affair.
    """

    def __init__(self, channels: Sequence[int], outputs: int = 1, width: float = 1.0):
        super().__init__()
        widths = [max(4, round(width * w)) for w in WIDTHS]
        skips = [*channels[-2::-1], 0]
        before = [channels[-1], *widths[:-1]]
        self.up = nn.ModuleList(ReflectedConv(b, w) for b, w in zip(before, widths, strict=True))
        self.merge = nn.ModuleList(ReflectedConv(w + s, w) for w, s in zip(widths, skips, strict=True))
        self.predict = nn.ModuleList(ReflectedConv(w, outputs) for w in widths[1:])

    def forward(
        self, features: Sequence[Float[Tensor, "b _ _ _"]], size: Sequence[int]
    ) -> list[Float[Tensor, "b d _ _"]]:
        """`size` is that of the image; level s of the maps has ceil(size / 2^s) pixels."""
        x, maps = features[-1], []
        skips: list[Tensor | None] = [*features[-2::-1], None]
        for level, (up, merge, skip) in enumerate(zip(self.up, self.merge, skips, strict=True)):
            x = F.interpolate(F.elu(up(x)), tuple(size) if skip is None else skip.shape[-2:], mode="nearest")
            x = F.elu(merge(x if skip is None else torch.cat([x, skip], 1)))
            if level:
                maps.append(torch.sigmoid(self.predict[level - 1](x).float()))
        return maps[::-1]


class PoseDecoder(nn.Module):
    """The coarsest feature of a stacked pair to `motions` vectors of (rotation, translation), started near zero by the
    factor 0.01; 1,314,572 weights on a ResNet-18 with two motions."""

    def __init__(self, channels: int, motions: int = 1):
        super().__init__()
        self.motions = motions
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 256, 1), nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 6 * motions, 1),
        )

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b {self.motions} 6"]:
        return 0.01 * self.layers(feature).float().mean((-2, -1)).unflatten(1, (self.motions, 6))


class ReflectedConv(nn.Conv2d):
    """A 3x3 convolution padded by reflection; a side of one pixel, which has nothing to reflect, by repetition."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 1, 1, 1), "reflect" if min(x.shape[-2:]) > 1 else "replicate"))
