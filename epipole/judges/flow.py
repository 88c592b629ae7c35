"""Judges optical flow: end-point and angular error, and KITTI's share of outliers, by occlusion and by speed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import Average, Tally, average_words, check_finite, check_pair


@dataclass(frozen=True)
class FlowProtocol(Protocol):
    """How flow is compared with the truth.

    average        over the pixels of all images (Sintel, KITTI), or the mean of the images' means
    outlier        an outlier's end-point error exceeds so many pixels ...
    outlier_share  ... and this share of the true flow's length (Menze & Geiger 2015)
    speeds         borders, in pixels, of the classes of speed (Butler et al. 2012)
    """

    average: Average = "pixels"
    outlier: float = 3.0
    outlier_share: float = 0.05
    speeds: tuple[float, ...] = (10.0, 40.0)

    def words(self) -> str:
        return (f"{average_words(self.average)}, outliers beyond {self.outlier:g} px and "
                f"{100 * self.outlier_share:g} % of the true length, speeds split at "
                f"{', '.join(f'{s:g}' for s in self.speeds)} px")


class FlowFrame(NamedTuple):
    """One pair's flow (u, v) in pixels, the truth, where the truth is known, and, if known, where the second view does
    not see the pixel."""

    prediction: Float[np.ndarray, "2 h w"]
    truth: Float[np.ndarray, "2 h w"]
    valid: Bool[np.ndarray, "h w"]
    occluded: Bool[np.ndarray, "h w"] | None = None


def judge_flow(frames: Iterable[FlowFrame], protocol: FlowProtocol | None = None) -> list[Score]:
    """aee (px), aae (degrees), fl_all (%); aee_seen, fl_seen and aee_occluded, fl_occluded where occlusion is known;
    aee by speed (aee_s0-10, aee_s10-40, aee_s40+). Each stands beside what no flow at all scores.

    A class without pixels has no score. Raises InputError where no pixel can be judged, where shapes disagree, and for
    flow that is not finite where it is judged.
    """
    protocol = protocol or FlowProtocol()
    tally, still = Tally(protocol.average), Tally(protocol.average)
    for frame in frames:
        check_pair(frame.prediction, frame.truth, "flow")
        check_finite(frame.prediction, "predicted flow", frame.valid)
        tally.add(_errors(frame, frame.prediction, protocol))
        still.add(_errors(frame, np.zeros_like(frame.prediction), protocol))
    if not tally.images:
        raise InputError("no flow can be judged: the truth is known at no pixel")
    beside = still.means()
    units = {"aae": "deg", "fl": "%"}
    return [protocol.score(name, value, units.get(name.split("_")[0], "px"), f"{tally.images} pairs",
                           {"no flow": beside[name]}) for name, value in tally.means().items()]


def end_point_error(a: Float[np.ndarray, "2 n"], b: Float[np.ndarray, "2 n"]) -> Float[np.ndarray, "n"]:
    """Distance of the ends of two flows, px."""
    return np.hypot(*(a - b))


def angular_error(a: Float[np.ndarray, "2 n"], b: Float[np.ndarray, "2 n"]) -> Float[np.ndarray, "n"]:
    """Angle in degrees between (u, v, 1) of both (Barron et al. 1994), by its tangent: exact for small ones."""
    dot = (a * b).sum(0) + 1
    cross = np.stack([a[1] - b[1], b[0] - a[0], a[0] * b[1] - a[1] * b[0]])
    return np.degrees(np.arctan2(np.sqrt((cross**2).sum(0)), dot))


def _errors(
    frame: FlowFrame, prediction: Float[np.ndarray, "2 h w"], protocol: FlowProtocol
) -> dict[str, Float[np.ndarray, "_"]]:
    p, g = (x[:, frame.valid].astype(np.float64) for x in (prediction, frame.truth))
    check_finite(g, "true flow")
    error, length = end_point_error(p, g), np.hypot(*g)
    outlier = 100.0 * ((error > protocol.outlier) & (error > protocol.outlier_share * length))
    errors = {"aee": error, "aae": angular_error(p, g), "fl_all": outlier}
    if frame.occluded is not None:
        hidden = frame.occluded[frame.valid]
        errors |= {"aee_seen": error[~hidden], "fl_seen": outlier[~hidden],
                   "aee_occluded": error[hidden], "fl_occluded": outlier[hidden]}
    return errors | {f"aee_s{name}": error[inside] for name, inside in _speeds(length, protocol)}


def _speeds(length: Float[np.ndarray, "n"], protocol: FlowProtocol) -> Iterator[tuple[str, Bool[np.ndarray, "n"]]]:
    for low, high in pairwise([0.0, *protocol.speeds, np.inf]):
        yield f"{low:g}-{high:g}" if high < np.inf else f"{low:g}+", (length >= low) & (length < high)
