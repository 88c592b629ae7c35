"""A pose for every frame: placed by dense flow against the key frames before and after it.

The points that both key frames' depth gives are found again in the frame by flow, each set places the camera (P3P and
robust refinement), and the two poses are blended by how far away their key frames are: errors of depth move a pose in
proportion to that distance.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from itertools import groupby
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float64

from ...geometry.motion import se3_exp, se3_log
from ...sources.findings import Look, Span
from ...sources.footage import Footage
from ...sources.look import one_thread
from ...types.errors import InputError
from .correspond import KeyImages, in_order
from .flow import Gray
from .locate import Anchors, Camera, Pose, anchors_of, locate
from .predict import KeyDepth

WHY = "too few points were found again; the pose is interpolated"


class EveryFrame(NamedTuple):
    """T_world_camera of every frame, and the spans where it is a guess."""

    T_world_camera: Float64[np.ndarray, "f 4 4"]
    skipped: list[Span]


class _Task(NamedTuple):
    number: int
    gray: Gray
    guess: Pose
    keys: list[Anchors]


def place_every_frame(
    footage: Footage,
    look: Look,
    keys: KeyImages,
    T_world_camera_key: Float64[np.ndarray, "n 4 4"],
    depth_of: KeyDepth,
    K_network: Camera,
    *,
    lost: Collection[int] = (),
    seed: int = 0,
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> EveryFrame:
    """Streams the footage once; key frames keep their pose, but for those that are `lost`, whose pose is a guess: they
    are placed like any other frame. No frame looks beyond the cuts of its shot.

    Depth is in the unit of the path; where it is not positive and finite, it is not used. Repeated frames take the
    pose of the frame before. Blank frames, and frames whose points are not found again, are interpolated on SE(3);
    the latter are reported. `progress(frames done, frames in all)`. The result does not depend on `threads`.

    Raises:
        InputError: the footage has other frames than when it was looked at.
    """
    known = _Known(keys, T_world_camera_key, depth_of, K_network, lost)
    path = np.full((len(look.times), 4, 4), np.nan)
    path[known.numbers] = T_world_camera_key[known.which]
    wanted = {int(i) for i in np.flatnonzero(np.isnan(path[:, 0, 0]) & ~look.repeat & ~look.blank)}
    tasks = _tasks(footage, look, path.copy(), wanted, known)
    failed, done = [], set()
    with one_thread():
        for number, pose in in_order(lambda task: _place(task, K_network, seed), tasks, threads):
            done.add(number)
            if pose is None:
                failed.append(number)
            else:
                path[number] = pose
            if progress:
                progress(number + 1, len(path))
    if done != wanted:
        raise InputError(f"{footage.name} gave {len(done)} of {len(wanted)} frames when read again; "
                         "see that nothing changes the footage and run the same command again.")  # fmt: skip
    return EveryFrame(_filled(path, look), _spans(failed))


def blended(T: Pose, other: Pose, share: float) -> Pose:
    """From T (share 0) to the other (share 1) along the shortest way on SE(3)."""
    between = se3_log(torch.from_numpy(np.linalg.inv(T) @ other))
    return T @ se3_exp(share * between).numpy()


class _Known:
    """The key frames that are not lost: their numbers in the footage, and the anchors of the last few asked for."""

    def __init__(
        self, keys: KeyImages, T_world_camera: Float64[np.ndarray, "n 4 4"], depth_of: KeyDepth, K: Camera,
        lost: Collection[int],
    ) -> None:
        self.keys, self.T, self.depth_of, self.K = keys, T_world_camera, depth_of, K
        self.which = np.setdiff1d(np.arange(len(keys)), list(lost))
        self.numbers = keys.key_frames[self.which]
        self.kept: OrderedDict[int, Anchors] = OrderedDict()

    def __getitem__(self, i: int) -> Anchors:
        if i not in self.kept:
            k = int(self.which[i])
            self.kept[i] = anchors_of(self.depth_of(k).depth, self.K, self.T[k], self.keys.gray[k])
            if len(self.kept) > 2:
                self.kept.popitem(last=False)
        return self.kept[i]


def _tasks(
    footage: Footage, look: Look, path: Float64[np.ndarray, "f 4 4"], wanted: set[int], known: _Known
) -> Iterator[_Task]:
    """The frames to place, with the key frames around them and the pose that these suggest."""
    w, h = known.keys.size
    shots = np.searchsorted(look.cuts, np.arange(len(path)), side="right")
    for frame in footage.read(2 * w, 2 * h, only=wanted):
        after = int(np.searchsorted(known.numbers, frame.number))
        around = [i for i in (after - 1, after) if 0 <= i < len(known.numbers)]
        near = [i for i in around if shots[known.numbers[i]] == shots[frame.number]]
        guess = _interpolated(path, look.times, frame.number, [int(known.numbers[i]) for i in near or around])
        yield _Task(frame.number, cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), guess, [known[i] for i in near])


def _place(task: _Task, K: Camera, seed: int) -> tuple[int, Pose | None]:
    """The frame's number and its pose by all key frames that find it; None where none does."""
    tried = [locate(task.gray, key, K, task.guess, seed + task.number) for key in task.keys]
    found = [pose_and_weight for pose_and_weight in tried if pose_and_weight is not None]
    if not found:
        return task.number, None
    pose, weight = found[0]
    for other, w in found[1:]:
        pose, weight = blended(pose, other, w / (weight + w)), weight + w
    return task.number, pose


def _interpolated(path: Float64[np.ndarray, "f 4 4"], times: np.ndarray, number: int, between: list[int]) -> Pose:
    """The pose at the time of frame `number` between the poses of one or two other frames."""
    first, last = between[0], between[-1]
    if first == last:
        return path[first]
    share = (times[number] - times[first]) / (times[last] - times[first])
    return blended(path[first], path[last], float(np.clip(share, 0, 1)))


def _filled(path: Float64[np.ndarray, "f 4 4"], look: Look) -> Float64[np.ndarray, "f 4 4"]:
    """Missing poses between the nearest known ones of the shot; then repeats as the frame before."""
    known = np.flatnonzero(np.isfinite(path[:, 0, 0]))
    shots = np.searchsorted(look.cuts, np.arange(len(path)), side="right")
    full = path.copy()
    for number in np.flatnonzero(np.isnan(path[:, 0, 0])).tolist():
        after = int(np.searchsorted(known, number))
        around = known[max(0, after - 1) : after + 1].tolist()
        near = [i for i in around if shots[i] == shots[number]]
        full[number] = _interpolated(path, look.times, number, near or around)
    for number in np.flatnonzero(look.repeat & np.isnan(path[:, 0, 0])).tolist():
        full[number] = full[number - 1]
    return full


def _spans(numbers: list[int]) -> list[Span]:
    runs = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    groups = [[number for _, number in run] for _, run in runs]
    return [Span(group[0], group[-1], WHY) for group in groups]
