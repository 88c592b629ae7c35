"""Judges keypoints and their descriptors on pairs of images related by a known homography, as HPatches and SuperPoint
(DeTone et al. 2018) do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64

from ..types.errors import InputError
from .homography import apply_homography, corner_error
from .score import Protocol, Score
from .tally import Tally, check_finite

THRESHOLDS = (1, 3, 5)  # px of mean corner error within which a homography is correct


@dataclass(frozen=True)
class KeypointProtocol(Protocol):
    """How keypoints are compared.

    within  pixels within which two points are the same
    most    so many points of an image count, the first ones: the strongest
    ransac  pixels of reprojection within which RANSAC counts a match, for the homography
    """

    within: float = 3.0
    most: int = 1000
    ransac: float = 3.0

    def words(self) -> str:
        return (f"same point within {self.within:g} px, the {self.most} strongest of an image, points of the shared "
                "view only, mutual nearest neighbours by Euclidean distance, homography by RANSAC at "
                f"{self.ransac:g} px, correct by mean corner error, mean over pairs")


class KeypointFrame(NamedTuple):
    """Keypoints (x, y) of two images, the strongest first, their descriptors (unpacked bits for binary ones), the true
    homography from the first image to the second, and both images' (width, height)."""

    first: Float64[np.ndarray, "n 2"]
    second: Float64[np.ndarray, "m 2"]
    first_descriptors: Float64[np.ndarray, "n d"]
    second_descriptors: Float64[np.ndarray, "m d"]
    H_second_first: Float64[np.ndarray, "3 3"]
    first_size: tuple[int, int]
    second_size: tuple[int, int]


def judge_keypoints(frames: Iterable[KeypointFrame], protocol: KeypointProtocol | None = None) -> list[Score]:
    """repeatability, localisation_error (px), nn_map, matching_score, homography_1, homography_3, homography_5.

    repeatability: points with one of the other image within reach, of both images together; localisation_error: their
    mean distance; nn_map: area under precision and recall over thresholds of descriptor distance, recall being of the
    points that have a counterpart, mean of both directions; matching_score: correct mutual matches, of an image's
    points, mean of both; homography_k: share of pairs whose homography, fitted to the mutual matches, moves the corners
    by k px from the true place at most. A pair without a shared point counts for the homographies alone, and one
    without a repeated point has no localisation error. Raises InputError where no pair shares a point, and for points
    or descriptors that are not finite.
    """
    protocol = protocol or KeypointProtocol()
    tally, pairs = Tally("images"), 0
    for frame in frames:
        for values, what in zip(frame[:4], ("keypoints", "keypoints", "descriptors", "descriptors"), strict=True):
            check_finite(values, what)
        pairs += 1
        numbers = _homography(_strongest(frame, protocol.most), protocol) | _shared_view(frame, protocol)
        tally.add({name: np.array([value]) for name, value in numbers.items()})
    means = tally.means()
    if "repeatability" not in means:
        raise InputError("no keypoints can be judged: no pair has a point in the view that both images share")
    names = ["repeatability", "localisation_error", "nn_map", "matching_score"]
    names += [f"homography_{k}" for k in THRESHOLDS]
    return [protocol.score(name, means[name], "px" if name == "localisation_error" else "",
                           f"{tally.count(name)} of {pairs} pairs") for name in names if name in means]


def mutual_matches(distance: Float64[np.ndarray, "n m"]) -> Int64[np.ndarray, "k 2"]:
    """Pairs (i, j) that are each other's nearest; none where one side is empty."""
    if not distance.size:
        return np.zeros((0, 2), np.int64)
    there, back = distance.argmin(1), distance.argmin(0)
    i = np.flatnonzero(back[there] == np.arange(len(there)))
    return np.stack([i, there[i]], 1)


def average_precision(
    distance: Float64[np.ndarray, "n m"], apart: Float64[np.ndarray, "n m"], within: float
) -> float:
    """Area under precision (of the matches accepted) over recall (of the rows with a counterpart), as the threshold on
    the distance of every row's nearest column rises; matches of equal distance are accepted together. 0 where no row
    has a counterpart."""
    possible = int((apart <= within).any(1).sum())
    if not possible:
        return 0.0
    nearest = distance.argmin(1)
    rows = np.arange(len(distance))
    d, correct = distance[rows, nearest], apart[rows, nearest] <= within
    order = np.argsort(d, kind="stable")
    last = np.append(np.diff(d[order]) > 0, True)  # of its group of equal distances
    hits, taken = np.cumsum(correct[order])[last], np.flatnonzero(last) + 1
    return float((np.diff(hits, prepend=0) * hits / taken).sum() / possible)


def _shared_view(frame: KeypointFrame, protocol: KeypointProtocol) -> dict[str, float]:
    """The scores of the points that both images can see; none where there are none."""
    H = frame.H_second_first
    first = _inside(apply_homography(H, frame.first), frame.second_size)
    second = _inside(apply_homography(np.linalg.inv(H), frame.second), frame.first_size)
    seen = _strongest(frame._replace(first=frame.first[first], second=frame.second[second],
                                     first_descriptors=frame.first_descriptors[first],
                                     second_descriptors=frame.second_descriptors[second]), protocol.most)
    n, m = len(seen.first), len(seen.second)
    if not n + m:
        return {}
    if not n or not m:
        return {"repeatability": 0.0, "nn_map": 0.0, "matching_score": 0.0}
    apart = _distances(apply_homography(H, seen.first), seen.second)
    nearest = np.concatenate([apart.min(1), apart.min(0)])
    again = nearest[nearest <= protocol.within]
    look = _distances(seen.first_descriptors, seen.second_descriptors)
    i, j = mutual_matches(look).T
    correct = int((apart[i, j] <= protocol.within).sum())
    scores = {"repeatability": len(again) / (n + m), "matching_score": (correct / n + correct / m) / 2,
              "nn_map": (average_precision(look, apart, protocol.within)
                         + average_precision(look.T, apart.T, protocol.within)) / 2}
    return scores | ({"localisation_error": float(again.mean())} if len(again) else {})


def _homography(frame: KeypointFrame, protocol: KeypointProtocol) -> dict[str, float]:
    """1 or 0 for every threshold; 0 where the matches give no homography."""
    i, j = mutual_matches(_distances(frame.first_descriptors, frame.second_descriptors)).T
    H, error = None, float("inf")
    if len(i) >= 4:
        cv2.setRNGSeed(0)
        H, _ = cv2.findHomography(frame.first[i], frame.second[j], cv2.RANSAC, protocol.ransac)
    if H is not None:
        error = corner_error(H.astype(np.float64), frame.H_second_first, frame.first_size)
    return {f"homography_{k}": float(error <= k) for k in THRESHOLDS}


def _strongest(frame: KeypointFrame, most: int) -> KeypointFrame:
    return frame._replace(first=frame.first[:most], second=frame.second[:most],
                          first_descriptors=frame.first_descriptors[:most],
                          second_descriptors=frame.second_descriptors[:most])


def _inside(points: Float64[np.ndarray, "n 2"], size: tuple[int, int]) -> Bool[np.ndarray, "n"]:
    return np.all((points >= -0.5) & (points <= np.array(size) - 0.5), axis=1)


def _distances(a: Float64[np.ndarray, "n d"], b: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "n m"]:
    square = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0))
