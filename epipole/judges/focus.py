"""Judges depth from focus by disparity, 1 / depth, as the 12-scene set does (Hazirbas et al. 2018), and by the order of
depths where there is texture to focus on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import Tally, check_finite, check_pair
from .uncertainty import rank_correlation


@dataclass(frozen=True)
class FocusProtocol(Protocol):
    """What counts.

    bad   an error of disparity beyond this is bad, in its unit
    clip  a pixel's bumpiness counts no more than this
    """

    bad: float = 0.07
    clip: float = 0.05

    def words(self) -> str:
        return (f"disparity is 1 / depth, mean over images of their means, bad beyond {self.bad:g}, bumpiness up to "
                f"{self.clip:g}, times 100; ranks where the sharpest slices are textured")


class FocusFrame(NamedTuple):
    """One stack's disparity, the truth, where it is known, and where there is texture."""

    prediction: Float[np.ndarray, "h w"]
    truth: Float[np.ndarray, "h w"]
    valid: Bool[np.ndarray, "h w"]
    textured: Bool[np.ndarray, "h w"]


def judge_focus(frames: Iterable[FocusFrame], protocol: FocusProtocol | None = None) -> list[Score]:
    """disparity_mse, disparity_rms, disparity_abs_rel, disparity_sq_rel, bad_pix (%), bumpiness, and rank_correlation
    (Spearman's, of the textured pixels).

    Raises InputError where nothing can be judged, where shapes disagree, and for disparity that is not finite.
    """
    protocol, tally = protocol or FocusProtocol(), Tally("images")
    for frame in frames:
        check_pair(frame.prediction, frame.truth, "disparity")
        check_finite(frame.prediction, "predicted disparity")
        tally.add(_errors(frame, protocol))
    if not tally.images:
        raise InputError("no disparity can be judged: the truth is known at no pixel")
    units = {"bad_pix": "%"}
    return [protocol.score(name, value, units.get(name, ""), f"{tally.count(name)} stacks")
            for name, value in tally.means().items()]


def _errors(frame: FocusFrame, protocol: FocusProtocol) -> dict[str, Float64[np.ndarray, "_"]]:
    p, g = (x.astype(np.float64) for x in (frame.prediction, frame.truth))
    known, ranked = frame.valid, frame.valid & frame.textured
    wrong, true = (p - g)[known], g[known]
    size = np.sqrt(np.mean(wrong**2, keepdims=True)) if wrong.size else wrong
    errors = {"disparity_mse": wrong**2, "disparity_rms": size, "disparity_abs_rel": np.abs(wrong) / true,
              "disparity_sq_rel": wrong**2 / true, "bad_pix": 100.0 * (np.abs(wrong) > protocol.bad),
              "bumpiness": 100.0 * bumpiness(np.where(known, p - g, 0), known, protocol.clip)}
    order = [rank_correlation(p[ranked], g[ranked])] if ranked.sum() > 1 else []
    return errors | {"rank_correlation": np.array(order, np.float64)}


def bumpiness(
    error: Float64[np.ndarray, "h w"], known: Bool[np.ndarray, "h w"], clip: float
) -> Float64[np.ndarray, "_"]:
    """The Frobenius norm of the error's Hessian, by Scharr's filter twice (which counts two pixels as one), but at most
    `clip`, at the pixels that know all 5x5 around them (Honauer et al. 2016)."""
    def slope(x: Float64[np.ndarray, "h w"], along: tuple[int, int]) -> Float64[np.ndarray, "h w"]:
        return cv2.Scharr(x, cv2.CV_64F, *along, scale=1 / 16)

    dx, dy = slope(error, (1, 0)), slope(error, (0, 1))
    hessian = np.stack([slope(d, along) for d in (dx, dy) for along in ((1, 0), (0, 1))])
    around = cv2.erode(known.astype(np.uint8), np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT,
                       borderValue=0) > 0
    return np.minimum(np.sqrt((hessian**2).sum(0)), clip)[around]
