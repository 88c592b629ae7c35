"""Judges how well a prediction knows its own error: standard deviations of numbers, and probabilities of classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy import stats

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import Tally, check_finite

LEVELS = np.arange(1, 20) / 20  # of the intervals over which calibration is averaged


@dataclass(frozen=True)
class UncertaintyProtocol(Protocol):
    """How errors are compared with what was expected of them.

    shape      of the predicted distribution: Gaussian or Laplace, with the predicted standard deviation
    intervals  shares that central intervals should cover
    """

    shape: Literal["gaussian", "laplace"] = "gaussian"
    intervals: tuple[float, ...] = (0.5, 0.9)

    def words(self) -> str:
        return (f"{self.shape.capitalize()} of the predicted standard deviation; AUSE by mean absolute error, as a "
                "share of the error of all, mean over images; correlation by ranks, mean over images; likelihood, "
                "intervals and calibration over the values of all images")


class UncertaintyFrame(NamedTuple):
    """Predictions of one image (or batch), the truth, and the predicted standard deviation; such as log depth, and
    exp(log_variance / 2)."""

    prediction: Float[np.ndarray, "n"]
    truth: Float[np.ndarray, "n"]
    deviation: Float[np.ndarray, "n"]


def judge_uncertainty(frames: Iterable[UncertaintyFrame], protocol: UncertaintyProtocol | None = None) -> list[Score]:
    """ause, nll (nats), coverage_error_50, coverage_error_90 (percentage points, either way; the protocol tells what
    was covered), ece (mean of that over 5 to 95 %, percentage points), error_correlation; beside one constant
    uncertainty, the root mean square error of each image, which knows more than a network can.

    An image whose error or deviation is the same everywhere has no correlation of ranks: it counts as 0. Raises
    InputError where nothing can be judged, and for values that are not finite or deviations that are not positive.
    """
    protocol = protocol or UncertaintyProtocol()
    images, values = (Tally("images"), Tally("images")), (Tally("pixels"), Tally("pixels"))
    for frame in frames:
        for x, what in zip(frame, ("predictions", "truth", "deviations"), strict=True):
            check_finite(x, what)
        if not (frame.deviation > 0).all():
            raise InputError(f"{int((frame.deviation <= 0).sum())} deviations are not positive and cannot be judged")
        if not len(frame.truth):
            continue
        error = np.abs(frame.prediction.astype(np.float64) - frame.truth)
        constant = np.full_like(error, max(np.sqrt((error**2).mean()), np.finfo(float).tiny))
        for i, deviation in enumerate((frame.deviation.astype(np.float64), constant)):
            images[i].add({"ause": np.array([ause(error, deviation)]),
                           "error_correlation": np.array([rank_correlation(error, deviation)])})
            values[i].add(_pooled(error, deviation, protocol))
    if not images[0].images:
        raise InputError("no uncertainty can be judged: there is no value")
    own, beside = (_summary(images[i], values[i], protocol) for i in range(2))
    units = {"nll": "nats", "coverage": "%", "ece": "%"}
    return [protocol.score(name, value, units.get(name.split("_")[0], ""), f"{images[0].images} images{about}",
                           {"constant uncertainty": beside[name][0]}) for name, (value, about) in own.items()]


def ause(error: Float64[np.ndarray, "n"], deviation: Float64[np.ndarray, "n"]) -> float:
    """Area between two curves, divided by the mean error: mean error of what is left as the most uncertain values are
    taken away one by one, and the same if those of largest error were (Ilg et al. 2018). 0 where there is no error.

    Values of equal deviation go together: they share their mean error, so that their order does not matter.
    """
    if not error.any():
        return 0.0
    _, group, count = np.unique(deviation, return_inverse=True, return_counts=True)
    shared = (np.bincount(group, error) / count)[group]
    kept = np.arange(1, len(error) + 1)
    left, best = (np.cumsum(e[order]) / kept for e, order in ((shared, np.argsort(deviation)),
                                                              (error, np.argsort(error))))
    return float((left - best).mean() / error.mean())


def rank_correlation(a: Float64[np.ndarray, "n"], b: Float64[np.ndarray, "n"]) -> float:
    """Spearman's, ties sharing their mean rank; 0 where one of them is the same everywhere."""
    ranks = [stats.rankdata(x) for x in (a, b)]
    if min(np.ptp(r) for r in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def negative_log_likelihood(
    error: Float64[np.ndarray, "n"], deviation: Float64[np.ndarray, "n"], shape: str = "gaussian"
) -> Float64[np.ndarray, "n"]:
    """-log of the density, nats."""
    if shape == "laplace":
        return np.sqrt(2) * error / deviation + np.log(np.sqrt(2) * deviation)
    return 0.5 * (error / deviation) ** 2 + np.log(deviation) + 0.5 * np.log(2 * np.pi)


def reach(level: float, shape: str = "gaussian") -> float:
    """Half the width, in standard deviations, of the central interval that should cover this share."""
    return float(-np.log(1 - level) / np.sqrt(2)) if shape == "laplace" else float(stats.norm.ppf((1 + level) / 2))


def _pooled(
    error: Float64[np.ndarray, "n"], deviation: Float64[np.ndarray, "n"], protocol: UncertaintyProtocol
) -> dict[str, Float64[np.ndarray, "n"] | Bool[np.ndarray, "n"]]:
    levels = {*LEVELS.tolist(), *protocol.intervals}
    covered = {f"{level:g}": error <= reach(level, protocol.shape) * deviation for level in levels}
    return {"nll": negative_log_likelihood(error, deviation, protocol.shape), **covered}


def _summary(images: Tally, values: Tally, protocol: UncertaintyProtocol) -> dict[str, tuple[float, str]]:
    """Name -> value, and what to say about it."""
    mean, whole = images.means(), values.means()
    found = {"ause": (mean["ause"], ""), "nll": (whole["nll"], "")}
    for level in protocol.intervals:
        covered = 100 * whole[f"{level:g}"]
        found[f"coverage_error_{100 * level:g}"] = (abs(covered - 100 * level), f", {covered:.1f} % covered")
    found["ece"] = (float(np.mean([abs(100 * whole[f"{level:g}"] - 100 * level) for level in LEVELS])), "")
    return found | {"error_correlation": (mean["error_correlation"], "")}
