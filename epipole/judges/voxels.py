"""Judges occupancy of voxels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..types.errors import InputError
from .score import Protocol, Score
from .tally import Average, Tally, check_finite, check_pair


@dataclass(frozen=True)
class VoxelProtocol(Protocol):
    """How occupancy is compared.

    threshold  a voxel is occupied above this probability (0.4: Choy et al. 2016)
    average    images: the mean of the scenes' scores; pixels: one count over the voxels of all scenes
    """

    threshold: float = 0.4
    average: Average = "images"

    def words(self) -> str:
        how = "mean over scenes" if self.average == "images" else "counted over the voxels of all scenes"
        return f"occupied above {self.threshold:g}, {how}, a scene that both call empty is right"


class VoxelFrame(NamedTuple):
    """Probabilities of one scene's voxels, the truth, and, if not everywhere, where it is known."""

    prediction: Float[np.ndarray, "x y z"]
    truth: Bool[np.ndarray, "x y z"]
    known: Bool[np.ndarray, "x y z"] | None = None


def judge_voxels(frames: Iterable[VoxelFrame], protocol: VoxelProtocol | None = None) -> list[Score]:
    """iou, precision and recall, beside what calling every voxel occupied scores.

    A ratio of nothing by nothing is 1: precision where nothing is called occupied, recall where nothing is. Raises
    InputError where no voxel is known, for shapes that disagree and for probabilities that are not finite.
    """
    protocol = protocol or VoxelProtocol()
    tally, full = Tally("images"), Tally("images")
    total, total_full = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for prediction, truth, known in frames:
        check_pair(prediction, truth, "occupancy")
        known = np.ones_like(truth) if known is None else known
        check_finite(prediction, "predicted occupancy", known)
        if not known.any():
            continue
        p, g = prediction[known] > protocol.threshold, truth[known]
        own, rival = _counts(p, g), _counts(np.ones_like(g), g)
        total, total_full = total + own, total_full + rival
        tally.add({name: np.array([value]) for name, value in _ratios(own).items()})
        full.add({name: np.array([value]) for name, value in _ratios(rival).items()})
    if not tally.images:
        raise InputError("no voxel can be judged: the truth knows none")
    pooled = protocol.average == "pixels"
    numbers, beside = (_ratios(total), _ratios(total_full)) if pooled else (tally.means(), full.means())
    return [protocol.score(name, value, "", f"{tally.images} scenes", {"all occupied": beside[name]})
            for name, value in numbers.items()]


def _counts(p: Bool[np.ndarray, "n"], g: Bool[np.ndarray, "n"]) -> np.ndarray:
    """Voxels occupied in both, in the prediction, in the truth."""
    return np.array([(p & g).sum(), p.sum(), g.sum()], np.int64)


def _ratios(counts: np.ndarray) -> dict[str, float]:
    both, p, g = (float(x) for x in counts)
    return {name: both / whole if whole else 1.0
            for name, whole in (("iou", p + g - both), ("precision", p), ("recall", g))}
