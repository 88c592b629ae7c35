"""Sample and test, batched: models from many minimal samples at once, judged by a score of the RANSAC family, the best
polished on what agrees with it (LO-RANSAC, Chum et al. 2003)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .epipolar import fundamental, fundamental_seven, sampson_distance, sampson_weight
from .homogeneous import homogeneous, length
from .homography import homography, transfer_distance, transfer_weight
from .p3p import p3p
from .pnp import refine_pose, reprojection
from .scores import Score

BATCH = 128          # samples drawn at a time
INNER = 32           # larger samples drawn from the inliers of a model that is the best so far
POLISH = 8           # refits of a model that is the best so far, at most


class Problem(NamedTuple):
    """A model to be found in data, one datum a row: x1, y1, x2, y2 for two views, X, Y, Z, x, y for a pose."""

    size: int                                                 # data in a minimal sample
    least: int                                                # data that `fit` needs
    solve: Callable[[Tensor], tuple[Tensor, Tensor]]          # samples [s size d] -> models [s k ...], valid [s k]
    residual: Callable[[Tensor, Tensor], Tensor]              # models [m ...], data [1 n d] -> distances [m n]
    fit: Callable[[Tensor, Tensor, Tensor], Tensor]           # models [m ...], data [m n d], weight [m n] -> better


class Consensus(NamedTuple):
    """The best model; its cost is inf and nothing is an inlier where no sample gave one."""

    model: Float[Tensor, "i j"]
    cost: float
    inliers: Bool[Tensor, "n"]
    samples: int


def _halves(data: Float[Tensor, "*b n 4"]) -> tuple[Float[Tensor, "*b n 2"], Float[Tensor, "*b n 2"]]:
    """Points of the first and of the second view."""
    return data[..., :2], data[..., 2:]


def _fit_fundamental(F: Tensor, data: Tensor, weight: Tensor) -> Tensor:
    x, y = _halves(data)
    return fundamental(x, y, weight * sampson_weight(F, x, y))


def _fit_homography(H: Tensor, data: Tensor, weight: Tensor) -> Tensor:
    x, y = _halves(data)
    return homography(x, y, weight * transfer_weight(H, x))


def _four_points(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Homographies of samples; those that turn a triangle of the four over are not seen from one side of a plane."""
    x, y = _halves(samples)
    H = homography(x, y, torch.ones_like(x[..., 0]))
    corners = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]], device=x.device)
    same = torch.linalg.det(homogeneous(x[..., corners, :])) * torch.linalg.det(homogeneous(y[..., corners, :])) > 0
    return H[..., None, :, :], (same.all(-1) | (~same).all(-1))[..., None]


def _three_points(samples: Tensor) -> tuple[Tensor, Tensor]:
    return p3p(samples[..., :3], homogeneous(samples[..., 3:]))


def _pose_distance(T: Tensor, data: Tensor) -> Tensor:
    X, x = (part.expand(*T.shape[:-2], -1, -1) for part in (data[..., :3], data[..., 3:]))
    r, front, _ = reprojection(T, X, x, torch.eye(3).to(T).expand(*T.shape[:-2], 3, 3))
    return torch.where(front, length(r), torch.inf)


def _fit_pose(T: Tensor, data: Tensor, weight: Tensor) -> Tensor:
    K = torch.eye(3).to(T).expand(*T.shape[:-2], 3, 3)
    return refine_pose(T, data[..., :3], data[..., 3:], K, weight, 5)


FUNDAMENTAL = Problem(7, 8, lambda s: fundamental_seven(*_halves(s)),
                      lambda F, data: sampson_distance(F, *_halves(data)).abs(), _fit_fundamental)
HOMOGRAPHY = Problem(4, 4, _four_points, lambda H, data: transfer_distance(H, *_halves(data)), _fit_homography)
POSE = Problem(3, 3, _three_points, _pose_distance, _fit_pose)  # T_camera_world; x, y on the plane z = 1


