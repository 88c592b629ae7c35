"""Camera paths as judges see them: checked against each other, matched by time, cut into motions, and what a path is
that looks at nothing.

A path is T_world_camera of every frame, [F, 4, 4].
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float64, Int64

from ..geometry.motion import se3_exp, se3_log, so3_exp, so3_log
from ..types.errors import InputError

CameraPath = Float64[np.ndarray, "F 4 4"]
AnyPath = Float64[np.ndarray, "_ 4 4"]
Motions = Float64[np.ndarray, "*n 4 4"]
Times = Float64[np.ndarray, "_"]
Frames = Int64[np.ndarray, "*n"]


def check_paths(estimate: AnyPath, truth: AnyPath, times: tuple[Times, Times] | None, tolerance: float) -> None:
    """Raises InputError unless both paths have a pose for each of the same frames, at the same `times` (estimate's,
    truth's; seconds) where these are given, and all of them are finite."""
    if len(estimate) != len(truth):
        raise InputError(f"the estimated path has {len(estimate)} poses and the true one {len(truth)}; "
                         "match them by frame or by time first")
    if not len(truth):
        raise InputError("a path without poses cannot be judged")
    for path, whose in ((estimate, "estimated"), (truth, "true")):
        if not np.isfinite(path).all():
            bad = int((~np.isfinite(path).all((1, 2))).sum())
            raise InputError(f"{bad} poses of the {whose} path are not finite and cannot be judged")
    if times is not None:
        if not len(times[0]) == len(times[1]) == len(truth):
            raise InputError(f"{len(truth)} poses have {len(times[0])} estimated and {len(times[1])} true times")
        apart = float(np.abs(times[0] - times[1]).max())
        if not apart <= tolerance:
            raise InputError(f"the times of the two paths are up to {apart:.4g} s apart, more than {tolerance:g} s: "
                             "they are not of the same frames; match them by time first")


def associate(
    times: Float64[np.ndarray, "a"], others: Float64[np.ndarray, "b"], tolerance: float = 0.01
) -> tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "n"]]:
    """Indices of the stamps of both that belong together: each stamp of the shorter list with the nearest one of the
    longer, at most `tolerance` seconds away and used once (the nearest keeps it). Both lists are in ascending order.

    Raises InputError where none belong together.
    """
    if len(times) > len(others):
        second, first = associate(others, times, tolerance)
        return first, second
    right = np.clip(np.searchsorted(others, times), 1, max(len(others) - 1, 1))
    if len(others) > 1:
        nearest = np.where(times - others[right - 1] <= others[right] - times, right - 1, right)
    else:
        nearest = np.zeros(len(times), np.int64)
    apart = np.abs(times - others[nearest]) if len(others) else np.full(len(times), np.inf)
    taken: dict[int, int] = {}
    for i in np.argsort(apart, kind="stable"):
        if apart[i] <= tolerance:
            taken.setdefault(int(nearest[i]), int(i))
    if not taken:
        raise InputError(f"no two stamps of the paths lie within {tolerance:g} s of each other")
    pairs = np.array(sorted((i, j) for j, i in taken.items()), np.int64)
    return pairs[:, 0], pairs[:, 1]


def rebase(path: CameraPath) -> CameraPath:
    """The path relative to its first frame."""
    return np.linalg.inv(path[0]) @ path


def path_length(path: CameraPath) -> float:
    """Sum of the steps from frame to frame, in the path's unit."""
    return float(travelled(path)[-1])


def travelled(path: CameraPath) -> Float64[np.ndarray, "F"]:
    """Length of the path up to every frame."""
    steps = np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def relative(path: CameraPath, first: Frames, last: Frames) -> Motions:
    """T_first_last."""
    return np.linalg.inv(path[first]) @ path[last]


def repeated(step: Float64[np.ndarray, "*m 4 4"], times: Frames) -> Motions:
    """The step, done so many times in a row."""
    twist = se3_log(torch.from_numpy(np.ascontiguousarray(step)))
    return se3_exp(torch.from_numpy(times.astype(np.float64))[..., None] * twist).numpy()


def constant_velocity(path: CameraPath, first: Frames, last: Frames) -> Motions:
    """T_first_last if the last step before `first` went on for ever; nothing comes before frame 0, whose own first step
    takes its place. The path has two frames at least."""
    before = np.maximum(first - 1, 0)
    return repeated(relative(path, before, before + 1), last - first)


def mean_motion(paths: Iterable[AnyPath]) -> Float64[np.ndarray, "4 4"]:
    """The mean step from frame to frame: means of translations and of rotation vectors.

    Raises InputError if no path has two frames.
    """
    steps = [relative(path, np.arange(len(path) - 1), np.arange(1, len(path))) for path in paths]
    if not sum(map(len, steps)):
        raise InputError("no mean motion: no path has two frames")
    steps_all = np.concatenate(steps)
    rotation = so3_exp(so3_log(torch.from_numpy(steps_all[:, :3, :3].copy())).mean(0))
    mean = np.eye(4)
    mean[:3, :3], mean[:3, 3] = rotation.numpy(), steps_all[:, :3, 3].mean(0)
    return mean
