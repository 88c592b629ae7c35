"""Cost volumes [b d h w] smoothed by the images, without learning. Channel d at (y, x) says what it costs that the left
pixel (y, x) is the right pixel (y, x - d)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

WAYS = ((-1, -1), (-1, 1), (-2, -1), (-2, 1))  # axis and sign of left, right, up, down


def cross_arms(grey: Float[Tensor, "b 1 h w"], length: int, threshold: float) -> Int64[Tensor, "b 4 h w"]:
    """How many pixels the arms of every pixel's cross reach to its left, right, up and down (Zhang 2009): fewer than
    `length`, as long as their grey differs from the pixel's own by less than `threshold`. The direct neighbour always
    belongs to it."""
    return torch.stack([_arm(grey[:, 0], axis, sign, length, threshold) for axis, sign in WAYS], 1)


def _arm(grey: Tensor, axis: int, sign: int, length: int, threshold: float) -> Tensor:
    size = grey.shape[axis]
    place = _places(grey, axis)
    going, reach = torch.ones_like(grey, dtype=torch.bool), torch.zeros_like(grey, dtype=torch.int64)
    for k in range(1, max(length, 2)):
        at = place + sign * k
        near = (grey.roll(-sign * k, axis) - grey).abs() < threshold
        going = going & (at >= 0) & (at < size) & (near | (k == 1))
        reach = reach + going
    return reach


def cross_aggregate(
    cost: Float[Tensor, "b d h w"], left_arms: Int64[Tensor, "b 4 h w"], right_arms: Int64[Tensor, "b 4 h w"]
) -> Float[Tensor, "b d h w"]:
    """Mean of each disparity's costs over the support that both pixels share (Zhang 2009; Zbontar 2016, eq. 7): the
    vertical arms of the pixel, and in each of their rows the horizontal arms, always the shorter one of both images.
    What the right image does not see (x < d) stays as it was."""
    w, slices = cost.shape[-1], []
    for d, c in enumerate(cost.unbind(1)):
        arms = torch.minimum(left_arms[..., d:], right_arms[..., : max(w - d, 0)])
        left, right, up, down = arms.unbind(1)
        total = _span_sum(_span_sum(c[..., d:], left, right, -1), up, down, -2)
        count = _span_sum((left + right + 1).to(c), up, down, -2)
        slices.append(torch.cat([c[..., :d], total / count], -1))
    return torch.stack(slices, 1)


def _span_sum(x: Tensor, before: Tensor, after: Tensor, dim: int) -> Tensor:
    """Sum along `dim` from so many pixels before each one to so many after it."""
    sums = F.pad(x.double().cumsum(dim), (1, 0) if dim == -1 else (0, 0, 1, 0))
    place = _places(x, dim)
    return (sums.gather(dim, place + after + 1) - sums.gather(dim, place - before)).to(x.dtype)


def _places(like: Tensor, dim: int) -> Tensor:
    place = torch.arange(like.shape[dim], device=like.device)
    return place if dim == -1 else place[:, None]


def semi_global(
    cost: Float[Tensor, "b d h w"], left: Float[Tensor, "b 1 h w"], right: Float[Tensor, "b 1 h w"],
    P1: float, P2: float, Q1: float = 1.0, Q2: float = 1.0, V: float = 1.0, edge: float = float("inf"),
) -> Float[Tensor, "b d h w"]:
    """Mean over the paths from the left, the right, above and below of
    L(p, d) = C(p, d) + min(L(q, d), L(q, d - 1) + P1, L(q, d + 1) + P1, min_k L(q, k) + P2) - min_k L(q, k)
    with q before p on the path (Hirschmueller 2008, eq. 13).

    Both penalties are divided by Q1 where one of the grey images changes by more than `edge` from q to p and by Q2
    where both do (outside the right image it is held to change), P1 besides by V along columns (Zbontar 2016, 4.2).
    """
    total = torch.zeros_like(cost)
    for dim, P in ((-1, P1), (-2, P1 / V)):
        ease = _ease(left, right, cost.shape[1], dim, edge, cost.new_tensor([1.0, 1 / Q1, 1 / Q2])).movedim(dim, 0)
        along = cost.movedim(dim, 0)
        total = total + torch.stack(list(_path(along, ease, P, P2))).movedim(0, dim)
        total = total + torch.stack(list(_path(along.flip(0), ease.flip(0), P, P2))).flip(0).movedim(0, dim)
    return total / 4


def _ease(left: Tensor, right: Tensor, disparities: int, dim: int, edge: float, factors: Tensor) -> Tensor:
    """[b d ..] of each step along `dim`: the factor of the penalties, by how many images change."""
    here, there = ((x.diff(dim=dim).abs() > edge).long() for x in (left, right))
    shifted = F.pad(there, (disparities - 1, 0), value=1).unfold(-1, disparities, 1).flip(-1)  # column x - d at [.., d]
    return factors[here + shifted[:, 0].movedim(-1, 1)]


def _path(cost: Tensor, ease: Tensor, P1: float, P2: float) -> Iterator[Tensor]:
    """L [b d n] of one pixel after the other along the first axis."""
    L = cost[0]
    yield L
    for c, e in zip(cost[1:], ease, strict=True):
        least = L.amin(1, keepdim=True)
        wide = F.pad(L, (0, 0, 1, 1), value=torch.inf)
        beside = torch.minimum(wide[:, :-2], wide[:, 2:]) + P1 * e
        L = c + torch.minimum(torch.minimum(L, beside), least + P2 * e) - least
        yield L


def seen_from_right(cost: Float[Tensor, "b d h w"], beyond: float) -> Float[Tensor, "b d h w"]:
    """The same costs for the right pixels: channel d at (y, x) is that of the left pixel (y, x + d), `beyond` where it
    lies outside."""
    w = cost.shape[-1]
    return torch.stack([F.pad(c[..., d:], (0, min(d, w)), value=beyond) for d, c in enumerate(cost.unbind(1))], 1)
