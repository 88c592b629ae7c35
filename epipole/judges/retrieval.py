"""Judges place recognition: whether among the nearest descriptors there is one of the same place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import check_finite

CHUNK = 256  # queries compared with the database at once


@dataclass(frozen=True)
class RetrievalProtocol(Protocol):
    """A query counts if one of its `top` nearest lies within `radius` (m) of it (Arandjelovic et al. 2016)."""

    radius: float = 25.0
    top: tuple[int, ...] = (1, 5, 10, 20)

    def words(self) -> str:
        return (f"one of the N nearest descriptors (Euclidean) lies within {self.radius:g} m, of the queries that have "
                "such a place in the database")


class Places(NamedTuple):
    """Descriptors of images, and where they were taken (m, two or three coordinates)."""

    descriptors: Float[np.ndarray, "n d"]
    positions: Float[np.ndarray, "n p"]


def judge_retrieval(queries: Places, database: Places, protocol: RetrievalProtocol | None = None) -> list[Score]:
    """recall_at_1, recall_at_5, recall_at_10, recall_at_20 (%), beside what drawing from the database at random gives.

    Of equal distances the earlier entry comes first. Raises InputError where no query has its place in the database,
    and for numbers that are not finite.
    """
    protocol = protocol or RetrievalProtocol()
    for places, whose in ((queries, "queries"), (database, "database")):
        check_finite(places.descriptors, f"descriptors of the {whose}")
        check_finite(places.positions, f"positions of the {whose}")
    near: list[list[int]] = []
    if len(database.positions) and len(queries.positions):
        near = cKDTree(database.positions).query_ball_point(queries.positions, protocol.radius).tolist()
    known = [i for i, same in enumerate(near) if len(same)]
    if not known:
        raise InputError(f"no query has a place within {protocol.radius:g} m in the database")
    first_hit = np.concatenate([_first_hits(known[i : i + CHUNK], near, queries, database)
                                for i in range(0, len(known), CHUNK)])
    size, about = len(database.positions), f"{len(known)} of {len(near)} queries, {len(database.positions)} places"
    chance = {n: np.mean([_by_chance(len(near[i]), size, n) for i in known]) for n in protocol.top}
    return [protocol.score(f"recall_at_{n}", 100 * float((first_hit < n).mean()), "%", about,
                           {"random order": 100 * float(chance[n])}) for n in protocol.top]


def _first_hits(chosen: list[int], near: list[list[int]], queries: Places, database: Places) -> np.ndarray:
    """For each chosen query, how many entries of the database come before the first one of its place."""
    q, d = queries.descriptors[chosen].astype(np.float64), database.descriptors.astype(np.float64)
    square = (d * d).sum(1) - 2 * q @ d.T  # of the distance, less what does not change the order
    rank = np.empty_like(square, np.int64)
    np.put_along_axis(rank, square.argsort(1, kind="stable"), np.arange(len(d))[None], 1)
    return np.array([rank[row, near[i]].min() for row, i in enumerate(chosen)])


def _by_chance(same: int, size: int, top: int) -> float:
    """Probability that `top` entries drawn from `size` without replacement contain one of the `same`."""
    return 1 - math.comb(size - same, top) / math.comb(size, top) if top < size else 1.0
