"""Judges point clouds against true surfaces: Chamfer and earth mover's distance, and the F-score."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import Tally, check_finite


@dataclass(frozen=True)
class PointsProtocol(Protocol):
    """How clouds are compared.

    within  distance at which a point is right, in the clouds' unit (Knapitsch et al. 2017)
    moved   so many points of each cloud, drawn with `seed`, are assigned one to one for the earth mover's distance
    seed    of that draw
    """

    within: float = 0.05
    moved: int = 512
    seed: int = 0

    def words(self) -> str:
        return ("mean over clouds; chamfer is the sum of both directions' mean distances, chamfer_squared of their "
                f"mean squares; right within {self.within:g}; emd is the mean distance under the best assignment of at "
                f"most {self.moved} points of each, drawn with seed {self.seed}")


class PointsFrame(NamedTuple):
    """A predicted cloud and the true one, in one frame and unit."""

    prediction: Float[np.ndarray, "n 3"]
    truth: Float[np.ndarray, "m 3"]


def judge_points(
    frames: Iterable[PointsFrame], protocol: PointsProtocol | None = None, unit: str = "m"
) -> list[Score]:
    """chamfer, chamfer_squared, emd, f_score, precision (predicted points near a true one) and recall (true points near
    a predicted one), beside what as many points at the truth's centre score.

    Raises InputError without a cloud, for empty clouds and for points that are not finite.
    """
    protocol = protocol or PointsProtocol()
    tally, middle = Tally("images"), Tally("images")
    for frame in frames:
        p, g = frame.prediction.astype(np.float64), frame.truth.astype(np.float64)
        for points, whose in ((p, "predicted"), (g, "true")):
            if not len(points):
                raise InputError(f"a {whose} cloud has no points and cannot be judged")
            check_finite(points, f"{whose} points")
        tally.add(_numbers(p, g, protocol))
        middle.add(_numbers(np.broadcast_to(g.mean(0), p.shape), g, protocol))
    if not tally.images:
        raise InputError("no points can be judged: there is no cloud")
    beside, units = middle.means(), {"chamfer": unit, "chamfer_squared": f"{unit}^2", "emd": unit}
    return [protocol.score(name, value, units.get(name, ""), f"{tally.images} clouds", {"one point": beside[name]})
            for name, value in tally.means().items()]


def nearest(points: Float64[np.ndarray, "n 3"], among: Float64[np.ndarray, "m 3"]) -> Float64[np.ndarray, "n"]:
    """Distance of every point to the nearest one of the others."""
    return cKDTree(among).query(points)[0]


def earth_mover(p: Float64[np.ndarray, "n 3"], g: Float64[np.ndarray, "n 3"]) -> float:
    """Mean distance under the one-to-one assignment for which it is least, exact; O(n^3)."""
    cost = cdist(p, g)
    return float(cost[linear_sum_assignment(cost)].mean())


def _numbers(
    p: Float64[np.ndarray, "n 3"], g: Float64[np.ndarray, "m 3"], protocol: PointsProtocol
) -> dict[str, Float64[np.ndarray, "1"]]:
    there, back = nearest(p, g), nearest(g, p)
    precision, recall = float((there <= protocol.within).mean()), float((back <= protocol.within).mean())
    generator = np.random.default_rng(protocol.seed)
    count = min(len(p), len(g), protocol.moved)
    some = [x if len(x) == count else x[generator.choice(len(x), count, replace=False)] for x in (p, g)]
    numbers = {"chamfer": there.mean() + back.mean(), "chamfer_squared": (there**2).mean() + (back**2).mean(),
               "emd": earth_mover(*some), "precision": precision, "recall": recall,
               "f_score": 2 * precision * recall / (precision + recall) if precision + recall else 0.0}
    return {name: np.array([value]) for name, value in numbers.items()}
