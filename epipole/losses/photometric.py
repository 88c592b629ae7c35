"""What reduces unreduced maps: the mean over a mask, and the mask that belongs to a map over 3x3 boxes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def masked_mean(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*mask"]) -> Float[Tensor, ""]:
    """Mean of x where the mask (broadcast to x) is true: divided by the mask, not by all pixels, so that pushing pixels
    out of view does not pay. An empty mask gives 0; values under the mask may be anything, even NaN."""
    mask = mask.expand_as(x)
    return torch.where(mask, x, 0).sum() / mask.sum().clamp(min=1)


def erode(mask: Bool[Tensor, "*b 1 h w"]) -> Bool[Tensor, "*b 1 y x"]:
    """Where the whole 3x3 box is true (min-pool): the mask that belongs to `dssim`, (h-2) x (w-2)."""
    rows = mask[..., :-2, :] & mask[..., 1:-1, :] & mask[..., 2:, :]
    return rows[..., :-2] & rows[..., 1:-1] & rows[..., 2:]
