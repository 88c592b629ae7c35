"""Median of the pixels around that look alike."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

ROUNDS = 10  # of bisection: the median is found to a thousandth of the range around a pixel


def weighted_median(
    x: Float[Tensor, "h w"], guide: Float[Tensor, "c h w"], where: Bool[Tensor, "h w"], *, radius: int, step: int,
    sigma_guide: float, sigma_space: float,
) -> Float[Tensor, "h w"]:
    """x, but `where`: there the weighted median of x at every `step`-th pixel up to `radius` away along rows and
    columns (multiples of `step`; beyond the border the nearest pixel), weighted by exp(-|guide' - guide|^2 / 2
    sigma_guide^2 - distance^2 / 2 sigma_space^2) (Ma et al. 2013). To 2^-ROUNDS of the range; not differentiable.
    """
    sides = 2 * (radius // step) + 1
    offset = step * (torch.arange(sides, device=x.device) - sides // 2)
    distance = (offset[:, None].square() + offset.square()).flatten().to(x)

    def around(maps: Tensor) -> Tensor:
        padded = F.pad(maps[None], [step * (sides // 2)] * 4, mode="replicate")
        return F.unfold(padded, sides, dilation=step).view(len(maps), sides**2, -1)[:, :, where.flatten()]

    apart = (around(guide) - guide[:, None, where]).square().sum(0)
    weight = torch.exp(-apart / (2 * sigma_guide**2) - distance[:, None] / (2 * sigma_space**2))
    values, half = around(x[None])[0], weight.sum(0) / 2
    low, high = values.amin(0), values.amax(0)
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        above = (weight * (values <= middle)).sum(0) < half
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return x.masked_scatter(where, (low + high) / 2)
