"""The two networks of Depth from Videos in the Wild (Gordon 2019): depth under randomised moments, and one network for
the motion of the camera, of every pixel, and the camera's intrinsics."""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import conv, predict, upconv
from .depth_decoder import WIDTHS, ReflectedConv
from .resnet import ResNet

MOTION = (16, 32, 64, 128, 256, 512, 1024)  # channels of the pair's convolutions; each halves the size
LEAST = 0.001                               # of the factors of rotation and translation, which are learned
FLAT = 1e-3                                 # standard deviation of weights to what begins the same everywhere (ours)
PACE = 10                                   # of a shared lens, which is to follow what all pairs say (ours)


class RandomLayerNorm(nn.Module):
    """(x - m) / sqrt(v + 1e-3), scaled and shifted by what is learned; m and v are the moments over the pixels of each
    image and channel. In training they come times 1 + noise, whose standard deviation is `sigma` and which is cut off
    at twice that: up to 0.5 no factor is negative."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.sigma = 0.0

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        mean, variance = x.float().mean((2, 3), keepdim=True), x.float().var((2, 3), correction=0, keepdim=True)
        if self.training and self.sigma:
            mean, variance = (m * (1 + self.noise(m)) for m in (mean, variance))
        gain = self.weight[:, None, None] * torch.rsqrt(variance + 1e-3)
        return (gain * (x - mean) + self.bias[:, None, None]).to(x)

    def noise(self, like: Tensor) -> Tensor:
        """From the truncated normal distribution, drawn anew for every image and channel."""
        return nn.init.trunc_normal_(torch.empty_like(like), 0.0, self.sigma, -2 * self.sigma, 2 * self.sigma)


class SoftplusDepthNet(nn.Module):
    """Image to depth, any positive number, at its full size: a ResNet-18 and up-convolutions with skips, at least as
    wide as the paper's last. Narrower ones, and those through which little came at first, died in a few hundred steps
    of training and left a constant depth."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.encoder = ResNet(18, width=width, norm=RandomLayerNorm)
        *skips, bottom = self.encoder.channels
        widths = [max(WIDTHS[-1], round(width * w)) for w in WIDTHS]
        before = [bottom, *widths[:-1]]
        up = [upconv(b, w, 3) for b, w in zip(before, widths, strict=True)]
        self.up = nn.ModuleList(up)
        self.merge = nn.ModuleList(ReflectedConv(w + s, w) for w, s in zip(widths, [*skips[::-1], 0], strict=True))
        self.predict = ReflectedConv(widths[-1], 1)
        for layer in (*(block[0] for block in up), *self.merge):
            sustain(layer)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        normalised = (image - 0.45) / 0.225
        *skips, x = self.encoder(normalised)
        skips = [*skips[::-1], normalised[:, :0]]  # the last level has no skip; the image lends its size alone
        for up, merge, skip in zip(self.up, self.merge, skips, strict=True):
            x = F.interpolate(up(x), skip.shape[-2:], mode="nearest")
            x = F.relu(merge(torch.cat([x, skip.to(x.dtype)], 1)))
        return F.softplus(self.predict(x).float())


class PixelMotion(NamedTuple):
    """How points of the second image of a pair move into the first camera, and what the camera is."""

    rotation: Float[Tensor, "b 3"]              # Euler angles, radians
    translation: Float[Tensor, "b 3"]           # of the background, in the unit of depth
    residual: Float[Tensor, "b 3 h w"]          # what each pixel's translation has on top
    focal: Float[Tensor, "b 2"]                 # f_x / width, f_y / height
    centre: Float[Tensor, "b 2"]                # principal point in shares of the image


