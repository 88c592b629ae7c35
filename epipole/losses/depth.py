"""How different two depth maps are."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..geometry.sample import sample
from ..geometry.warp import reproject


def depth_difference(a: Float[Tensor, "*b 1 h w"], b: Float[Tensor, "*b 1 h w"]) -> Float[Tensor, "*b 1 h w"]:
    """|a - b| / (a + b) in [0, 1) for positive depths, blind to a common scale (Bian 2019, eq. 4). Without gradient, a
    depth below 0 counts as 0 and an infinite one as very far: the difference to any other is 1."""
    a, b = (x.clamp(0, torch.finfo(x.dtype).max / 4) for x in (a, b))
    return (a - b).abs() / (a + b).clamp(min=1e-7)


def scale_invariant(
    depth: Float[Tensor, "*b 1 h w"],
    truth: Float[Tensor, "*b 1 h w"],
    valid: Bool[Tensor, "*b 1 h w"],
    balance: float = 0.5,
) -> Float[Tensor, "*b"]:
    """mean(e^2) - balance mean(e)^2 of e = log depth - log truth over the valid pixels of each image (Eigen 2014,
    eq. 4). balance 1 does not see a wrong scale; 0 is the plain squared error of logs. No valid pixel: 0. Depths that
    have no logarithm count as the least or the greatest number that has one, without gradient."""
    dims, number = (-3, -2, -1), torch.finfo(depth.dtype)
    log_depth, log_truth = (torch.where(valid, x, 1).clamp(number.tiny, number.max).log() for x in (depth, truth))
    e, count = log_depth - log_truth, valid.sum(dims).clamp(min=1)
    return e.square().sum(dims) / count - balance * (e.sum(dims) / count) ** 2


def depth_consistency(
    depth: Float[Tensor, "b 1 h w"],
    other: Float[Tensor, "b 1 y x"],
    T_other_this: Float[Tensor, "b 4 4"],
    K: Float[Tensor, "b 3 3"],
    K_other: Float[Tensor, "b 3 3"],
) -> tuple[Float[Tensor, "b 1 h w"], Bool[Tensor, "b 1 h w"]]:
    """`depth_difference` between how deep this view's points are in the other view and the depth that the other view
    has there, and where it is seen from there, inside and in front, among depths that are positive and finite (Bian
    2019, eq. 3-4)."""
    pixels, computed, front = reproject(depth, T_other_this, K, K_other)
    known = (other > 0) & other.isfinite()
    looked_up, inside = sample(torch.cat([torch.where(known, other, 1), known.to(other)], 1), pixels)
    sampled, share = looked_up.split(1, 1)
    seen = inside & front & (share > 1 - 1e-4)  # all four neighbours are known, but for rounding
    return depth_difference(torch.where(seen, computed, sampled), sampled), seen


def ordinal(
    a: Float[Tensor, "*n"], b: Float[Tensor, "*n"], relation: Int[Tensor, "*n"]
) -> Float[Tensor, "*n"]:
    """Of pairs of which only the order is known: log(1 + exp(-r (a - b))) for relation r = 1 (a is larger) or -1,
    (a - b)^2 for r = 0 (Chen 2016)."""
    gap = a - b
    return torch.where(relation == 0, gap.square(), F.softplus(-relation * gap))


def scale_invariant_gradient(
    a: Float[Tensor, "*b c h w"],
    b: Float[Tensor, "*b c h w"],
    valid: Bool[Tensor, "*b 1 h w"],
    step: int,
    epsilon: float = 1e-3,
) -> tuple[Float[Tensor, "*b 1 y x"], Bool[Tensor, "*b 1 y x"]]:
    """|g[a] - g[b]| of the relative differences to the pixel `step` to the right and `step` below,
    g[f] = (f' - f) / (|f'| + |f| + epsilon), and where all three pixels are valid: depth edges count by their
    contrast, whatever the scale (Ummenhofer 2017; it sums steps 1, 2, 4, 8, 16)."""
    g_a, g_b = (_relative_gradient(torch.where(valid, f, 1), step, epsilon) for f in (a, b))
    here, right, below = _corner(valid, step)
    return (g_a - g_b).norm(dim=-3, keepdim=True), here & right & below


def _corner(f: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every pixel that has them, its neighbour to the right, and the one below."""
    return f[..., :-step, :-step], f[..., :-step, step:], f[..., step:, :-step]


def _relative_gradient(f: Tensor, step: int, epsilon: float) -> Tensor:
    here, right, below = _corner(f, step)
    return torch.cat([(f - here) / (f.abs() + here.abs() + epsilon) for f in (right, below)], -3)
