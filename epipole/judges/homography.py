"""Judges homographies by where they put the corners of the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from ..types.errors import InputError
from .score import Protocol, Score


@dataclass(frozen=True)
class HomographyProtocol(Protocol):
    """within: pixels of mean corner error within which a homography is correct."""

    within: tuple[float, ...] = (1.0, 3.0, 5.0)

    def words(self) -> str:
        return f"mean distance of the four corners, correct within {', '.join(f'{k:g}' for k in self.within)} px"


class HomographyFrame(NamedTuple):
    """An estimate (None where there is none) and the truth, from an image of (width, height) to another."""

    estimate: Float64[np.ndarray, "3 3"] | None
    truth: Float64[np.ndarray, "3 3"]
    size: tuple[int, int]


def judge_homographies(frames: Iterable[HomographyFrame], protocol: HomographyProtocol | None = None) -> list[Score]:
    """corner_error (median, px; absent where half of the estimates failed), homography_1, homography_3, homography_5:
    the shares that are correct, beside what the identity scores. An estimate that is missing or not finite is wrong.

    Raises InputError without a pair.
    """
    protocol = protocol or HomographyProtocol()
    errors, still = [], []
    for estimate, truth, size in frames:
        errors.append(float("inf") if estimate is None else corner_error(estimate, truth, size))
        still.append(corner_error(np.eye(3), truth, size))
    if not errors:
        raise InputError("no homography can be judged: there is none")
    e, identity = np.array(errors), np.array(still)
    about = f"{len(e)} pairs, {int(np.isinf(e).sum())} without an estimate"
    middle = [protocol.score("corner_error", float(np.median(e)), "px", f"median over {about}",
                             {"identity": float(np.median(identity))})] if np.isfinite(np.median(e)) else []
    return middle + [protocol.score(f"homography_{k:g}", float((e <= k).mean()), "", about,
                                    {"identity": float((identity <= k).mean())}) for k in protocol.within]


def corner_error(
    estimate: Float64[np.ndarray, "3 3"], truth: Float64[np.ndarray, "3 3"], size: tuple[int, int]
) -> float:
    """Mean distance in pixels of the corner pixels' images under both; infinite where one is not finite."""
    width, height = size
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)
    difference = apply_homography(estimate, corners) - apply_homography(truth, corners)
    error = float(np.hypot(*difference.T).mean())
    return error if np.isfinite(error) else float("inf")


def apply_homography(H: Float64[np.ndarray, "3 3"], points: Float64[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n 2"]:
    """Images of points; those at infinity come out infinite."""
    x = np.concatenate([points, np.ones_like(points[:, :1])], 1) @ H.T
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x[:, :2] / x[:, 2:]
    return np.where(np.isnan(at), np.inf, at)
