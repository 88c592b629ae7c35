"""How different two depth maps are."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def depth_difference(a: Float[Tensor, "*b 1 h w"], b: Float[Tensor, "*b 1 h w"]) -> Float[Tensor, "*b 1 h w"]:
    """|a - b| / (a + b) in [0, 1) for positive depths, blind to a common scale (Bian 2019, eq. 4)."""
    return (a - b).abs() / (a + b).clamp(min=1e-7)


def scale_invariant(
    depth: Float[Tensor, "*b 1 h w"],
    truth: Float[Tensor, "*b 1 h w"],
    valid: Bool[Tensor, "*b 1 h w"],
    balance: float = 0.5,
) -> Float[Tensor, "*b"]:
    """mean(e^2) - balance mean(e)^2 of e = log depth - log truth over the valid pixels of each image (Eigen 2014,
    eq. 4). balance 1 does not see a wrong scale; 0 is the plain squared error of logs. No valid pixel: 0."""
    dims = (-3, -2, -1)
    ratio = torch.where(valid, depth, 1) / torch.where(valid, truth, 1)
    e, count = ratio.log(), valid.sum(dims).clamp(min=1)
    return e.square().sum(dims) / count - balance * (e.sum(dims) / count) ** 2
