"""Judges single camera poses: relocalisation, as on 7-Scenes, and relative poses of two views."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64

from ..geometry.motion import angle
from ..types.errors import InputError
from .score import Protocol, Score

Pose = Float64[np.ndarray, "4 4"]
FAILED = (float("inf"), float("inf"))


@dataclass(frozen=True)
class PoseProtocol(Protocol):
    """A pose is right within `distance` (m) and `degrees` (Shotton et al. 2013); a failed one is infinitely wrong."""

    distance: float = 0.05
    degrees: float = 5.0

    def words(self) -> str:
        return (f"median over all frames, a pose that failed being infinitely wrong; right within {self.distance:g} m "
                f"and {self.degrees:g} degrees")


@dataclass(frozen=True)
class RelativePoseProtocol(Protocol):
    """The thresholds of the AUC, in degrees (Sarlin et al. 2020)."""

    degrees: tuple[float, ...] = (5.0, 10.0, 20.0)

    def words(self) -> str:
        return ("error is the larger one of the rotation's and the translation's direction's, the rotation's alone "
                "where nothing moved; exact area under the share of pairs below each error")


class PoseFrame(NamedTuple):
    """An estimated pose (None where there is none) and the true one: T_world_camera, or T_second_first of a pair."""

    estimate: Pose | None
    truth: Pose


def judge_pose(
    frames: Iterable[PoseFrame], protocol: PoseProtocol | None = None, unit: str = "m", mean: Pose | None = None
) -> list[Score]:
    """median_translation, median_rotation (deg; both absent where half of the poses failed), share_right and
    failed (%), beside one constant pose, such as the training set's `mean`, where it is given.

    Raises InputError without a frame.
    """
    protocol = protocol or PoseProtocol()
    errors, constant = [], []
    for estimate, truth in frames:
        errors.append(_errors(estimate, truth))
        constant.append(FAILED if mean is None else _errors(mean, truth))
    if not errors:
        raise InputError("no pose can be judged: there is none")
    own, beside = (_summary(np.array(e), protocol) for e in (errors, constant))
    units = {"median_translation": unit, "median_rotation": "deg"}
    return [protocol.score(name, value, units.get(name, "%"), f"{len(errors)} frames",
                           {} if mean is None else {"one pose": beside[name]})
            for name, value in own.items() if np.isfinite(value)]


def judge_relative_pose(frames: Iterable[PoseFrame], protocol: RelativePoseProtocol | None = None) -> list[Score]:
    """auc_5, auc_10, auc_20 (%) of relative poses known up to the length of the translation, beside no motion.

    Raises InputError without a pair.
    """
    protocol = protocol or RelativePoseProtocol()
    errors, still = [], []
    for estimate, truth in frames:
        errors.append(_direction_error(estimate, truth))
        still.append(_direction_error(np.eye(4), truth))
    if not errors:
        raise InputError("no relative pose can be judged: there is none")
    return [protocol.score(f"auc_{k:g}", 100 * auc(np.array(errors), k), "%", f"{len(errors)} pairs",
                           {"no motion": 100 * auc(np.array(still), k)}) for k in protocol.degrees]


def auc(errors: Float64[np.ndarray, "n"], threshold: float) -> float:
    """Area under the share of errors below e, for e from 0 to the threshold, divided by the threshold: the mean of
    max(0, 1 - error / threshold). Infinite errors are failures. (Sarlin et al. interpolate linearly between errors and
    so come out slightly higher on few pairs.)"""
    return float(np.maximum(0, 1 - errors / threshold).mean())


def _summary(errors: Float64[np.ndarray, "n 2"], protocol: PoseProtocol) -> dict[str, float]:
    translation, rotation = errors.T
    right = (translation < protocol.distance) & (rotation < protocol.degrees)
    return {"median_translation": float(np.median(translation)), "median_rotation": float(np.median(rotation)),
            "share_right": 100 * float(right.mean()), "failed": 100 * float(np.isinf(translation).mean())}


def _errors(estimate: Pose | None, truth: Pose) -> tuple[float, float]:
    """Distance of the positions, and the angle in degrees between the orientations."""
    if estimate is None or not np.isfinite(estimate).all():
        return FAILED
    return float(np.linalg.norm(estimate[:3, 3] - truth[:3, 3])), _rotation_error(estimate, truth)


def _rotation_error(estimate: Pose, truth: Pose) -> float:
    return float(np.degrees(angle(torch.from_numpy(estimate[:3, :3].T @ truth[:3, :3]))))


def _direction_error(estimate: Pose | None, truth: Pose) -> float:
    """The larger error in degrees, of rotation or of translation's direction; rotation's where nothing moved."""
    if estimate is None or not np.isfinite(estimate).all():
        return float("inf")
    t, g = estimate[:3, 3], truth[:3, 3]
    if not g.any():
        return _rotation_error(estimate, truth)
    direction = np.degrees(np.arctan2(np.linalg.norm(np.cross(t, g)), t @ g)) if t.any() else 180.0
    return max(_rotation_error(estimate, truth), float(direction))
