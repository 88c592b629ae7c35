"""The networks of DeMoN (Ummenhofer et al. 2017): flow, depth with motion, and refined depth of a pair of images.

Their convolutions come in pairs, k x 1 and then 1 x k, that share a stride. Height and width are multiples of 32.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .flownet import SLOPE, scaled

CHANNELS = (32, 64, 128, 256, 512)      # of conv1 .. conv5, at 1/2 .. 1/32 of the size
KERNELS = (9, 7, 5, 5)                  # of conv1 .. conv4
BEFORE = 24                             # channels before maps are predicted
MOTION = (128, 1024, 128)               # channels of the convolution, then of the two layers, before the motion
MULTIPLE = 32                           # of which both sides are multiples
NOTHING = (0.0, 0.0, 0.0, 0.0)          # flow and confidence before anything is learned, and
FLOW_SPREAD = 0.03                      # the standard deviation of the weights that they come from
FLAT = 1e-3                             # the same of all other maps and numbers


class Encoder(nn.Module):
    """A pair of images, and `extra` channels of what is already known at 1/4 of the size, to features at 1/4 .. 1/32.

    With extras, half of conv2's channels are made from them.
    """

    def __init__(self, extra: int, last_kernel: int, width: float):
        super().__init__()
        self.channels = [scaled(c, width) for c in CHANNELS]
        one, two, *_ = self.channels
        known = two // 2 if extra else 0
        self.conv1 = separable(6, one, KERNELS[0], 2)
        self.conv2 = separable(one, two - known, KERNELS[1], 2)
        self.extra = separable(extra, known, 3) if extra else nn.Identity()
        stages: list[nn.Module] = [separable(two, two, 3)]
        kernels = (*KERNELS[2:], last_kernel)
        for before, after, kernel in zip(self.channels[1:], self.channels[2:], kernels, strict=False):
            stages.append(nn.Sequential(separable(before, after, kernel, 2), separable(after, after, 3)))
        self.stages = nn.ModuleList(stages)

    def forward(
        self, pair: Float[Tensor, "b 6 h w"], extra: Float[Tensor, "b e y x"]
    ) -> list[Float[Tensor, "b _ _ _"]]:
        x = torch.cat([self.conv2(self.conv1(pair)), self.extra(extra)], 1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """Features at 1/4 .. 1/32, and `coarse` maps at 1/16, to four maps at 1/4, at first about `start` everywhere."""

    def __init__(self, channels: list[int], coarse: int, start: Sequence[float], width: float, spread: float = FLAT):
        super().__init__()
        self.up, inputs = nn.ModuleList(), channels[-1]
        for skip in channels[-2:0:-1]:
            self.up.append(up(inputs, skip))
            inputs = 2 * skip + (coarse if len(self.up) == 1 else 0)
        self.predict = predict(inputs, scaled(BEFORE, width), start, spread)

    def forward(
        self, features: list[Float[Tensor, "b _ _ _"]], coarse: Float[Tensor, "b m _ _"]
    ) -> Float[Tensor, "b 4 y x"]:
        *skips, x = features
        skips[-1] = torch.cat([skips[-1], coarse], 1)
        for layer, skip in zip(self.up, reversed(skips), strict=True):
            x = torch.cat([layer(x), skip], 1)
        return self.predict(x)


class FlowBlock(nn.Module):
    """Flow from the first image to the second, as a share of the image's size, and how far each of its two parts can
    be trusted: four maps at 1/32 and at 1/4 of the size."""

    def __init__(self, extra: int, width: float = 1.0):
        super().__init__()
        self.encoder = Encoder(extra, 5, width)
        self.coarse = predict(self.encoder.channels[-1], scaled(BEFORE, width), NOTHING, FLOW_SPREAD)
        self.up_coarse = nn.ConvTranspose2d(4, 2, 4, 2, 1)
        self.decoder = Decoder(self.encoder.channels, 2, NOTHING, width, FLOW_SPREAD)

    def forward(
        self, pair: Float[Tensor, "b 6 h w"], extra: Float[Tensor, "b e y x"]
    ) -> tuple[Float[Tensor, "b 4 _ _"], Float[Tensor, "b 4 y x"]]:
        features = self.encoder(pair, extra)
        coarse = self.coarse(features[-1])
        return coarse, self.decoder(features, self.up_coarse(coarse))


class MotionBlock(nn.Module):
    """Inverse depth up to a scale and normals, four maps at 1/4 of the size, and seven numbers: rotation vector,
    translation, and the scale. At first a plane across the view, `inverse_depth` away, and next to no motion."""

    def __init__(self, extra: int, height: int, width: int, inverse_depth: float, share: float = 1.0):
        super().__init__()
        self.encoder = Encoder(extra, 3, share)
        self.decoder = Decoder(self.encoder.channels, 0, (inverse_depth, 0.0, 0.0, -1.0), share)
        maps, *hidden = (scaled(c, share) for c in MOTION)
        layers: list[nn.Module] = [convolution(self.encoder.channels[-1], maps, 3), nn.Flatten()]
        before = maps * (height // MULTIPLE) * (width // MULTIPLE)
        for after in hidden:
            layers += [_drawn(nn.Linear(before, after)), nn.LeakyReLU(SLOPE)]
            before = after
        self.motion = nn.Sequential(*layers, _starting_at(nn.Linear(before, 7), (0.0,) * 6 + (1.0,)))

    def forward(
        self, pair: Float[Tensor, "b 6 h w"], extra: Float[Tensor, "b e y x"]
    ) -> tuple[Float[Tensor, "b 4 y x"], Float[Tensor, "b 7"]]:
        features = self.encoder(pair, extra)
        return self.decoder(features, features[2][:, :0]), self.motion(features[-1])


class RefinementNet(nn.Module):
    """An image and the inverse depth, enlarged to its size, to the inverse depth at that size."""

    def __init__(self, inverse_depth: float, width: float = 1.0):
        super().__init__()
        a, b, c = (scaled(n, width) for n in (32, 64, 128))
        self.conv0 = convolution(4, a, 3)
        self.conv1 = nn.Sequential(convolution(a, b, 3, 2), convolution(b, b, 3))
        self.conv2 = nn.Sequential(convolution(b, c, 3, 2), convolution(c, c, 3))
        self.up1, self.up0 = up(c, b), up(2 * b, a)
        self.predict = predict(2 * a, scaled(16, width), (inverse_depth,))

    def forward(
        self, image: Float[Tensor, "b 3 h w"], inverse_depth: Float[Tensor, "b 1 h w"]
    ) -> Float[Tensor, "b 1 h w"]:
        full = self.conv0(torch.cat([image, inverse_depth], 1))
        half = self.conv1(full)
        x = torch.cat([self.up1(self.conv2(half)), half], 1)
        return self.predict(torch.cat([self.up0(x), full], 1))


def separable(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """kernel x 1, then 1 x kernel, each with a leaky ReLU; the output has ceil(size / stride) pixels."""
    pad = kernel // 2
    down = nn.Conv2d(inputs, outputs, (kernel, 1), (stride, 1), (pad, 0))
    across = nn.Conv2d(outputs, outputs, (1, kernel), (1, stride), (0, pad))
    return nn.Sequential(_drawn(down), nn.LeakyReLU(SLOPE), _drawn(across), nn.LeakyReLU(SLOPE))


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution + leaky ReLU; the output has ceil(size / stride) pixels."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    return nn.Sequential(_drawn(layer), nn.LeakyReLU(SLOPE))


def up(inputs: int, outputs: int) -> nn.Sequential:
    """Transposed convolution to twice the size + leaky ReLU."""
    return nn.Sequential(_drawn(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(SLOPE))


def predict(inputs: int, hidden: int, start: Sequence[float], spread: float = FLAT) -> nn.Sequential:
    """Two convolutions to maps that are about `start` everywhere before anything is learned."""
    last = nn.Conv2d(hidden, len(start), 3, padding=1)
    return nn.Sequential(*convolution(inputs, hidden, 3), _starting_at(last, start, spread))


def _drawn(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> nn.Module:
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _starting_at(layer: nn.Conv2d | nn.Linear, values: Sequence[float], spread: float = FLAT) -> nn.Module:
    nn.init.normal_(layer.weight, std=spread)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(values))  # type: ignore[union-attr]
    return layer
