"""Pairs of key frames far apart in time that see the same place: where flow has to be told about where to look.

SIFT (Lowe 2004), RootSIFT (Arandjelovic and Zisserman 2012), mutual nearest neighbours that pass the ratio test, and
one epipolar geometry.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import poselib
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...sources.look import one_thread
from .cache import Rows
from .correspond import around
from .flow import Flow, Gray, both_ways
from .revisits import revisits

Pair = tuple[int, int]
Images = Rows | Sequence[Gray]
Homography = Float[np.ndarray, "3 3"]

FEATURES = 400
"""SIFT features per frame, the strongest."""

LOWE = 0.8
"""The second best match must be this much farther."""

LEAST_INLIERS = 25
"""Matches on one epipolar geometry that make two frames views of one place; seven always fit, chance adds a few."""

LEAST_SHARE = 1 / 3
"""Share of all matches that must be on it."""

LEAST_AGREEING = 0.2
"""Share of the image on which flow that starts from the matches' plane must pass the forward-backward check. Wallpaper
and rows of windows repeat: their matches fit one epipolar geometry perfectly, but what stands between them does not
(of 60 such pairs of one room one passes, of 100 true ones 80)."""

MOST_FRAMES = 160
"""So many, evenly spread, are compared all with all; of those farther apart than a chain's, all that look alike too."""

FEW_FRAMES = 80
"""Up to so many key frames every one may be a photo from a place of its own: matches are not thinned out in time."""

NEAR = 2
"""Else a match (a, b) keeps others away whose a and b are both within so many frames of its own."""

AT_MOST_OF_FEW, AT_MOST = 6, 3
"""Matches per frame; with many frames no more than one of them for every doubling of the distance in time, because
what is near in time matches best and tells least."""

LONG = 0.05
"""DIS finds motion shorter than this share of the width as well without a guess (median of the guess)."""


class Match(NamedTuple):
    """Frames a < b share `inliers` features; H_b_a maps pixels of a to b, roughly: one plane through the scene."""

    a: int
    b: int
    H_b_a: Homography
    inliers: int


class Features(NamedTuple):
    """Points (u, v) in pixels with unit descriptors, strongest first."""

    points: Float[np.ndarray, "n 2"]
    words: Float[Tensor, "n 128"]