def consensus(
    data: Float[Tensor, "n d"], problem: Problem, score: Score, generator: torch.Generator, *,
    confidence: float = 0.999, most: int = 5000,
) -> Consensus:
    """The model of least cost over minimal samples, refitted to the data by their weights as long as that helps.

    Stops once a sample of inliers alone has been drawn with `confidence`, given the best model's share of inliers, or
    after `most` samples. Draws from `generator`, which must be on the CPU: same data, same state, same result. Without
    gradient; float64 inside. ValueError for fewer data than a minimal sample and its check need (size + 1).
    """
    if len(data) <= problem.size:
        raise ValueError(f"consensus needs more than {problem.size} data, got {len(data)}")
    like, data = data, data.double()
    with torch.no_grad():
        best, cost, needed, drawn = None, math.inf, float(most), 0
        while drawn < needed:
            samples = data[draw(len(data), problem.size, BATCH, generator).to(data.device)]
            model, its_cost = _best_of(samples, data, problem, score)
            drawn += BATCH
            if model is not None and its_cost < cost:
                best, cost = polish(*_local(model, its_cost, data, problem, score, generator), data, problem, score)
                share = float(score.inliers(problem.residual(best[None], data[None]))[0].double().mean())
                needed = min(float(most), samples_needed(share, problem.size, confidence))
        if best is None:
            nothing = problem.solve(data[None, : problem.size])[0][0, 0]
            return Consensus(nothing.to(like), math.inf, torch.zeros_like(like[:, 0], dtype=torch.bool), drawn)
        inside = score.inliers(problem.residual(best[None], data[None]))[0]
    return Consensus(best.to(like), cost, inside, drawn)


def draw(n: int, size: int, count: int, generator: torch.Generator) -> Int[Tensor, "count size"]:
    """Indices of `count` samples without repeats within one (Floyd's algorithm, all samples at once)."""
    chosen = torch.empty(count, 0, dtype=torch.long)
    for last in range(n - size, n):
        pick = torch.randint(last + 1, (count, 1), generator=generator)
        taken = (chosen == pick).any(1, keepdim=True)
        chosen = torch.cat([chosen, torch.where(taken, torch.full_like(pick, last), pick)], 1)
    return chosen


def samples_needed(share: float, size: int, confidence: float) -> float:
    """log(1 - p) / log(1 - e^s): draws until one is of inliers alone with probability p, their share being e."""
    good = share**size
    if good <= 0:
        return math.inf
    return math.log(1 - confidence) / math.log(1 - good) if good < 1 else 0.0


def _best_of(samples: Tensor, data: Tensor, problem: Problem, score: Score) -> tuple[Tensor | None, float]:
    models, valid = problem.solve(samples)
    return _cheapest(models[valid], data, problem, score)


def _cheapest(models: Tensor, data: Tensor, problem: Problem, score: Score) -> tuple[Tensor | None, float]:
    if len(models) == 0:
        return None, math.inf
    costs = score.cost(problem.residual(models, data[None]))
    k = int(costs.argmin())
    return models[k], float(costs[k])


def _local(
    model: Tensor, cost: float, data: Tensor, problem: Problem, score: Score, generator: torch.Generator
) -> tuple[Tensor, float]:
    """A better model by larger samples, drawn from the inliers alone (inner sampling of LO-RANSAC)."""
    inside = score.inliers(problem.residual(model[None], data[None]))[0].nonzero()[:, 0]
    size = min(2 * problem.least, len(inside) // 2)
    if size < problem.least:
        return model, cost
    samples = data[inside[draw(len(inside), size, INNER, generator).to(inside.device)]]
    models = problem.fit(model.expand(INNER, *model.shape), samples, torch.ones_like(samples[..., 0]))
    other, its_cost = _cheapest(models, data, problem, score)
    return (other, its_cost) if other is not None and its_cost < cost else (model, cost)


def polish(model: Tensor, cost: float, data: Tensor, problem: Problem, score: Score) -> tuple[Tensor, float]:
    """The model refitted to the weights it gives the data, again and again as long as its cost falls."""
    for _ in range(POLISH):
        weight = score.weight(problem.residual(model[None], data[None]))
        if int((weight > 0).sum()) < problem.least:
            break
        new, its_cost = _cheapest(problem.fit(model[None], data[None], weight), data, problem, score)
        if new is None or not its_cost < cost:
            break
        model, cost = new, its_cost
    return model, cost
