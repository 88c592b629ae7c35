"""One coloured cloud from the key frames' depth: what is sure, confirmed by another view, and thinned to a grid."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64, UInt8
from torch import Tensor

from ...formats.run import FAR, FARTHEST, LEAST_SURE
from ...geometry.camera import project, transform, unproject
from ...geometry.motion import se3_inverse
from ...geometry.sample import sample
from .correspond import KeyImages
from .predict import KeyDepth, Predicted, steep

NEIGHBOUR = 3           # key frames to either side of those that have to confirm a point:
AGREES = 0.05           # its depth in one of them is right up to this share
VOXEL = 0.007           # typical depths
MOST = 1_000_000        # points
PENDING = 500_000       # points that wait to be merged
SPAN = 2**20            # voxels from the first camera in every direction; 3 x 21 bits make a number

Moved = Callable[[int], Bool[np.ndarray, "h w"]]
"""Number of a key frame -> true where the scene moved."""


class Map(NamedTuple):
    """Points in the world, their colours, and what per cent of the key frames' pixels did not enter, by why."""

    points: Float32[np.ndarray, "p 3"]
    colours: UInt8[np.ndarray, "p 3"]
    left_out: dict[str, float]


def fuse(
    keys: KeyImages,
    T_world_camera: Float64[np.ndarray, "n 4 4"],
    K: Float64[np.ndarray, "3 3"],
    depth_of: KeyDepth,
    typical: float,
    *,
    moved: Moved | None = None,
    most: int = MOST,
    progress: Callable[[int, int], None] | None = None,
) -> Map:
    """The cloud, of at most `most` points; memory does not grow with the number of key frames.

    Poses and depth are in one unit, of which `typical` depth is the measure; K is that of the network's size. Left out
    is what moves, is far, unsure, steep ("edge"), or contradicted by both key frames `NEIGHBOUR` to either side.
    """
    T, K_ = torch.from_numpy(T_world_camera).float(), torch.from_numpy(K).float()
    seen = lru_cache(maxsize=2 * NEIGHBOUR + 1)(depth_of)
    grid, left_out = Voxels(VOXEL * typical, most), LeftOut()
    for k in range(len(keys)):
        predicted = seen(k)
        points = transform(T[k], unproject(torch.from_numpy(predicted.depth)[None], K_))
        why = ({} if moved is None else {"moved": moved(k)}) | doubts(predicted, typical)
        others = sorted({max(0, k - NEIGHBOUR), min(len(keys) - 1, k + NEIGHBOUR)} - {k})
        if others:
            why["contradicted"] = ~np.any([confirmed(points, T[j], K_, seen(j).depth) for j in others], axis=0)
        keep = left_out.add(why)
        grid.add(points.numpy()[:, keep].T, keys.colour[k][keep])
        if progress:
            progress(k + 1, len(keys))
    return Map(*grid.cloud(), left_out.percent)


def doubts(predicted: Predicted, typical: float) -> dict[str, Bool[np.ndarray, "h w"]]:
    """Pixels that are far, unsure, or on an edge of depth."""
    z, log_variance = predicted
    near = z <= min(FAR * typical, float(np.percentile(z, FARTHEST)))
    sure = log_variance <= np.percentile(log_variance, LEAST_SURE)
    return {"far": ~near, "unsure": ~sure, "edge": steep(z)}


class LeftOut:
    """Counts the pixels that do not enter the map, each once: under the first of the reasons that hold for it."""

    def __init__(self) -> None:
        self.pixels, self.counts = 0, Counter[str]()

    def add(self, why: Mapping[str, Bool[np.ndarray, "h w"]]) -> Bool[np.ndarray, "h w"]:
        """Takes in a frame, and returns which of its pixels enter."""
        keep = np.ones(next(iter(why.values())).shape, bool)
        for reason, holds in why.items():
            self.counts[reason] += int((keep & holds).sum())
            keep &= ~holds
        self.pixels += keep.size
        return keep

    @property
    def percent(self) -> dict[str, float]:
        """Per cent of all pixels, by reason."""
        return {reason: round(100 * count / self.pixels, 1) for reason, count in self.counts.items()}


