"""Decoders that learn how to enlarge a map (Laina et al. 2016)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import BatchNorm

# height and width of the kernel that makes the pixels of one parity, and its padding (left, right, top, bottom)
PARTS = {
    "even_even": ((3, 3), (1, 1, 1, 1)),
    "even_odd": ((3, 2), (0, 1, 1, 1)),
    "odd_even": ((2, 3), (1, 1, 0, 1)),
    "odd_odd": ((2, 2), (0, 1, 0, 1)),
}


class FastUpConvolution(nn.Module):
    """Twice the size: equal to putting zeros to the right of, below and diagonally below every pixel and convolving
    with one 5x5 kernel, whose entries the four kernels are, by the parity of row and column; they meet no zeros, which
    are three quarters of the pixels."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.parts = nn.ModuleDict({
            name: _conv(inputs, outputs, kernel) for name, (kernel, _) in PARTS.items()
        })

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        maps = [self.parts[name](F.pad(x, padding)) for name, (_, padding) in PARTS.items()]
        return F.pixel_shuffle(torch.stack(maps, 2).flatten(1, 2), 2)


class UpProjection(nn.Module):
    """A residual block of twice the size: up-convolution, ReLU and 3x3 convolution beside an up-convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.up = nn.Sequential(FastUpConvolution(inputs, outputs), BatchNorm(outputs), nn.ReLU())
        self.convolve = nn.Sequential(_conv(outputs, outputs, (3, 3), 1), BatchNorm(outputs))
        self.project = nn.Sequential(FastUpConvolution(inputs, outputs), BatchNorm(outputs))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        return F.relu(self.convolve(self.up(x)) + self.project(x))


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], padding: int = 0) -> nn.Conv2d:
    """Without bias, because batch-norm follows. He's initialisation: variances of 1 are what the running moments of
    batch-norm begin at, and a short training does not leave behind."""
    layer = nn.Conv2d(inputs, outputs, kernel, 1, padding, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer
