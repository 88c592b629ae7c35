"""Judges disparity of rectified pairs: end-point error, D1 of KITTI and the bad-k of Middlebury."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import Average, Tally, average_words, check_finite, check_pair


@dataclass(frozen=True)
class DisparityProtocol(Protocol):
    """How disparity is compared with the truth.

    average        over the pixels of all images, or the mean of the images' means
    outlier        D1 counts errors beyond so many pixels ...
    outlier_share  ... and beyond this share of the true disparity (Menze & Geiger 2015)
    bad            bad-k counts errors beyond k pixels (Scharstein et al. 2014)
    """

    average: Average = "pixels"
    outlier: float = 3.0
    outlier_share: float = 0.05
    bad: tuple[float, ...] = (0.5, 1.0, 2.0, 3.0, 4.0)

    def words(self) -> str:
        return (f"{average_words(self.average)}, D1 beyond {self.outlier:g} px and {100 * self.outlier_share:g} % of "
                f"the true disparity, bad-k for k = {', '.join(f'{k:g}' for k in self.bad)} px")


class DisparityFrame(NamedTuple):
    """One pair's disparity in pixels of the truth's image, the truth, where it is known and, if known, where the other
    view does not see the pixel."""

    prediction: Float[np.ndarray, "h w"]
    truth: Float[np.ndarray, "h w"]
    valid: Bool[np.ndarray, "h w"]
    occluded: Bool[np.ndarray, "h w"] | None = None


def judge_disparity(frames: Iterable[DisparityFrame], protocol: DisparityProtocol | None = None) -> list[Score]:
    """epe (px), d1 (%), bad_0.5, bad_1, bad_2, bad_3, bad_4 (%), the same with `_seen` over pixels that both views see
    where that is known; each beside what one constant disparity, every image's true median, scores.

    Raises InputError where no pixel can be judged, where shapes disagree, and for disparity that is not finite where
    it is judged.
    """
    protocol = protocol or DisparityProtocol()
    tally, constant = Tally(protocol.average), Tally(protocol.average)
    for frame in frames:
        check_pair(frame.prediction, frame.truth, "disparity")
        check_finite(frame.prediction, "predicted disparity", frame.valid)
        g = frame.truth[frame.valid].astype(np.float64)
        check_finite(g, "true disparity")
        seen = None if frame.occluded is None else ~frame.occluded[frame.valid]
        tally.add(_errors(frame.prediction[frame.valid], g, seen, protocol))
        constant.add(_errors(np.full_like(g, np.median(g) if g.size else 0), g, seen, protocol))
    if not tally.images:
        raise InputError("no disparity can be judged: the truth is known at no pixel")
    beside = constant.means()
    return [protocol.score(name, value, "px" if name.startswith("epe") else "%", f"{tally.images} pairs",
                           {"constant disparity": beside[name]}) for name, value in tally.means().items()]


def _errors(
    p: Float[np.ndarray, "n"], g: Float[np.ndarray, "n"], seen: Bool[np.ndarray, "n"] | None,
    protocol: DisparityProtocol,
) -> dict[str, Float[np.ndarray, "_"]]:
    error = np.abs(p.astype(np.float64) - g)
    errors = {"epe": error, "d1": 100.0 * ((error > protocol.outlier) & (error > protocol.outlier_share * np.abs(g)))}
    errors |= {f"bad_{k:g}": 100.0 * (error > k) for k in protocol.bad}
    return errors if seen is None else errors | {f"{name}_seen": x[seen] for name, x in errors.items()}
