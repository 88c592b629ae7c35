"""Point-to-point ICP (Besl & McKay 1992) with exact nearest neighbours, optionally trimmed (Chetverikov 2002) or with a
robust kernel."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .align import procrustes
from .motion import move
from .neighbours import neighbours, tree

MANY = 2**22  # pairs from which on a tree is faster than trying them all
BLOCK = {"cpu": 2**19, "cuda": 2**24}  # distances held at a time: what fits the cache, or fills the device


Kernel = Callable[[Tensor], Tensor]  # distance -> weight, as in `robust`


class Icp(NamedTuple):
    """What ICP found: the motion on top of the source, and what it cannot explain."""

    T_target_source: Float[Tensor, "*b 4 4"]
    residual: Float[Tensor, "*b n 3"]      # match_k - T source_k; zero where unmatched
    matched: Bool[Tensor, "*b n"]          # false where trimmed away or out of reach


def nearest(
    source: Float[Tensor, "*b n 3"], target: Float[Tensor, "*b m 3"]
) -> tuple[Int[Tensor, "*b n"], Float[Tensor, "*b n"]]:
    """Index of the nearest target point of every source point, and its distance. Exact, and without gradient.

    Few points are all compared, many are looked up in a tree (`neighbours`); memory never grows with n * m.
    """
    many = source.shape[-2] * target.shape[-2] > MANY and source.isfinite().all() and target.isfinite().all()
    with torch.no_grad():
        index = _tree_search(source, target) if many else _all_compared(source, target)
        return index, (source - _take(target, index)).norm(dim=-1)


def _all_compared(source: Tensor, target: Tensor) -> Tensor:
    """|b|^2 - 2 a.b in float64 about the target's centre, in which float32 points lose nothing to rounding; in blocks
    of source points."""
    centre = target.double().mean(-2, keepdim=True)
    a, b = source.double() - centre, target.double() - centre
    a = torch.cat([a, torch.ones_like(a[..., :1])], -1)
    b = torch.cat([-2 * b, b.square().sum(-1, keepdim=True)], -1).mT
    rows = max(1, BLOCK.get(source.device.type, BLOCK["cuda"]) // max(1, target[..., 0].numel()))
    return torch.cat([(part @ b).argmin(-1) for part in a.split(rows, -2)], -1)


def _tree_search(source: Tensor, target: Tensor) -> Tensor:
    """One cloud of the batch after the other."""
    pairs = zip(source.flatten(0, -3) if source.ndim > 2 else source[None],
                target.flatten(0, -3) if target.ndim > 2 else target[None], strict=True)
    return torch.stack([neighbours(a, tree(b))[0][:, 0] for a, b in pairs]).view(source.shape[:-1])


def _closest_share(distance: Tensor, trim: float) -> Tensor:
    """True for all but the farthest `trim` of the pairs."""
    keep = max(1, round((1 - trim) * distance.shape[-1]))
    return distance <= distance.kthvalue(keep, dim=-1, keepdim=True).values


def icp(
    source: Float[Tensor, "*b n 3"],
    target: Float[Tensor, "*b m 3"],
    iterations: int = 10,
    trim: float = 0.0,
    kernel: Kernel | None = None,
    reach: float = torch.inf,
) -> Icp:
    """The rigid T that minimises 1/2 sum_k w_k |T source_k - target_c(k)|^2 over T and over the correspondences c.

    Alternates nearest neighbours with Procrustes until the pairs no longer change, `iterations` times at most. `trim`
    of the pairs, the farthest ones, and those farther apart than `reach` are left out each time; `kernel` gives w by
    the distance. The search for c has no gradient; given c and w, the motion and the residuals are differentiable with
    respect to both clouds. No pair within reach: the identity.
    """
    if iterations < 1:
        raise ValueError(f"icp needs at least one iteration, not {iterations}")
    moved, previous = source.detach(), None
    for _ in range(iterations):
        index, distance = nearest(moved, target.detach())
        matched = _closest_share(distance, trim) & (distance <= reach)
        weight = matched.to(source) if kernel is None else matched * kernel(distance)
        if previous is not None and all(torch.equal(x, y) for x, y in zip(previous, (index, weight), strict=True)):
            break
        previous = index, weight
        moved = move(procrustes(source.detach(), _take(target.detach(), index), weight), source.detach())
    match = _take(target, index)
    T = procrustes(source, match, weight)
    return Icp(T, (match - move(T, source)) * matched[..., None], matched)


def _take(points: Tensor, index: Tensor) -> Tensor:
    return points.gather(-2, index[..., None].expand(*index.shape, 3))
