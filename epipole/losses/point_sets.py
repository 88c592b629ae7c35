"""How far apart two sets of points are, whatever their order: Chamfer and earth mover's distance (Fan 2017)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..geometry.icp import nearest

SCALING = 5.0  # by which an auction's increment shrinks from round to round


def chamfer(
    source: Float[Tensor, "*b n 3"], target: Float[Tensor, "*b m 3"]
) -> tuple[Float[Tensor, "*b n"], Float[Tensor, "*b m"]]:
    """Squared distance of every source point to the nearest target point, and of every target point to the nearest
    source point (Fan 2017, eq. 1 is the sum of both sums). Memory does not grow with n * m."""
    there, back = nearest(source.detach(), target.detach())[0], nearest(target.detach(), source.detach())[0]
    return (source - _take(target, there)).square().sum(-1), (target - _take(source, back)).square().sum(-1)


def earth_mover(
    source: Float[Tensor, "*b n 3"], target: Float[Tensor, "*b n 3"], accuracy: float = 1e-3
) -> Float[Tensor, "*b n"]:
    """Distance of every source point to the target point it is assigned to, one to one, so that their sum is least
    (Fan 2017, eq. 2), to `accuracy` times the sum as in `assignment`. Coincident points have a gradient of 0."""
    with torch.no_grad():
        index = assignment(torch.cdist(source.double(), target.double(), compute_mode="donot_use_mm_for_euclid_dist"),
                           accuracy)
    return torch.linalg.vector_norm(source - _take(target, index), dim=-1)


def assignment(cost: Float[Tensor, "*b n n"], accuracy: float = 1e-3) -> Int[Tensor, "*b n"]:
    """The column of every row, one to one, for which the sum of costs is least, by auction with shrinking increments
    (Bertsekas 1988): at most `accuracy` times the sum of the rows' mean costs above the least sum, and the best itself
    where the second best is farther off than that. Raises ValueError for costs that are not finite."""
    if not cost.isfinite().all():
        raise ValueError("an assignment needs finite costs")
    with torch.no_grad():
        each = cost.detach().double().reshape(-1, *cost.shape[-2:])
        return torch.stack([_auction(c, max(accuracy, 1e-9)) for c in each]).view(cost.shape[:-1])


def _auction(cost: Tensor, accuracy: float) -> Tensor:
    n = len(cost)
    if n < 2 or not (spread := float(cost.max() - cost.min())):
        return torch.arange(n, device=cost.device)
    price, last = torch.zeros_like(cost[0]), accuracy * float(cost.mean())
    increment = max(spread / SCALING, last)
    while True:
        column, price = _round(cost, price, increment)
        if increment <= last:
            return column
        increment = max(increment / SCALING, last)


def _round(cost: Tensor, price: Tensor, increment: float) -> tuple[Tensor, Tensor]:
    """Rows bid for columns until each has one; a bid is what makes the second best column as good, plus `increment`."""
    none = torch.full_like(cost[0], -1, dtype=torch.long)
    column, owner = none.clone(), none.clone()
    while len(free := (column < 0).nonzero()[:, 0]):
        value, best = (-cost[free] - price).topk(2, -1)
        wanted, bid = best[:, 0], price[best[:, 0]] + value[:, 0] - value[:, 1] + increment
        highest = torch.full_like(price, -torch.inf).scatter_reduce(0, wanted, bid, "amax")
        wins = bid == highest[wanted]
        winner = none.clone().scatter_(0, wanted[wins], free[wins])  # of equal bids one wins
        sold = (winner >= 0).nonzero()[:, 0]
        out = owner[sold]
        column[out[out >= 0]] = -1
        column[winner[sold]] = sold
        owner[sold] = winner[sold]
        price = torch.where(winner >= 0, highest, price)
    return column, price


def _take(points: Tensor, index: Tensor) -> Tensor:
    return points.gather(-2, index[..., None].expand(*index.shape, 3))
