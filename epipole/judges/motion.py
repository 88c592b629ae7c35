"""Judges camera paths: absolute and relative errors of KITTI, TUM and the snippets of Zhou et al. 2017.

A path is T_world_camera of every frame, [F, 4, 4]; both paths are taken relative to their first frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64

from ..geometry.align import umeyama
from ..geometry.motion import angle
from ..types.errors import InputError
from .paths import (
    AnyPath,
    CameraPath,
    Frames,
    Motions,
    Times,
    check_paths,
    constant_velocity,
    mean_motion,
    path_length,
    rebase,
    relative,
    repeated,
    travelled,
)
from .score import Protocol, Score

MotionsOf = Callable[[Frames, Frames], Motions]  # T_first_last of some path
Alignment = Literal["none", "scale", "se3", "sim3"]
KITTI_LENGTHS = (100, 200, 300, 400, 500, 600, 700, 800)  # m
KITTI_STEP = 10  # frames between the starts of segments


@dataclass(frozen=True)
class MotionProtocol(Protocol):
    """How an estimated path is laid over the true one before it is compared.

    alignment  none: not at all; scale: one factor, by least squares on positions; se3: a rigid motion; sim3: a
               similarity (both Umeyama 1991)
    window     frames of a snippet, each of which has its own origin and scale (Zhou et al. 2017)
    delta      frames between the two poses of a relative error
    tolerance  seconds by which times of matching frames may differ
    """

    alignment: Alignment = "sim3"
    window: int = 5
    delta: int = 1
    tolerance: float = 0.01

    def words(self) -> str:
        how = {"none": "not aligned", "scale": "aligned by one scale, by least squares on positions",
               "se3": "aligned by SE(3) (Umeyama)", "sim3": "aligned by Sim(3) (Umeyama)"}
        return (f"{how[self.alignment]}, snippets of {self.window} frames, relative errors {self.delta} frames apart, "
                f"times at most {self.tolerance:g} s apart")


def judge_motion(
    estimate: AnyPath, truth: AnyPath, protocol: MotionProtocol | None = None, unit: str = "m",
    times: tuple[Times, Times] | None = None, mean: Float64[np.ndarray, "4 4"] | None = None,
) -> list[Score]:
    """ate, ate_percent (of the true path's length), ate_snippet (as Zhou printed it) and ate_snippet_rmse,
    rpe_translation, rpe_rotation, and t_rel, r_rel where the true path is in metres and long enough for KITTI's
    shortest segment. Scores for which the path is too short are left out.

    Beside each stand: constant velocity, which goes on at every start as the true path came there; and mean motion,
    the step `mean` of a training set (`mean_motion`), or else the true path's own, repeated.
    Raises InputError unless both paths are of the same frames, at the same `times` where these are given.
    """
    protocol = protocol or MotionProtocol()
    check_paths(estimate, truth, times, protocol.tolerance)
    own = _numbers(*_as_path(estimate, truth, protocol), truth, protocol, unit)
    beside = {name: _numbers(path, motions, truth, protocol, unit)
              for name, (path, motions) in _rivals(truth, protocol, mean).items()}
    return [protocol.score(name, number.value, number.unit, f"{number.about}, {len(truth)} frames",
                           {rival: numbers[name].value for rival, numbers in beside.items() if name in numbers})
            for name, number in own.items()]


class _Number(NamedTuple):
    value: float
    unit: str
    about: str


def _as_path(estimate: CameraPath, truth: CameraPath, protocol: MotionProtocol) -> tuple[CameraPath, MotionsOf]:
    aligned = align(estimate, truth, protocol.alignment)
    return aligned, partial(relative, aligned)


def _rivals(
    truth: CameraPath, protocol: MotionProtocol, mean: Float64[np.ndarray, "4 4"] | None
) -> dict[str, tuple[CameraPath, MotionsOf]]:
    """Paths that look at nothing, and their motions."""
    if len(truth) < 2:
        return {}
    frames = np.arange(len(truth))
    straight = align(constant_velocity(truth, np.zeros_like(frames), frames), truth, protocol.alignment)
    mean_path = repeated(mean_motion([truth]) if mean is None else mean, frames)
    return {"constant velocity": (straight, partial(constant_velocity, truth)),
            "mean motion" if mean is None else "train-set mean motion": _as_path(mean_path, truth, protocol)}


def _numbers(
    path: CameraPath, motions: MotionsOf, truth: CameraPath, protocol: MotionProtocol, unit: str
) -> dict[str, _Number]:
    """The scores of an aligned path, by name, as far as it is long enough for them."""
    error, length = _ate(path, truth), path_length(truth)
    found = {"ate": _Number(error, unit, "RMSE of positions")}
    if length > 0:
        about = f"RMSE of positions, of the true path of {length:.4g} {unit}"
        found["ate_percent"] = _Number(100 * error / length, "%", about)
    if len(truth) >= max(protocol.window, 2):
        for name, rmse, how in (("ate_snippet", False, "sqrt(sum) / N"), ("ate_snippet_rmse", True, "RMSE")):
            errors = _snippets(motions, truth, protocol.window, rmse)
            found[name] = _Number(float(errors.mean()), unit, f"mean over {len(errors)} snippets of {how}, "
                                  f"standard deviation {errors.std():.4g}")
    if len(truth) > protocol.delta:
        translation, rotation = _rpe(motions, truth, protocol.delta)
        found["rpe_translation"] = _Number(translation, unit, "RMSE over pairs of frames")
        found["rpe_rotation"] = _Number(rotation, "deg", "RMSE over pairs of frames")
    segments = _segments(motions, truth) if unit == "m" else None
    if segments is not None and segments.used:
        about = f"mean over {segments.used} segments of 100 to {segments.longest} m, starts every {KITTI_STEP} frames"
        found["t_rel"] = _Number(segments.t_rel, "%", about)
        found["r_rel"] = _Number(segments.r_rel, "deg/100 m", about)
    return found


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
    return _ate(align(estimate, truth, alignment), truth)


def ate_zhou(estimate: CameraPath, truth: CameraPath, window: int = 5, rmse: bool = False) -> tuple[float, float]:
    """Mean and standard deviation over all windows of `window` frames of the snippet error of Zhou et al. 2017.

    Each window starts at its own origin and has its own scale s = sum(g . p) / sum(p . p). The published numbers are
    sqrt(sum |s p - g|^2) / N, which is no root mean square; `rmse` gives sqrt(sum |s p - g|^2 / N).
    """
    _check(truth, window)
    errors = _snippets(partial(relative, estimate), truth, window, rmse)
    return float(errors.mean()), float(errors.std())


def snippet_error(
    p: Float64[np.ndarray, "*w N 3"], g: Float64[np.ndarray, "*w N 3"], rmse: bool = False
) -> Float64[np.ndarray, "*w"]:
    """Errors of estimated positions p against true ones g, both from the origin on; see `ate_zhou`."""
    s = (g * p).sum((-2, -1), keepdims=True) / np.maximum((p * p).sum((-2, -1), keepdims=True), np.finfo(float).tiny)
    square, N = ((s * p - g) ** 2).sum((-2, -1)), g.shape[-2]
    return np.asarray(np.sqrt(square / N) if rmse else np.sqrt(square) / N)


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
    return _segments(partial(relative, align(estimate, truth, alignment)), truth)


def rpe(estimate: CameraPath, truth: CameraPath, delta: int = 1, alignment: Alignment = "sim3") -> tuple[float, float]:
    """Root mean square of the translation and of the rotation (degrees) of E_i = (dT_truth)^-1 dT_estimate over all
    pairs `delta` frames apart (Sturm et al. 2012)."""
    _check(truth, delta + 1)
    return _rpe(partial(relative, align(estimate, truth, alignment)), truth, delta)


def _ate(aligned: CameraPath, truth: CameraPath) -> float:
    difference = aligned[:, :3, 3] - rebase(truth)[:, :3, 3]
    return float(np.sqrt((difference**2).sum(1).mean()))


def _snippets(motions: MotionsOf, truth: CameraPath, window: int, rmse: bool) -> Float64[np.ndarray, "w"]:
    first = np.arange(len(truth) - window + 1)[:, None]
    first, last = np.broadcast_arrays(first, first + np.arange(window))
    return snippet_error(motions(first, last)[..., :3, 3], relative(truth, first, last)[..., :3, 3], rmse)


def _segments(motions: MotionsOf, truth: CameraPath) -> Segments:
    distance = travelled(truth)
    start, length = (a.ravel() for a in np.meshgrid(np.arange(0, len(truth), KITTI_STEP), KITTI_LENGTHS, indexing="ij"))
    end = np.searchsorted(distance, distance[start] + length, side="right")
    start, end, length = (a[end < len(truth)] for a in (start, end, length))
    if not len(start):
        return Segments(float("nan"), float("nan"), 0, 0)
    E = np.linalg.inv(motions(start, end)) @ relative(truth, start, end)
    t, r = np.linalg.norm(E[:, :3, 3], axis=1) / length, _angle(E) / length
    return Segments(float(100 * t.mean()), float(np.degrees(100 * r.mean())), len(start), int(length.max()))


def _rpe(motions: MotionsOf, truth: CameraPath, delta: int) -> tuple[float, float]:
    first = np.arange(len(truth) - delta)
    E = np.linalg.inv(relative(truth, first, first + delta)) @ motions(first, first + delta)
    translation = np.sqrt((E[:, :3, 3] ** 2).sum(1).mean())
    return float(translation), float(np.degrees(np.sqrt((_angle(E) ** 2).mean())))


def _angle(T: CameraPath) -> Float64[np.ndarray, "F"]:
    return angle(torch.from_numpy(T[:, :3, :3].copy())).numpy()


def _check(path: CameraPath, frames: int) -> None:
    if len(path) < frames:
        raise InputError(f"a path of {len(path)} frames cannot be judged over {frames} frames")
