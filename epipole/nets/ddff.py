"""The network of DDFF (Hazirbas et al. 2018): one map per slice of a focal stack, by VGG-16 and its mirror image."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import BatchNorm
from .flownet import scaled

ENCODER = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))     # VGG-16; each is then halved
DECODER = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64, 1))       # each was doubled before
DROPPED = (3, 4, 5)                     # stages after which features are dropped
EPSILON = 1e-3                          # of batch-norm
MULTIPLE = 32                           # of which both sides are multiples


class SliceNet(nn.Module):
    """Images to one map each, at least 0, of their size: 39,790,338 weights with the features of stage 3.

    skips   stages (1, 2 or 3) whose features are appended where the decoder is back at their size: CC1, CC2, CC3
    """

    def __init__(self, skips: Sequence[int] = (3,), width: float = 1.0, dropout: float = 0.5):
        super().__init__()
        self.skips, before = tuple(skips), 3
        self.encoder, self.up, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.drop = nn.ModuleList(nn.Dropout(dropout if n in DROPPED else 0.0) for n in range(1, 6))
        ends = []
        for stage in ENCODER:
            counts = [scaled(c, width) for c in stage]
            self.encoder.append(_stage([before, *counts]))
            ends.append(before := counts[-1])
        for n, block in zip((5, 4, 3, 2, 1), DECODER, strict=True):
            counts = [scaled(c, width) if c > 1 else 1 for c in block]
            self.up.append(_drawn(nn.ConvTranspose2d(before, before, 4, 2, 1, bias=False)))
            self.decoder.append(_stage([before + (ends[n - 1] if n in skips else 0), *counts]))
            before = counts[-1]
        last = self.decoder[-1][-2]  # type: ignore[index]
        nn.init.constant_(last.weight, 0.1)  # scores about 1: a last ReLU whose inputs are below 0 never learns again
        nn.init.constant_(last.bias, 1.0)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        x, features = image, []
        for stage, drop in zip(self.encoder, self.drop, strict=True):
            features.append(stage(x))
            x = drop(F.max_pool2d(features[-1], 2))
        for n, up, stage in zip((5, 4, 3, 2, 1), self.up, self.decoder, strict=True):
            x = up(x)
            x = stage(torch.cat([x, features[n - 1]], 1) if n in self.skips else x)
        return x


def _stage(counts: Sequence[int]) -> nn.Sequential:
    """3x3 convolutions, each with batch-norm and ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(counts):
        layers += [_drawn(nn.Conv2d(before, after, 3, padding=1, bias=False)), BatchNorm(after, EPSILON), nn.ReLU()]
    return nn.Sequential(*layers)


def _drawn(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer
