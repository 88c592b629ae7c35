"""Residual networks without their classifier (He et al. 2016), as encoders with five sizes of features.

Layers have the names of torchvision's, so that weights trained with it fit (`fc.*` left out).
"""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import BatchNorm

Norm = Callable[[int], nn.Module]   # layer for so many channels
Depth = Literal[18, 34, 50, 101, 152]
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int = 1, dilations: tuple[int, int] = (1, 1), norm: Norm = BatchNorm
    ):
        super().__init__()
        self.conv1 = _conv(inputs, width, 3, stride, dilations[0])
        self.bn1 = norm(width)
        self.conv2 = _conv(width, width, 3, dilation=dilations[1])
        self.bn2 = norm(width)
        self.downsample = _shortcut(inputs, width, stride, norm)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; the stride is the 3x3's."""

    expansion = 4

    def __init__(
        self, inputs: int, width: int, stride: int = 1, dilations: tuple[int, int] = (1, 1), norm: Norm = BatchNorm
    ):
        super().__init__()
        self.conv1 = _conv(inputs, width, 1)
        self.bn1 = norm(width)
        self.conv2 = _conv(width, width, 3, stride, dilations[0])
        self.bn2 = norm(width)
        self.conv3 = _conv(width, 4 * width, 1)
        self.bn3 = norm(4 * width)
        self.downsample = _shortcut(inputs, 4 * width, stride, norm)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


class ResNet(nn.Module):
    """Images, `inputs` channels, to features of 1/2, 1/4, 1/8, 1/16, 1/32 of the size (rounded up).

    Weights without the classifier: 11,176,512 (18), 21,284,672 (34), 23,508,032 (50), 42,500,160 (101), 58,143,808
    (152); 3,136 more for each channel of input beyond three. He's initialisation.

    width   share of the channels
    dense   the last two stages keep 1/8 of the size and widen their 3x3 kernels by 2 and 4 instead: the same weights
            see as far (Chen et al. 2015)
    norm    the layer after every convolution; another one's weights may count differently
    """

    def __init__(
        self, depth: Depth = 18, inputs: int = 3, dense: bool = False, width: float = 1.0, norm: Norm = BatchNorm
    ):
        super().__init__()
        block: Callable[..., BasicBlock | Bottleneck] = Bottleneck if depth >= 50 else BasicBlock
        expansion = Bottleneck.expansion if depth >= 50 else BasicBlock.expansion
        widths = [max(4, round(width * w)) for w in WIDTHS]
        self.conv1 = _conv(inputs, widths[0], 7, 2)
        self.bn1 = norm(widths[0])
        before, stages = widths[0], []
        for level, (channels, blocks) in enumerate(zip(widths, BLOCKS[depth], strict=True)):
            dilation = 2 ** (level - 1) if dense and level >= 2 else 1
            stride = 1 if level == 0 or dilation > 1 else 2
            first = block(before, channels, stride, (max(dilation // 2, 1), dilation), norm)
            before = expansion * channels
            rest = (block(before, channels, 1, (dilation, dilation), norm) for _ in range(blocks - 1))
            stages.append(nn.Sequential(first, *rest))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = (widths[0], *(expansion * w for w in widths))

    def forward(self, image: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        features = [F.relu(self.bn1(self.conv1(image)), inplace=True)]
        x = F.max_pool2d(features[0], 3, 2, 1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def _shortcut(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(_conv(inputs, outputs, 1, stride), norm(outputs))