def matched_pairs(images: Images, chain_gap: int, links: Iterable[Pair] | None = None) -> list[Match]:
    """Pairs of gray images further apart than `chain_gap` in time that see the same place, best first.

    `links` are pairs known to be connected, by default all consecutive images. A match that connects pieces which
    nothing else connects is taken whatever its distance; the others are spread (see `AT_MOST`).
    """
    n = len(images)
    seen = lru_cache(MOST_FRAMES)(lambda number: features(images[number]))
    numbers = range(0, n, -(-n // MOST_FRAMES))
    candidates = _candidates({i: seen(i) for i in numbers})
    if numbers.step > chain_gap:
        candidates += revisits(n, lambda number: features(images[number]).words, numbers)
    piece = pieces(n, zip(range(n - 1), range(1, n), strict=True) if links is None else links)
    spread, matches = _Spread(n, chain_gap), list[Match]()
    for a, b in candidates:
        if piece[a] == piece[b] and not spread.has_room(a, b):
            continue
        verified = _verified(seen(a), seen(b))
        if verified and _agreeing(images[a], images[b], verified[0]) >= LEAST_AGREEING:
            matches.append(Match(a, b, *verified))
            spread.take(a, b)
            piece[piece == piece[b]] = piece[a]
    return matches


def pieces(n: int, links: Iterable[Pair]) -> Int[np.ndarray, "n"]:
    """The connected piece of every frame, named by one of its frames."""
    piece = np.arange(n)
    for a, b in links:
        piece[piece == piece[b]] = piece[a]
    return piece


class _Spread:
    """Keeps matches apart in time, and few per frame."""

    def __init__(self, n: int, chain_gap: int) -> None:
        self._few, self._gap = n <= FEW_FRAMES, chain_gap
        self._crowded = set[Pair]()     # all that is too near in time to what was taken
        self._count: Counter[int | Pair] = Counter()

    def _keys(self, a: int, b: int) -> list[int | Pair]:
        octave = max(0, int(np.log2((b - a) / self._gap)))
        return [a, b] if self._few else [a, b, (a, octave), (b, octave)]

    def has_room(self, a: int, b: int) -> bool:
        if b - a <= self._gap:
            return False
        if not self._few and (a, b) in self._crowded:
            return False
        most = AT_MOST_OF_FEW if self._few else AT_MOST
        return all(self._count[key] < (most if isinstance(key, int) else 1) for key in self._keys(a, b))

    def take(self, a: int, b: int) -> None:
        self._crowded.update(around((a, b), NEAR))
        self._count.update(self._keys(a, b))


def _candidates(found: dict[int, Features]) -> list[Pair]:
    """Pairs a < b with enough mutual matches, most first."""
    numbers, words = list(found), torch.zeros(len(found), FEATURES, 128)
    for row, one in zip(words, found.values(), strict=True):
        row[: len(one.words)] = one.words
    counted: list[tuple[int, int, int]] = []
    for i, a in enumerate(numbers):
        for start in range(i + 1, len(numbers), 32):
            kept = mutual(words[start : start + 32] @ words[i].T)[1]
            counted += [(-c, a, numbers[start + k]) for k, c in enumerate(kept.sum(1).tolist()) if c >= LEAST_INLIERS]
    return [(a, b) for _, a, b in sorted(counted)]


def features(gray: Gray) -> Features:
    """RootSIFT: the square root of L1-normalised SIFT, whose dot product is the Hellinger kernel."""
    found, words = cv2.SIFT.create(FEATURES).detectAndCompute(gray, None)
    if words is None:
        return Features(np.zeros((0, 2), np.float32), torch.zeros(0, 128))
    order = np.argsort([-f.response for f in found], kind="stable")[:FEATURES]  # ties may give more than asked for
    root = np.sqrt(words[order] / np.maximum(words[order].sum(1, keepdims=True), 1e-9))
    return Features(np.array([found[i].pt for i in order], np.float32), torch.from_numpy(root))


def mutual(similarity: Float[Tensor, "*b n m"]) -> tuple[Int[Tensor, "*b n"], Bool[Tensor, "*b n"]]:
    """For every row its best column, and whether it is the row's by the ratio test and the column's best row too."""
    (best, second), column = torch.topk(similarity, 2, -1)[0].unbind(-1), similarity.argmax(-1)
    clear = (1 - best) < LOWE**2 * (1 - second)  # |x - y|^2 = 2 - 2 x y for unit vectors
    back = similarity.argmax(-2).gather(-1, column)
    return column, clear & (back == torch.arange(similarity.shape[-2]))


def homography_guess(first: Features, second: Features) -> Homography | None:
    """A plane that roughly explains how `first` maps to `second`; None where they share too little."""
    verified = _verified(first, second)
    return None if verified is None else verified[0]


def _verified(first: Features, second: Features) -> tuple[Homography, int] | None:
    """Homography and number of matches on one epipolar geometry; None with too few of them."""
    if min(len(first.words), len(second.words)) < LEAST_INLIERS:
        return None
    column, kept = mutual(first.words @ second.words.T)
    x, y = first.points[kept.numpy()].astype(float), second.points[column[kept].numpy()].astype(float)
    if len(x) < LEAST_INLIERS:
        return None
    # not OpenCV's MAGSAC, whose version 5.0 gives up on one pair in 300, good ones among them, with an assertion
    _, found = poselib.estimate_fundamental(x, y, {"max_epipolar_error": 1.0, "max_iterations": 2000}, {})
    inside = np.array(found["inliers"], bool)
    if inside.sum() < max(LEAST_INLIERS, LEAST_SHARE * len(x)):
        return None
    return _plane(x[inside], y[inside]), int(inside.sum())


def _agreeing(first: Gray, second: Gray, H: Homography) -> float:
    """Share of two images, at half their size, on which flow from the guess H is consistent."""
    height, width = first.shape[0] // 4 * 2, first.shape[1] // 4 * 2
    a, b = (cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in (first, second))
    to_half = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
    H = to_half @ H @ np.linalg.inv(to_half)
    there, back = (homography_flow(h, (width, height)) for h in (H, np.linalg.inv(H)))
    with one_thread():
        return float(both_ways(a, b, (there, back))[1].mean())


def _plane(x: Float[np.ndarray, "n 2"], y: Float[np.ndarray, "n 2"]) -> Homography:
    """Homography from x to y within a loose tolerance; a similarity where it would fold the points' image."""
    spread = 0.1 * float(np.ptp(y, axis=0).max())
    H = cv2.findHomography(x, y, cv2.RANSAC, max(spread, 1.0))[0]
    if H is not None and _upright(H, x):
        return H
    similarity = cv2.estimateAffinePartial2D(x, y, method=cv2.RANSAC, ransacReprojThreshold=max(spread, 1.0))[0]
    moved = np.median(y - x, axis=0)
    affine = np.array([[1, 0, moved[0]], [0, 1, moved[1]]]) if similarity is None else similarity
    return np.vstack([affine, [0, 0, 1]])


def _upright(H: Homography, x: Float[np.ndarray, "n 2"]) -> bool:
    """Whether H keeps the box around x in front, unmirrored, and between a quarter and four times its size."""
    low, high = x.min(0), x.max(0)
    corners = np.array([[u, v, 1] for u in (low[0], high[0]) for v in (low[1], high[1])])
    z = corners @ H[2]
    area = np.linalg.det(H) / z**3  # determinant of the Jacobian
    return bool((z > 0).all() and (area > 1 / 16).all() and (area < 16).all())


def homography_flow(H: Homography, size: tuple[int, int]) -> Flow:
    """The flow H x - x of an image of `size` = (width, height), no longer than the image."""
    v, u = np.mgrid[: size[1], : size[0]]
    x, y, z = H @ np.stack([u, v, np.ones_like(u)]).reshape(3, -1)
    z = np.maximum(z, 1e-3)
    flow = np.stack([x / z - u.ravel(), y / z - v.ravel()], -1).reshape(*u.shape, 2)
    return np.clip(flow, -max(size), max(size)).astype(np.float32)


def homography_guesses(images: Images, matches: Iterable[Match] = ()) -> Callable[[Pair], tuple[Flow, Flow] | None]:
    """For `FlowStore.build`: flow both ways by the homography of a match, else of features found on the way.

    None for pairs that share too little or move so little (`LONG`) that flow needs no guess.
    """
    known = {(m.a, m.b): m.H_b_a for m in matches}
    seen = lru_cache(64)(lambda number: features(images[number]))

    def guess(pair: Pair) -> tuple[Flow, Flow] | None:
        a, b = pair
        H = known[pair] if pair in known else homography_guess(seen(a), seen(b))
        if H is None:
            return None
        height, width = images[a].shape
        there = homography_flow(H, (width, height))
        if np.median(np.linalg.norm(there, axis=-1)) < LONG * width:
            return None
        return there, homography_flow(np.linalg.inv(H), (width, height))

    return guess
