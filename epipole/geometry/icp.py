"""Point-to-point ICP (Besl & McKay 1992) with exact nearest neighbours, and optionally trimmed (Chetverikov 2002)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .align import procrustes
from .motion import move

BLOCK = {"cpu": 2**19, "cuda": 2**24}  # distances held at a time: what fits the cache, or fills the device


class Icp(NamedTuple):
    """What ICP found: the motion on top of the source, and what it cannot explain."""

    T_target_source: Float[Tensor, "*b 4 4"]
    residual: Float[Tensor, "*b n 3"]      # match_k - T source_k; zero where trimmed away
    matched: Bool[Tensor, "*b n"]          # false where trimmed away


def nearest(
    source: Float[Tensor, "*b n 3"], target: Float[Tensor, "*b m 3"]
) -> tuple[Int[Tensor, "*b n"], Float[Tensor, "*b n"]]:
    """Index of the nearest target point of every source point, and its distance. Exact, and without gradient.

    Compares |b|^2 - 2 a.b in float64 about the target's centre, in which float32 points lose nothing to rounding;
    computed in blocks of source points, so that memory does not grow with n * m.
    """
    with torch.no_grad():
        centre = target.double().mean(-2, keepdim=True)
        a, b = source.double() - centre, target.double() - centre
        a = torch.cat([a, torch.ones_like(a[..., :1])], -1)
        b = torch.cat([-2 * b, b.square().sum(-1, keepdim=True)], -1).mT
        rows = max(1, BLOCK.get(source.device.type, BLOCK["cuda"]) // max(1, target[..., 0].numel()))
        index = torch.cat([(part @ b).argmin(-1) for part in a.split(rows, -2)], -1)
        return index, (source - _take(target, index)).norm(dim=-1)


def _closest_share(distance: Tensor, trim: float) -> Tensor:
    """True for all but the farthest `trim` of the pairs."""
    keep = max(1, round((1 - trim) * distance.shape[-1]))
    return distance <= distance.kthvalue(keep, dim=-1, keepdim=True).values


def icp(
    source: Float[Tensor, "*b n 3"], target: Float[Tensor, "*b m 3"], iterations: int = 10, trim: float = 0.0
) -> Icp:
    """The rigid T that minimises 1/2 sum_k |T source_k - target_c(k)|^2 over T and over the correspondences c.

    Alternates nearest neighbours with Procrustes until the correspondences no longer change, `iterations` times at
    most; `trim` of the pairs, the farthest ones, are left out each time. The search for c has no gradient; given c,
    the motion and the residuals are differentiable with respect to both clouds.
    """
    moved, index = source.detach(), None
    for _ in range(iterations):
        previous = index
        index, distance = nearest(moved, target.detach())
        matched = _closest_share(distance, trim)
        if previous is not None and torch.equal(index, previous):
            break
        T = procrustes(source.detach(), _take(target.detach(), index), matched.to(source))
        moved = move(T, source.detach())
    if index is None:
        raise ValueError(f"icp needs at least one iteration, not {iterations}")
    match = _take(target, index)
    T = procrustes(source, match, matched.to(source))
    return Icp(T, (match - move(T, source)) * matched[..., None], matched)


def _take(points: Tensor, index: Tensor) -> Tensor:
    return points.gather(-2, index[..., None].expand(*index.shape, 3))