def confirmed(
    points: Float[Tensor, "3 h w"], T_world_other: Float[Tensor, "4 4"], K: Float[Tensor, "3 3"],
    depth_other: Float32[np.ndarray, "h w"],
) -> Bool[np.ndarray, "h w"]:
    """Points of the world that another camera sees where its own depth says, up to `AGREES`."""
    there = transform(se3_inverse(T_world_other), points)
    pixels, front = project(there, K)
    depth, inside = sample(torch.from_numpy(depth_other)[None, None], pixels[None])
    agrees = (there[2:] / depth[0] - 1).abs() < AGREES
    return (front & inside[0] & agrees)[0].numpy()


class Voxels:
    """Mean position and colour of the points in every cell of a grid; the cells grow when there are too many."""

    def __init__(self, size: float, most: int) -> None:
        self.size, self.most = size, most
        self._cells: Int64[np.ndarray, "c"] = np.zeros(0, np.int64)
        self._sums: Float32[np.ndarray, "c 7"] = np.zeros((0, 7), np.float32)  # x y z red green blue count
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, points: Float32[np.ndarray, "p 3"], colours: UInt8[np.ndarray, "p 3"]) -> None:
        """Takes in points; those too far away for the grid are left out."""
        cells = np.floor(points / self.size).astype(np.int64)
        within = np.all(np.abs(cells) < SPAN, axis=1)
        rows = np.hstack([points, colours, np.ones((len(points), 1))]).astype(np.float32)
        self._waiting.append(_summed(_packed(cells[within]), rows[within]))
        if sum(len(cells) for cells, _ in self._waiting) > PENDING:
            self._merge()

    def cloud(self) -> tuple[Float32[np.ndarray, "p 3"], UInt8[np.ndarray, "p 3"]]:
        """Points and colours; where the grid holds more than `most`, an even choice of them."""
        self._merge()
        rows = self._sums
        if len(rows) > self.most:
            chosen = np.random.default_rng(0).choice(len(rows), self.most, replace=False)
            rows = rows[np.sort(chosen)]
        mean = rows[:, :6] / rows[:, 6:]
        return mean[:, :3], np.clip(np.round(mean[:, 3:]), 0, 255).astype(np.uint8)

    def _merge(self) -> None:
        columns = zip((self._cells, self._sums), *self._waiting, strict=True)
        self._cells, self._sums = _summed(*(np.concatenate(column) for column in columns))
        self._waiting = []
        while len(self._cells) > 2 * self.most:
            self.size *= 2
            self._cells, self._sums = _summed(_packed(_unpacked(self._cells) // 2), self._sums)


def _packed(cells: Int64[np.ndarray, "c 3"]) -> Int64[np.ndarray, "c"]:
    x, y, z = (cells + SPAN).T
    return (x * 2 * SPAN + y) * 2 * SPAN + z


def _unpacked(numbers: Int64[np.ndarray, "c"]) -> Int64[np.ndarray, "c 3"]:
    xy, z = np.divmod(numbers, 2 * SPAN)
    return np.stack([*np.divmod(xy, 2 * SPAN), z], -1) - SPAN


def _summed(
    cells: Int64[np.ndarray, "c"], rows: Float32[np.ndarray, "c k"]
) -> tuple[Int64[np.ndarray, "d"], Float32[np.ndarray, "d k"]]:
    """Cells in ascending order, each once, and the sums of their rows."""
    order = np.argsort(cells, kind="stable")
    cells = cells[order]
    starts = np.flatnonzero(np.diff(cells, prepend=cells[:1] - 1))
    return cells[starts], np.add.reduceat(rows[order], starts, axis=0) if len(starts) else rows[:0]
