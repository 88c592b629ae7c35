"""Judges the probabilities that a classifier gives to classes: their likelihood and their calibration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import check_finite

TINY = 1e-12  # least probability of the true class that the likelihood sees


@dataclass(frozen=True)
class ConfidenceProtocol(Protocol):
    """bins: of equal width, into which predictions fall by the probability of their class (Guo et al. 2017)."""

    bins: int = 15
    ignore: int = 255

    def words(self) -> str:
        return f"{self.bins} bins of equal width, label {self.ignore} ignored, over the predictions of all images"


class ConfidenceFrame(NamedTuple):
    """Probabilities of the classes, and the true class."""

    probabilities: Float[np.ndarray, "n K"]
    truth: Int[np.ndarray, "n"]


def judge_confidence(frames: Iterable[ConfidenceFrame], protocol: ConfidenceProtocol | None = None) -> list[Score]:
    """nll (nats), ece (%), brier, beside a guess of all classes alike.

    Raises InputError where nothing can be judged, for labels that are no class, and for rows that are no probabilities.
    """
    protocol = protocol or ConfidenceProtocol()
    sums, uniform, total = np.zeros((3, protocol.bins)), np.zeros(2), np.zeros(2)
    for probabilities, truth in frames:
        known = truth != protocol.ignore
        p, t = probabilities[known].astype(np.float64), truth[known]
        _check(p, t)
        at = np.clip((p.max(1) * protocol.bins).astype(int), 0, protocol.bins - 1)
        right = p.argmax(1) == t
        sums += [np.bincount(at, weights, protocol.bins) for weights in (np.ones(len(t)), right, p.max(1))]
        total += [-np.log(np.maximum(_of_truth(p, t), TINY)).sum(), _brier(p, t)]
        uniform += [len(t) * np.log(p.shape[1]), len(t) * (1 - 1 / p.shape[1])]
    n = sums[0].sum()
    if not n:
        raise InputError("no confidence can be judged: there is no prediction with a true class")
    about, (nll, brier), (nll_uniform, brier_uniform) = f"{int(n)} predictions", total / n, uniform / n
    return [protocol.score("nll", nll, "nats", about, {"all classes alike": nll_uniform}),
            protocol.score("ece", 100 * float(np.abs(sums[1] - sums[2]).sum() / n), "%", about),
            protocol.score("brier", brier, "", about, {"all classes alike": brier_uniform})]


def _check(p: Float64[np.ndarray, "n K"], truth: Int[np.ndarray, "n"]) -> None:
    check_finite(p, "probabilities")
    if len(p) and not (p.min() >= 0 and np.allclose(p.sum(1), 1, atol=1e-3)):
        raise InputError("the probabilities of the classes are below 0 or do not sum to 1; apply a softmax first")
    wrong = int(((truth < 0) | (truth >= p.shape[1])).sum())
    if wrong:
        raise InputError(f"{wrong} true labels are not among the classes 0 to {p.shape[1] - 1}")


def _of_truth(p: Float64[np.ndarray, "n K"], truth: Int[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    return p[np.arange(len(truth)), truth]


def _brier(p: Float64[np.ndarray, "n K"], truth: Int[np.ndarray, "n"]) -> float:
    """Sum over predictions of sum_k (p_k - [k is true])^2 (Brier 1950)."""
    return float((p**2).sum() - 2 * _of_truth(p, truth).sum() + len(truth))
