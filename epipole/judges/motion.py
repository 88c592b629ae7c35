"""Judges camera paths: absolute and relative errors of KITTI, TUM and the snippets of Zhou et al. 2017.

A path is T_world_camera of every frame, [F, 4, 4]; both paths are taken relative to their first frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64

from ..geometry.align import umeyama
from ..geometry.motion import angle
from ..types.errors import InputError
from .score import Protocol, Score

CameraPath = Float64[np.ndarray, "F 4 4"]
Alignment = Literal["none", "scale", "se3", "sim3"]
KITTI_LENGTHS = (100, 200, 300, 400, 500, 600, 700, 800)  # m
KITTI_STEP = 10  # frames between the starts of segments


@dataclass(frozen=True)
class MotionProtocol(Protocol):
    """How an estimated path is laid over the true one before it is compared.

    none: not at all; scale: one factor, by least squares on positions; se3: a rigid motion; sim3: a similarity
    (both Umeyama 1991).
    """

    alignment: Alignment = "sim3"

    def words(self) -> str:
        how = {"none": "not aligned", "scale": "one scale, by least squares on positions", "se3": "SE(3) (Umeyama)",
               "sim3": "Sim(3) (Umeyama)"}
        return f"aligned by {how[self.alignment]}" if self.alignment != "none" else how["none"]


def judge_motion(
    estimate: CameraPath, truth: CameraPath, protocol: MotionProtocol | None = None, unit: str = "m"
) -> list[Score]:
    """ate, ate_percent (of the true path's length), rpe_translation, rpe_rotation, and t_rel, r_rel where the true
    path is in metres and long enough for KITTI's shortest segment."""
    protocol = protocol or MotionProtocol()
    error, length = ate(estimate, truth, protocol.alignment), path_length(truth)
    how = f"{protocol}, {len(truth)} frames"
    scores = [Score("ate", error, unit, protocol=f"RMSE of positions, {how}")]
    if length > 0:
        scores.append(Score("ate_percent", 100 * error / length, "%", protocol=f"of the true path of {length:.4g} "
                            f"{unit}; RMSE of positions, {how}"))
    if len(truth) > 1:
        translation, rotation = rpe(estimate, truth, alignment=protocol.alignment)
        scores += [Score("rpe_translation", translation, unit, protocol=f"RMSE from frame to frame, {how}"),
                   Score("rpe_rotation", rotation, "deg", protocol=f"RMSE from frame to frame, {how}")]
    segments = kitti_segments(estimate, truth, protocol.alignment) if unit == "m" else None
    if segments is not None and segments.used:
        what = f"mean over {segments.used} segments of 100 to {segments.longest} m, starts every 10 frames, {how}"
        scores += [Score("t_rel", segments.t_rel, "%", protocol=what),
                   Score("r_rel", segments.r_rel, "deg/100 m", protocol=what)]
    return scores


def align(estimate: CameraPath, truth: CameraPath, alignment: Alignment = "sim3") -> CameraPath:
    """The estimate laid over the truth, relative to the truth's first frame."""
    estimate, truth = rebase(estimate), rebase(truth)
    p, g = estimate[:, :3, 3], truth[:, :3, 3]
    c, R, t = 1.0, np.eye(3), np.zeros(3)
    if alignment == "scale":
        c = float((g * p).sum() / max((p * p).sum(), np.finfo(float).tiny))
    elif alignment != "none":
        source, target = torch.from_numpy(p.copy()), torch.from_numpy(g.copy())
        scale, rotation, translation = umeyama(source, target, with_scale=alignment == "sim3")
        c, R, t = float(scale), rotation.numpy(), translation.numpy()
    aligned = estimate.copy()
    aligned[:, :3, :3] = R @ estimate[:, :3, :3]
    aligned[:, :3, 3] = c * p @ R.T + t
    return aligned


def ate(estimate: CameraPath, truth: CameraPath, alignment: Alignment = "sim3") -> float:
    """Root mean square distance of positions after alignment (Sturm et al. 2012)."""
    difference = align(estimate, truth, alignment)[:, :3, 3] - rebase(truth)[:, :3, 3]
    return float(np.sqrt((difference**2).sum(1).mean()))


def ate_zhou(estimate: CameraPath, truth: CameraPath, window: int = 5, rmse: bool = False) -> tuple[float, float]:
    """Mean and standard deviation over all windows of `window` frames of the snippet error of Zhou et al. 2017.

    Each window starts at its own origin and has its own scale s = sum(g . p) / sum(p . p). The published numbers are
    sqrt(sum |s p - g|^2) / N, which is no root mean square; `rmse` gives sqrt(sum |s p - g|^2 / N).
    """
    _check(truth, window)
    starts = range(len(truth) - window + 1)
    errors = [
        snippet_error(rebase(estimate[i : i + window])[:, :3, 3], rebase(truth[i : i + window])[:, :3, 3], rmse)
        for i in starts
    ]
    return float(np.mean(errors)), float(np.std(errors))


def snippet_error(p: Float64[np.ndarray, "N 3"], g: Float64[np.ndarray, "N 3"], rmse: bool = False) -> float:
    """Error of estimated positions p against true ones g, both from the origin on; see `ate_zhou`."""
    s = (g * p).sum() / max((p * p).sum(), np.finfo(float).tiny)
    square = ((s * p - g) ** 2).sum()
    return float(np.sqrt(square / len(g)) if rmse else np.sqrt(square) / len(g))


class Segments(NamedTuple):
    """KITTI's errors over the `used` segments (nan when there is none), the longest of `longest` m."""

    t_rel: float  # %
    r_rel: float  # degrees per 100 m
    used: int
    longest: int


def kitti_segments(estimate: CameraPath, truth: CameraPath, alignment: Alignment = "sim3") -> Segments:
    """Mean errors over segments of 100 to 800 m, a start every 10 frames (Geiger et al. 2012).

    A segment ends at the first frame farther along the true path than its length; one that does not end is left out.
    E = (dT_estimate)^-1 dT_truth, translation |E_t| / length, rotation angle(E_R) / length.
    """
    estimate, truth = align(estimate, truth, alignment), rebase(truth)
    distance = _distance(truth)
    start, length = (a.ravel() for a in np.meshgrid(np.arange(0, len(truth), KITTI_STEP), KITTI_LENGTHS, indexing="ij"))
    end = np.searchsorted(distance, distance[start] + length, side="right")
    start, end, length = (a[end < len(truth)] for a in (start, end, length))
    if not len(start):
        return Segments(float("nan"), float("nan"), 0, 0)
    E = np.linalg.inv(_relative(estimate, start, end)) @ _relative(truth, start, end)
    t, r = np.linalg.norm(E[:, :3, 3], axis=1) / length, _angle(E) / length
    return Segments(float(100 * t.mean()), float(np.degrees(100 * r.mean())), len(start), int(length.max()))


def rpe(estimate: CameraPath, truth: CameraPath, delta: int = 1, alignment: Alignment = "sim3") -> tuple[float, float]:
    """Root mean square of the translation and of the rotation (degrees) of E_i = (dT_truth)^-1 dT_estimate over all
    pairs `delta` frames apart (Sturm et al. 2012)."""
    _check(truth, delta + 1)
    estimate, truth = align(estimate, truth, alignment), rebase(truth)
    first, last = np.arange(len(truth) - delta), np.arange(delta, len(truth))
    E = np.linalg.inv(_relative(truth, first, last)) @ _relative(estimate, first, last)
    translation = np.sqrt((E[:, :3, 3] ** 2).sum(1).mean())
    return float(translation), float(np.degrees(np.sqrt((_angle(E) ** 2).mean())))


def focal_error(
    K: Float64[np.ndarray, "3 3"], size: tuple[int, int], K_true: Float64[np.ndarray, "3 3"], size_true: tuple[int, int]
) -> float:
    """Mean error of fx and fy in per cent of the true ones; sizes are (width, height) of the images K belongs to."""
    f = np.array([K[0, 0] / size[0], K[1, 1] / size[1]])
    f_true = np.array([K_true[0, 0] / size_true[0], K_true[1, 1] / size_true[1]])
    return float(100 * np.mean(np.abs(f / f_true - 1)))


def path_length(path: CameraPath) -> float:
    """Sum of the steps from frame to frame, in the path's unit."""
    return float(_distance(path)[-1])


def rebase(path: CameraPath) -> CameraPath:
    """The path relative to its first frame."""
    return np.linalg.inv(path[0]) @ path


def _distance(path: CameraPath) -> Float64[np.ndarray, "F"]:
    steps = np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _relative(
    path: CameraPath, first: Int64[np.ndarray, "n"], last: Int64[np.ndarray, "n"]
) -> Float64[np.ndarray, "n 4 4"]:
    return np.linalg.inv(path[first]) @ path[last]


def _angle(T: CameraPath) -> Float64[np.ndarray, "F"]:
    return angle(torch.from_numpy(T[:, :3, :3].copy())).numpy()


def _check(path: CameraPath, frames: int) -> None:
    if len(path) < frames:
        raise InputError(f"a path of {len(path)} frames cannot be judged over {frames} frames")
