"""FlowNetS and FlowNetC (Dosovitskiy et al. 2015, figures 2 and 3): contraction, refinement, flow at five scales.

Convolutions carry a bias; up-convolutions and predictions carry none, as in the PyTorch port. Height and width are
multiples of 64.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

STEM = ((7, 64), (5, 128), (5, 256))            # kernel, channels of conv1 .. conv3, all of stride 2
CONTRACTION = (256, 512, 512, 1024)             # channels of conv3_1, conv4_1, conv5_1, conv6_1
REFINEMENT = (512, 256, 128, 64)                # channels of deconv5 .. deconv2
REDIRECTED = 32                                 # channels of conv_redir
SLOPE = 0.1                                     # of the leaky ReLU
MULTIPLE = 64                                   # of which both sides are multiples

Cost = Callable[[Tensor, Tensor], Tensor]


def scaled(channels: int, width: float) -> int:
    """This share of the paper's channels, 4 at least."""
    return max(4, round(width * channels))


class Stem(nn.Sequential):
    """conv1 .. conv3: 1/2, 1/4 and 1/8 of the size."""

    def __init__(self, inputs: int, width: float = 1.0):
        counts = [inputs, *(scaled(c, width) for _, c in STEM)]
        super().__init__(*(
            conv(before, after, kernel, 2)
            for (kernel, _), before, after in zip(STEM, counts, counts[1:], strict=False)
        ))
        self.channels = counts[1:]


class Contraction(nn.Module):
    """conv3_1 .. conv6_1: features of 1/8, 1/16, 1/32, 1/64 of the image's size from one map at 1/8."""

    def __init__(self, inputs: int, width: float = 1.0):
        super().__init__()
        self.channels = [scaled(c, width) for c in CONTRACTION]
        stages: list[nn.Module] = [conv(inputs, self.channels[0], 3)]
        for before, after in zip(self.channels, self.channels[1:], strict=False):
            stages.append(nn.Sequential(conv(before, after, 3, 2), conv(after, after, 3)))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Refinement(nn.Module):
    """Features, the finest first, to maps at every one of their scales, the finest first: each level sees the skip, the
    up-convolved features and the up-convolved map of the level below."""

    def __init__(self, channels: Sequence[int], width: float = 1.0, outputs: int = 2):
        super().__init__()
        self.predict, self.up, self.up_map = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inputs = channels[-1]
        self.predict.append(predict(inputs, outputs))
        for skip, count in zip(channels[-2::-1], (scaled(c, width) for c in REFINEMENT), strict=True):
            self.up.append(nn.Sequential(upconv(inputs, count), nn.LeakyReLU(SLOPE)))
            self.up_map.append(upconv(outputs, outputs))
            inputs = skip + count + outputs
            self.predict.append(predict(inputs, outputs))

    def forward(self, features: Sequence[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b o _ _"]]:
        x = features[-1]
        maps = [self.predict[0](x)]
        levels = zip(self.up, self.up_map, self.predict[1:], features[-2::-1], strict=True)
        for up, up_map, last, skip in levels:
            x = torch.cat([skip, up(x), up_map(maps[-1])], 1)
            maps.append(last(x))
        return maps[::-1]


class FlowNetS(nn.Module):
    """Both images on one channel axis to maps at 1/4, 1/8, 1/16, 1/32, 1/64 of the size; 38,675,536 weights."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.stem = Stem(6, width)
        self.contraction = Contraction(self.stem.channels[-1], width)
        self.refinement = Refinement([self.stem.channels[1], *self.contraction.channels], width)

    def forward(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
    ) -> list[Float[Tensor, "b 2 _ _"]]:
        _, conv2, conv3 = each_layer(self.stem, torch.cat([first, second], 1))
        return self.refinement([conv2, *self.contraction(conv3)])


class FlowNetC(nn.Module):
    """Features of each image by shared weights, then what `cost` says of how they fit, then as FlowNetS.

    `cost` turns two maps of features at 1/8 of the size into `costs` channels. 39,174,320 weights with 21 x 21
    displacements.
    """

    def __init__(self, cost: Cost, costs: int, width: float = 1.0):
        super().__init__()
        self.cost = cost
        self.stem = Stem(3, width)
        features, redirected = self.stem.channels[-1], scaled(REDIRECTED, width)
        self.redirect = conv(features, redirected, 1)
        self.contraction = Contraction(costs + redirected, width)
        self.refinement = Refinement([self.stem.channels[1], *self.contraction.channels], width)

    def forward(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
    ) -> list[Float[Tensor, "b 2 _ _"]]:
        _, conv2, conv3 = each_layer(self.stem, first)
        fit = nn.functional.leaky_relu(self.cost(conv3, self.stem(second)), SLOPE)
        return self.refinement([conv2, *self.contraction(torch.cat([self.redirect(conv3), fit], 1))])


def padded(image: Float[Tensor, "b c h w"], multiple: int = MULTIPLE) -> Float[Tensor, "b c y x"]:
    """The image with its last row and column repeated until both sides are multiples."""
    h, w = image.shape[-2:]
    return nn.functional.pad(image, (0, -w % multiple, 0, -h % multiple), mode="replicate")


def full_size(
    small: Float[Tensor, "b c _ _"], height: int, width: int, scale: int = 4
) -> Float[Tensor, "b c {height} {width}"]:
    """A map at 1 / scale of the padded size, enlarged bilinearly and cut to the image."""
    large = nn.functional.interpolate(small, scale_factor=scale, mode="bilinear", align_corners=False)
    return large[..., :height, :width]


def each_layer(layers: nn.Sequential, x: Tensor) -> list[Tensor]:
    """What every layer puts out."""
    out = []
    for layer in layers:
        x = layer(x)
        out.append(x)
    return out


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution + leaky ReLU; the output has ceil(size / stride) pixels."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    nn.init.constant_(layer.bias, 0.0)  # type: ignore[arg-type]
    return nn.Sequential(_drawn(layer), nn.LeakyReLU(SLOPE))


def upconv(inputs: int, outputs: int) -> nn.Module:
    """Transposed convolution to twice the size, linear and without bias."""
    return _drawn(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False))


def predict(inputs: int, outputs: int) -> nn.Module:
    """A linear convolution without bias that makes a prediction."""
    return _drawn(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))


def _drawn(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    return layer
