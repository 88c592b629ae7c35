"""Flow or disparity of several sizes beside the truth."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def block_mean(
    x: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b 1 h w"], size: int
) -> tuple[Float[Tensor, "b c y x"], Bool[Tensor, "b 1 y x"]]:
    """Mean over the valid pixels of every block of size x size, and which blocks have any; blocks at the right and
    lower border may be smaller. A block without any is 0; what is invalid may be NaN. Values stay in pixels of the
    large image."""
    rim = (0, -x.shape[-1] % size, 0, -x.shape[-2] % size)
    total = F.avg_pool2d(F.pad(torch.where(valid, x, 0), rim), size)
    share = F.avg_pool2d(F.pad(valid.to(x.dtype), rim), size)
    known = share > 0
    return total / torch.where(known, share, 1), known


def end_point_errors(
    pyramid: Sequence[Float[Tensor, "b c _ _"]], truth: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b 1 h w"],
    finest: int,
) -> Iterator[tuple[int, Float[Tensor, "b 1 y x"], Bool[Tensor, "b 1 y x"]]]:
    """(size, |predicted - true|, known) of every map of a pyramid, whose values stand for blocks of size x size pixels:
    `finest`, then twice as many each time. A map of the padded image is cut to what the image has."""
    for s, predicted in enumerate(pyramid):
        size = finest * 2**s
        there, known = block_mean(truth, valid, size)
        h, w = there.shape[-2:]
        yield size, (predicted[..., :h, :w] - there).norm(dim=1, keepdim=True), known
