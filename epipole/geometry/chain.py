"""Reconstructions of neighbouring views, each pair in a unit of its own, brought to one unit."""

import torch
from jaxtyping import Float
from torch import Tensor

from .motion import se3, se3_inverse
from .sample import sample
from .warp import reproject


def in_one_unit(
    depth: Float[Tensor, "b n 1 h w"], T_next_this: Float[Tensor, "b m 4 4"], K: Float[Tensor, "b n 3 3"]
) -> tuple[Float[Tensor, "b n 1 h w"], Float[Tensor, "b n 4 4"]]:
    """Depth of every view and T_first_this, in the unit of the first pair, from depth and T_next_this of every view in
    the unit of its own pair; motions that lead beyond the last view are not read.

    What one pair says of how deep the next view is has to be, in the median, what the next pair says. Where a view sees
    nothing of the one before, the unit stays.
    """
    unit, eye = torch.ones_like(depth[:, 0, 0, 0, 0]), torch.eye(4).to(depth)
    depths, path = [depth[:, 0]], [eye.expand(len(depth), 4, 4)]
    for n in range(depth.shape[1] - 1):
        T = se3(T_next_this[:, n, :3, :3], T_next_this[:, n, :3, 3] * unit[:, None])
        pixels, z, front = reproject(depths[-1], T, K[:, n], K[:, n + 1])
        there, inside = sample(depth[:, n + 1], pixels)
        ratio = torch.where(front & inside & (there > 0), z / there, torch.nan).flatten(1).nanmedian(1).values
        unit = torch.where(ratio.isfinite(), ratio, unit)
        depths.append(depth[:, n + 1] * unit[:, None, None, None])
        path.append(path[-1] @ se3_inverse(T))
    return torch.stack(depths, 1), torch.stack(path, 1)
