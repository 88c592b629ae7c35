"""The ground under a camera: the lowest plane that a depth map shows, found by consensus.

A plane is q with q . X = 1 for its points X in the camera's frame: q points from the camera to the plane, and 1 / |q|
is the distance between them. q . X - 1 is then the relative error of the depth of a point that lies on the plane,
whatever the unit: inverse depth is a linear function of the pixel.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import unproject
from .consensus import Problem, consensus
from .robust import tukey
from .scores import Ransac

OFF = 0.05          # relative error of depth beyond which a pixel is not on the plane
SEEDS = 1500        # pixels of a frame, about, that are asked
LEAST = 0.05        # share of the pixels that have to lie on it
CROWDED = 2         # times as many have to lie on it as in the layers beside it; else it cuts through what is no plane
BELOW = 0.25        # as many of the pixels on it may lie below; a plane above more is a table: the search goes on there
STOREYS = 3         # planes above one another that are tried
DEEPER = 0.75       # as many of the pixels on the last one may lie below it, or the ground is not in sight
STEEPEST = 40.0     # degrees between the plane's normal and `down`
RAMP = 15.0         # degrees between the ground and the way of a camera of constant height, at most
ROUNDS, WIDE, FINEST = 12, 4.0, 5e-4      # of reweighting; medians that count; relative error that is nothing
SINGULAR = 1e-9


class Ground(NamedTuple):
    """The ground, and how much depth shows of it."""

    plane: Float[Tensor, "3"]   # q, in the camera's frame, the depth's unit and float64
    share: float                # of the pixels with depth that lie on it, before it is turned to run along the way
    tilt: float                 # degrees between the way and the plane before it is turned; 0 where no way is known


def ground(
    depth: Float[Tensor, "1 h w"], K: Float[Tensor, "3 3"], generator: torch.Generator,
    down: Float[Tensor, "3"] | None = None, valid: Bool[Tensor, "1 h w"] | None = None,
    along: Float[Tensor, "3"] | None = None,
) -> Ground | None:
    """None where none is seen.

    The plane faces `down` (default: the camera's y) within `STEEPEST` degrees, and little lies below it: where the
    floor hides behind furniture, planes are found that cut through it, with much below them. Pixels that are not
    `valid`, or whose depth is not positive and finite, are not asked. `along`, if not 0, is the direction in
    which a camera of constant height moves: the ground runs that way, too, and its height is that of what is seen,
    where a plane by depth alone would have to be carried on to below the camera.
    """
    down = torch.tensor([0.0, 1.0, 0.0]) if down is None else down
    every = points = _some(depth, K, valid)
    asked = len(every)
    down = down.to(points) / down.norm().to(points)
    steepest, found, seen = math.cos(math.radians(STEEPEST)), None, points
    problem = plane(down, steepest)
    for _ in range(STOREYS):
        if len(points) < max(LEAST * asked, problem.size + 1):
            break
        best = refined(consensus(points, problem, Ransac(OFF), generator).model[0], points)
        off = (points @ best - 1).abs()
        on, beside = int((off < OFF).sum()), int(((off >= OFF) & (off < 2 * OFF)).sum())
        if on < max(LEAST * asked, CROWDED * beside) or not bool(best @ down > steepest * best.norm()):
            break
        found, seen = best, points
        below = points @ found > 1 + 2 * OFF
        if int(below.sum()) <= BELOW * on:
            break
        points = points[below]
    if found is None:
        return None
    off, way = every @ found - 1, torch.zeros_like(found) if along is None else along.to(found)
    on, deeper = int((off.abs() < OFF).sum()), int((off > 2 * OFF).sum())
    return None if deeper > DEEPER * on else Ground(levelled(found, seen, way), on / asked, _tilt(found, way))


def _tilt(q: Tensor, along: Tensor) -> float:
    """Degrees between a plane and a direction; 0 where that is 0."""
    sine = (q @ along).abs() / (q.norm() * along.norm()).clamp(min=torch.finfo(q.dtype).tiny)
    return math.degrees(math.asin(min(1.0, float(sine))))


def levelled(
    q: Float[Tensor, "3"], points: Float[Tensor, "n 3"], along: Float[Tensor, "3"]
) -> Float[Tensor, "3"]:
    """The plane turned to run `along`, as far below as the median of the points near it; unchanged where that would
    turn it by more than `RAMP`, or `along` is 0."""
    n, way = q / q.norm(), along / along.norm().clamp(min=torch.finfo(along.dtype).tiny)
    if float(way.norm()) == 0 or float((n @ way).abs()) > math.sin(math.radians(RAMP)):
        return q
    n = n - (n @ way) * way
    n = n / n.norm()
    return n / (points[(points @ q - 1).abs() < OFF] @ n).median()


def refined(q: Float[Tensor, "3"], points: Float[Tensor, "n 3"]) -> Float[Tensor, "3"]:
    """The plane that fits the points near it best, with Tukey's weights as wide as these scatter. It may turn as it
    likes: what cuts through walls turns away."""
    for _ in range(ROUNDS):
        off = (points @ q - 1).abs()
        near = off[off < OFF]
        if len(near) < 3:
            break
        wide = WIDE * max(float(near.median()), FINEST)
        q = _least_squares(points, tukey(off, wide))[0]
    return q


def _some(depth: Tensor, K: Tensor, valid: Tensor | None) -> Tensor:
    """Points [n 3] of an even choice of the pixels with depth."""
    known = depth.isfinite() & (depth > 0)
    if valid is not None:
        known &= valid
    step = max(1, round((depth.numel() / SEEDS) ** 0.5))
    points = unproject(torch.where(known, depth, 1).double(), K.double())[:, ::step, ::step]
    return points[:, known[0, ::step, ::step]].T


def plane(down: Float[Tensor, "3"], steepest: float) -> Problem:
    """Planes q [1 3] through points, with q . down > `steepest` |q|; the distance of a point is |q . X - 1|."""

    def faces(q: Tensor) -> Tensor:
        return q @ down.to(q) > steepest * q.norm(dim=-1)

    def through(samples: Tensor) -> tuple[Tensor, Tensor]:
        regular = torch.linalg.det(samples).abs() > SINGULAR * samples.norm(dim=-1).prod(-1)
        safe = torch.where(regular[:, None, None], samples, torch.eye(3).to(samples))
        q = torch.linalg.solve(safe, torch.ones_like(samples[..., 0]))
        return q[:, None, None], (regular & faces(q))[:, None]

    def fit(q: Tensor, data: Tensor, weight: Tensor) -> Tensor:
        better = _least_squares(data, weight)
        return torch.where(faces(better)[..., None], better, q)

    return Problem(3, 3, through, _off, fit)


def _off(q: Tensor, data: Tensor) -> Tensor:
    return ((data * q).sum(-1) - 1).abs()


def _least_squares(data: Tensor, weight: Tensor) -> Tensor:
    """Of q . X - 1; damped so little that only what is degenerate notices."""
    weighted = weight[..., None] * data
    A = weighted.mT @ data
    damped = A + SINGULAR * A.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] * torch.eye(3).to(A)
    return torch.linalg.solve(damped, weighted.sum(-2))[..., None, :]