class MotionFieldNet(nn.Module):
    """A stacked pair to all of `PixelMotion`; 44,178,858 weights at width 1.

    The background's translation is carried up through the sizes of all convolutions to the image's, and refined at
    each. Rotation and translation come times a factor each, which is learned too and begins with `first`, that of
    rotation with `turn` times as much: before depth is known, turns and shifts look alike, and each explains the more
    of both the faster it grows. At first (ours) no pixel moves by itself and the camera is the same for every pair, but
    its motion is not: through seven convolutions with Xavier weights so little was left of a pair that thousands of
    steps went by before any moved. No layer is narrower than the paper's first.
    """

    def __init__(self, width: float = 1.0, first: float = 0.01, turn: float = 1.0):
        super().__init__()
        counts = [6, *(max(MOTION[0], round(width * c)) for c in MOTION)]
        self.layers = nn.ModuleList(halving(a, b) for a, b in pairwise(counts))
        self.background = linear(counts[-1], 6)
        self.refine = nn.ModuleList(Refinement(c) for c in reversed(counts))
        self.focal = predict(counts[-1], 2, 1)
        self.centre = linear(counts[-1], 2)
        self.scales = nn.Parameter(torch.tensor([turn * first, first]))  # of rotation and translation
        for layer in (self.focal, self.centre):
            nn.init.normal_(layer.weight, std=FLAT)  # type: ignore[arg-type]

    def forward(self, pair: Float[Tensor, "b 6 h w"]) -> PixelMotion:
        features = [(pair - 0.45) / 0.225]
        for layer in self.layers:
            features.append(layer(features[-1]))
        bottom = features[-1].mean((2, 3), keepdim=True)
        rotation, translation = self.background(bottom).split(3, 1)
        field = translation
        for refine, feature in zip(self.refine, reversed(features), strict=True):
            field = refine(field, feature)
        at_least = self.scales.clamp(min=LEAST)
        turn, shift = (self.scales + (at_least - self.scales).detach()).unbind()
        flat = (x.float()[..., 0, 0] for x in (rotation, translation, self.focal(bottom), self.centre(bottom)))
        rotation, translation, focal, centre = flat
        return PixelMotion(turn * rotation, shift * translation, shift * field.float(), F.softplus(focal), centre + 0.5)


class SharedLens(nn.Module):
    """A focal length and a principal point for all pairs, in place of what was found of each. Pixels are square. It
    learns `PACE` times as fast as a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.focal, self.centre = nn.Parameter(torch.zeros(1, 1)), nn.Parameter(torch.zeros(1, 2))

    def forward(self, motion: PixelMotion, learned: bool = True) -> PixelMotion:
        """The motion with this lens, to which gradients lead if it is `learned`."""
        b, _, h, w = motion.residual.shape
        focal = F.softplus(PACE * self.focal) * self.focal.new_tensor([1, w / h])
        lens = torch.cat([focal, self.centre + 0.5], 1).expand(b, 4)
        focal, centre = (lens if learned else lens.detach()).split(2, 1)
        return motion._replace(focal=focal, centre=centre)


class Refinement(nn.Module):
    """A field of vectors resized to a feature's size, plus what two towers of 3x3 convolutions, of one and of two, make
    of both together."""

    def __init__(self, channels: int):
        super().__init__()
        inside = max(4, channels)
        self.shallow = conv(channels + 3, inside, 3)
        self.deep = nn.Sequential(conv(channels + 3, inside, 3), conv(inside, inside, 3))
        self.last = linear(2 * inside, 3)
        nn.init.normal_(self.last.weight, std=FLAT)

    def forward(self, field: Float[Tensor, "b 3 _ _"], feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 h w"]:
        field = F.interpolate(field, feature.shape[-2:], mode="bilinear", align_corners=False)
        both = torch.cat([field, feature.to(field.dtype)], 1)
        return field + self.last(torch.cat([self.shallow(both), self.deep(both)], 1))


def halving(inputs: int, outputs: int) -> nn.Module:
    """A 3x3 convolution of stride 2 + ReLU that at first lets through as much as comes in."""
    block = conv(inputs, outputs, 3, 2)
    sustain(block[0])
    return block


def sustain(layer: nn.Module) -> None:
    """Weights that let through as much as comes in, where a ReLU follows (He 2015); at each pixel of a transposed
    convolution of stride 2 a quarter of them meet. The biases become 0."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    transposed = isinstance(layer, nn.ConvTranspose2d)
    nn.init.kaiming_uniform_(layer.weight, mode="fan_out" if transposed else "fan_in", nonlinearity="relu")
    with torch.no_grad():
        layer.weight.mul_(2 if transposed else 1)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def linear(inputs: int, outputs: int) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer
