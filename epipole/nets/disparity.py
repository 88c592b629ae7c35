"""DispNet and DispNetC (Mayer et al. 2016): FlowNet for rectified pairs, with a convolution after every join and
disparity at six scales, down to half the size. Height and width are multiples of 64."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .flownet import SLOPE, Contraction, Cost, Stem, conv, each_layer, predict, scaled, upconv

REFINEMENT = (512, 256, 128, 64, 32)    # channels of upconv5 .. upconv1 and iconv5 .. iconv1
REDIRECTED = 64                         # channels of conv_redir


class JoinedRefinement(nn.Module):
    """Features, the finest first, to one map at every one of their scales, the finest first: each level convolves the
    skip, the up-convolved features and the up-convolved map of the level below before it predicts."""

    def __init__(self, channels: Sequence[int], width: float = 1.0):
        super().__init__()
        self.predict = nn.ModuleList([predict(channels[-1], 1)])
        self.up, self.up_map, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inputs = channels[-1]
        for skip, count in zip(channels[-2::-1], (scaled(c, width) for c in REFINEMENT), strict=True):
            self.up.append(nn.Sequential(upconv(inputs, count), nn.LeakyReLU(SLOPE)))
            self.up_map.append(upconv(1, 1))
            self.join.append(conv(skip + count + 1, count, 3))
            self.predict.append(predict(count, 1))
            inputs = count

    def forward(self, features: Sequence[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b 1 _ _"]]:
        x = features[-1]
        maps = [self.predict[0](x)]
        levels = zip(self.up, self.up_map, self.join, self.predict[1:], features[-2::-1], strict=True)
        for up, up_map, join, last, skip in levels:
            x = join(torch.cat([skip, up(x), up_map(maps[-1])], 1))
            maps.append(last(x))
        return maps[::-1]


class DispNet(nn.Module):
    """Both images on one channel axis to maps at 1/2, 1/4, 1/8, 1/16, 1/32, 1/64 of the size."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.stem = Stem(6, width)
        self.contraction = Contraction(self.stem.channels[-1], width)
        self.refinement = JoinedRefinement([*self.stem.channels[:2], *self.contraction.channels], width)

    def forward(
        self, left: Float[Tensor, "b 3 h w"], right: Float[Tensor, "b 3 h w"]
    ) -> list[Float[Tensor, "b 1 _ _"]]:
        conv1, conv2, conv3 = each_layer(self.stem, torch.cat([left, right], 1))
        return self.refinement([conv1, conv2, *self.contraction(conv3)])


class DispNetC(nn.Module):
    """conv1 and conv2 of each image by shared weights, then what `cost` says of how they fit, then as DispNet.

    `cost` turns two maps of features at a quarter of the size into `costs` channels.
    """

    def __init__(self, cost: Cost, costs: int, width: float = 1.0):
        super().__init__()
        self.cost = cost
        stem = Stem(3, width)
        features, redirected = stem.channels[1], scaled(REDIRECTED, width)
        self.stem = nn.Sequential(*list(stem)[:2])
        self.redirect = conv(features, redirected, 1)
        self.conv3 = conv(costs + redirected, stem.channels[2], 5, 2)
        self.contraction = Contraction(stem.channels[2], width)
        self.refinement = JoinedRefinement([*stem.channels[:2], *self.contraction.channels], width)

    def forward(
        self, left: Float[Tensor, "b 3 h w"], right: Float[Tensor, "b 3 h w"]
    ) -> list[Float[Tensor, "b 1 _ _"]]:
        conv1, conv2 = each_layer(self.stem, left)
        fit = nn.functional.leaky_relu(self.cost(conv2, self.stem(right)), SLOPE)
        conv3 = self.conv3(torch.cat([self.redirect(conv2), fit], 1))
        return self.refinement([conv1, conv2, *self.contraction(conv3)])
