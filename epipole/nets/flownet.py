"""FlowNetS and FlowNetC (Dosovitskiy et al. 2015, figures 2 and 3): contraction, refinement, flow at five scales.

Convolutions carry a bias; up-convolutions and predictions carry none, as in the PyTorch port.
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
GREY = 0.43                                     # mean of the images in [0, 1] that the port trains on

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
    up-convolved features and the up-convolved map of the level below; `joined`, it convolves them before it predicts.
    """

    def __init__(
        self, channels: Sequence[int], width: float = 1.0, outputs: int = 2, counts: Sequence[int] = REFINEMENT,
        joined: bool = False,
    ):
        super().__init__()
        self.predict = nn.ModuleList([predict(channels[-1], outputs)])
        self.up, self.up_map, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inputs = channels[-1]
        for skip, count in zip(channels[-2::-1], (scaled(c, width) for c in counts), strict=True):
            together = skip + count + outputs
            self.up.append(nn.Sequential(upconv(inputs, count), nn.LeakyReLU(SLOPE)))
            self.up_map.append(upconv(outputs, outputs))
            self.join.append(conv(together, count, 3) if joined else nn.Identity())
            inputs = count if joined else together
            self.predict.append(predict(inputs, outputs))

    def forward(self, features: Sequence[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b o _ _"]]:
        x = features[-1]
        maps = [self.predict[0](x)]
        levels = zip(self.up, self.up_map, self.join, self.predict[1:], features[-2::-1], strict=True)
        for up, up_map, join, last, skip in levels:
            x = join(torch.cat([skip, up(x), up_map(maps[-1])], 1))
            maps.append(last(x))
        return maps[::-1]


class Stacked(nn.Module):
    """Both images on one channel axis to features at 1/2, 1/4 .. 1/64 of the size, of so many `channels`: conv1, conv2,
    conv3_1 .. conv6_1."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.stem = Stem(6, width)
        self.contraction = Contraction(self.stem.channels[-1], width)
        self.channels = [*self.stem.channels[:2], *self.contraction.channels]

    def forward(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
    ) -> list[Float[Tensor, "b _ _ _"]]:
        conv1, conv2, conv3 = each_layer(self.stem, torch.cat([first, second], 1))
        return [conv1, conv2, *self.contraction(conv3)]


class Matching(nn.Module):
    """The same scales: features of each image by `shared` layers with shared weights, then what `cost` says of how they
    fit. conv1 and conv2 are the first image's.

    `cost` turns two maps of features at 1 / 2^shared of the size into `costs` channels, beside which `redirected`
    channels tell of the first image alone.
    """

    def __init__(
        self, cost: Cost, costs: int, width: float = 1.0, shared: int = 3, redirected: int = REDIRECTED
    ):
        super().__init__()
        self.cost = cost
        stem, count = Stem(3, width), scaled(redirected, width)
        self.stem, features = nn.Sequential(*list(stem)[:shared]), stem.channels[shared - 1]
        self.redirect = conv(features, count, 1)
        rest, inputs = zip(STEM[shared:], stem.channels[shared:], strict=True), costs + count
        self.rest = nn.Sequential()
        for (kernel, _), outputs in rest:
            self.rest.append(conv(inputs, outputs, kernel, 2))
            inputs = outputs
        self.contraction = Contraction(inputs, width)
        self.channels = [*stem.channels[:2], *self.contraction.channels]

    def forward(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
    ) -> list[Float[Tensor, "b _ _ _"]]:
        own = each_layer(self.stem, first)
        fit = nn.functional.leaky_relu(self.cost(own[-1], self.stem(second)), SLOPE)
        return [*own[:2], *self.contraction(self.rest(torch.cat([self.redirect(own[-1]), fit], 1)))]


class Pyramid(nn.Module):
    """Two images in [0, 1] of any size, padded to multiples of 64 and taken about their mean, to maps at every scale
    that is refined, the finest first."""

    def __init__(self, features: Stacked | Matching, refinement: Refinement):
        super().__init__()
        self.features, self.refinement = features, refinement

    def forward(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]
    ) -> list[Float[Tensor, "b o _ _"]]:
        features = self.features(*(padded(image) - GREY for image in (first, second)))
        return [m.float() for m in self.refinement(features[-len(self.refinement.predict):])]


class FlowNetS(Pyramid):
    """Maps at 1/4, 1/8, 1/16, 1/32, 1/64 of the size; 38,675,536 weights."""

    def __init__(self, width: float = 1.0):
        features = Stacked(width)
        super().__init__(features, Refinement(features.channels[1:], width))


class FlowNetC(Pyramid):
    """The same from how the features at 1 / 2^shared fit; 39,174,320 weights with 21 x 21 displacements at 1/8."""

    def __init__(self, cost: Cost, costs: int, width: float = 1.0, shared: int = 3):
        features = Matching(cost, costs, width, shared)
        super().__init__(features, Refinement(features.channels[1:], width))


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
