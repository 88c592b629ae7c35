"""The two networks of monodepth (Godard 2017): an encoder of strided convolutions and one of residual units, before the
same decoder of disparities at four scales. ELU, no batch-norm, Xavier weights, images of any size."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import predict

VGG = ((7, 32), (5, 64), (3, 128), (3, 256), (3, 512), (3, 512), (3, 512))  # kernel, channels; each halves the size
VGG_UP = (512, 512, 256, 128, 64, 32, 16)
RESNET = ((64, 3), (128, 4), (256, 6), (512, 3))                            # channels, units; each halves the size
RESNET_UP = (512, 256, 128, 64, 32, 16)


class VggDisparity(nn.Module):
    """Image to two sigmoid maps at four scales, the finest first; 31,600,072 weights at width 1."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        channels = [3] + [max(4, round(width * c)) for _, c in VGG]
        self.encoder = nn.ModuleList(
            nn.Sequential(conv(before, after, kernel), conv(after, after, kernel, 2))
            for (kernel, _), before, after in zip(VGG, channels, channels[1:], strict=False)
        )
        self.decoder = DisparityDecoder(channels[1:], [max(4, round(width * c)) for c in VGG_UP])

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 2 _ _"]]:
        features = [image]
        for stage in self.encoder:
            features.append(stage(features[-1]))
        return self.decoder(features[1:], image.shape[-2:])


class ResNetDisparity(nn.Module):
    """The same with ResNet-50's units as encoder; 49,466,152 weights at width 1.

    The stride is taken by the last unit of each stage, and a shortcut is projected where its shape changes (the
    authors' code projects every one, 58,452,008 weights, by an oversight).
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        widths = [max(4, round(width * c)) for c, _ in RESNET]
        self.first = conv(3, widths[0], 7, 2)
        self.stages, before = nn.ModuleList(), widths[0]
        for after, (_, units) in zip(widths, RESNET, strict=True):
            inputs = [before, *[4 * after] * (units - 1)]
            self.stages.append(nn.Sequential(
                *(_Unit(c, after, 2 if i == units - 1 else 1) for i, c in enumerate(inputs))
            ))
            before = 4 * after
        channels = [widths[0], widths[0], *(4 * w for w in widths)]
        self.decoder = DisparityDecoder(channels, [max(4, round(width * c)) for c in RESNET_UP])

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 2 _ _"]]:
        features = [self.first(image)]
        features.append(F.max_pool2d(features[0], 3, 2, 1))
        for stage in self.stages:
            features.append(stage(features[-1]))
        return self.decoder(features, image.shape[-2:])


class DisparityDecoder(nn.Module):
    """Features, the finest first, to two sigmoid maps at the last four levels; level s has ceil(size / 2^s) pixels.

    A level: nearest x2, 3x3 convolution, the skip and the coarser maps, 3x3 convolution.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int]):
        super().__init__()
        skips, first = [*channels[-2::-1], 0], len(widths) - 4
        before = [channels[-1], *widths[:-1]]
        self.up = nn.ModuleList(conv(b, w, 3) for b, w in zip(before, widths, strict=True))
        self.merge = nn.ModuleList(
            conv(w + skip + (2 if level > first else 0), w, 3)
            for level, (w, skip) in enumerate(zip(widths, skips, strict=True))
        )
        self.predict = nn.ModuleList(predict(w, 2, 3) for w in widths[first:])

    def forward(self, features: Sequence[Tensor], size: Sequence[int]) -> list[Float[Tensor, "b 2 _ _"]]:
        """`size` is that of the image."""
        x, maps = features[-1], list[Tensor]()
        skips: list[Tensor | None] = [*features[-2::-1], None]
        first = len(self.up) - 4
        for level, (up, merge, skip) in enumerate(zip(self.up, self.merge, skips, strict=True)):
            to = tuple(size) if skip is None else skip.shape[-2:]
            x = up(F.interpolate(x, to, mode="nearest"))
            coarser = [F.interpolate(m.to(x), to, mode="nearest") for m in maps[-1:]]
            x = merge(torch.cat([x, *([] if skip is None else [skip]), *coarser], 1))
            if level >= first:
                maps.append(torch.sigmoid(self.predict[level - first](x).float()))
        return maps[::-1]


class _Unit(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut, to four times `width` channels."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.narrow, self.middle = conv(inputs, width, 1), conv(width, width, 3, stride)
        self.widen = _xavier(nn.Conv2d(width, 4 * width, 1))
        same = stride == 1 and inputs == 4 * width
        self.shortcut = nn.Identity() if same else _xavier(nn.Conv2d(inputs, 4 * width, 1, stride))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        return F.elu(self.widen(self.middle(self.narrow(x))) + self.shortcut(x))


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution + ELU; the output has ceil(size / stride) pixels."""
    return nn.Sequential(_xavier(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)), nn.ELU())


def _xavier(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
