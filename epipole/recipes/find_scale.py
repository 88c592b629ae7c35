"""The factor from a run's unit to metres by one thing that is known; and whether that can be of a clip at all, asked
before it is learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from ..formats.run import RunFiles
from ..formats.track import read_speed, read_track
from ..pipelines import scale
from ..pipelines.scale import Scale
from ..types.errors import InputError
from ..types.known import Known

SOME = 200      # frames that are asked, evenly spread
LEAST_APART, STRETCHES = 5, 80      # frames over which the direction of motion is taken: a stretch of so many, at least


class Clip(NamedTuple):
    """What of a clip the known has to fit."""

    timestamps: Float64[np.ndarray, "f"]    # s
    timed: bool                             # whether the footage tells them
    size: tuple[int, int]                   # width and height, px

    def times(self, fps: float | None) -> Float64[np.ndarray, "f"] | None:
        """Of the frames in s; None where nobody knows them."""
        if fps is not None:
            return np.arange(len(self.timestamps)) / fps
        return self.timestamps if self.timed else None


def check_readable(known: Known) -> None:
    """Raises InputError for a file that cannot be read, or has another layout."""
    if known.poses is not None:
        read_track(known.poses)
    if isinstance(known.speed, Path):
        read_speed(known.speed, np.zeros(1))


def check_fits(known: Known, clip: Clip) -> None:
    """Raises InputError where it is plain without any map that this cannot tell the clip's scale."""
    if known.distance is not None:
        _distance(known.distance, clip)
    elif known.poses is not None:
        if not np.ptp(_positions(known, clip)[1], axis=0).any():
            raise InputError(f"scale cannot be found: the camera does not move in {known.poses}")
    elif known.speed is not None:
        _, times, speed = _speed(known, clip)
        *_, metres = scale.stretches(torch.from_numpy(times), torch.from_numpy(speed))
        if int((metres > 0).sum()) < scale.FEWEST:
            raise InputError("scale cannot be found by the speed: it tells of less than a second of motion that the "
                             "footage shows; use another measurement")


def find_scale(run: RunFiles, known: Known) -> Scale:
    """The factor from the run's present unit to metres. Raises InputError where it cannot be found."""
    if sum(value is not None for value in (known.height, known.distance, known.poses, known.speed)) != 1:
        raise TypeError("scale follows from one thing that is known: height, distance, poses or speed")
    clip = Clip(run.timestamps, bool((run.about.get("footage") or {}).get("fps")), run.image_size)
    if known.height is not None:
        frames, path = some_frames(run), torch.from_numpy(run.path.copy())
        along = scale.directions(path, max(LEAST_APART, len(path) // STRETCHES))[frames]
        return scale.by_height(map(_depth_of(run), frames), torch.from_numpy(run.depth_intrinsics), known.height, along)
    if known.distance is not None:
        return _by_distance(run, known.distance, clip)
    positions = torch.from_numpy(run.path[:, :3, 3].copy())
    if known.poses is not None:
        both, there = _positions(known, clip)
        return scale.by_path(positions[both], torch.from_numpy(there))
    both, times, speed = _speed(known, clip)
    return scale.by_speed(positions[both], torch.from_numpy(times), torch.from_numpy(speed))


def _positions(known: Known, clip: Clip) -> tuple[Bool[np.ndarray, "f"], Float64[np.ndarray, "n 3"]]:
    """Frames whose position is known, and these."""
    if known.poses is None:
        raise TypeError("the positions are not what is known")
    times = clip.times(known.fps)
    there = read_track(known.poses).at(clip.timestamps if times is None else times)
    both = np.isfinite(there).all(1)
    if both.sum() < scale.FEWEST:
        raise InputError(f"{known.poses} and the clip have {both.sum()} times in common; times count in s from the "
                         "first frame")
    return both, there[both].copy()


def _speed(
    known: Known, clip: Clip
) -> tuple[Bool[np.ndarray, "f"], Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]:
    """Frames at whose time the speed is known, these times and speeds."""
    times = clip.times(known.fps)
    if times is None:
        raise InputError("scale cannot be found by the speed: the footage does not tell its times; give --fps, or "
                         "--scale speed=V,fps=N")
    speed = read_speed(known.speed, times) if isinstance(known.speed, Path) else np.full(len(times), known.speed)
    both = np.isfinite(speed)
    return both, times[both], speed[both]


def _distance(distance: tuple[float, ...], clip: Clip) -> tuple[int, Float64[Tensor, "2 2"], float]:
    """Frame, both pixels (rows) and metres. Raises InputError for a frame or pixels that the clip does not have."""
    number, *ends, metres = distance
    pixels, (w, h) = torch.tensor(ends, dtype=torch.float64).view(2, 2), clip.size
    if not 0 <= number < len(clip.timestamps):
        raise InputError(f"there is no frame {int(number)}: the clip has {len(clip.timestamps)}, counted from 0")
    if bool((pixels < 0).any()) or bool((pixels > torch.tensor([w - 1, h - 1])).any()):
        raise InputError(f"scale cannot be found: a pixel lies outside the picture, which has {w}x{h}")
    if torch.equal(*pixels):
        raise InputError("scale cannot be found: the distance is between two pixels, and both are the same")
    return int(number), pixels, metres


def _by_distance(run: RunFiles, distance: tuple[float, ...], clip: Clip) -> Scale:
    frame, given, metres = _distance(distance, clip)
    straight, shown = run.straight_pixels(given.numpy())
    if not shown.all():
        raise InputError("scale cannot be found: a pixel lies where the straightened picture ends; take one nearer to "
                         "the middle")
    pixels = torch.from_numpy(straight)
    depth, K = _depth_of(run), torch.from_numpy(run.depth_intrinsics)
    path = torch.from_numpy(run.path.copy())
    size = torch.tensor(run.depth[0].shape).flip(0)
    there = ((pixels + 0.5) * size / torch.tensor(clip.size) - 0.5).clamp(min=0).minimum(size - 1.0)
    points = scale.world_points(depth(frame), path[frame], K, there.T)
    frames = sorted({frame, *some_frames(run)})
    return scale.by_distance(map(depth, frames), path[frames], K, points, metres)


def some_frames(run: RunFiles) -> list[int]:
    """At most `SOME` frames, evenly spread."""
    return np.unique(np.linspace(0, len(run.path) - 1, SOME).round().astype(int)).tolist()


def _depth_of(run: RunFiles) -> Callable[[int], Tensor]:
    return lambda i: torch.from_numpy(run.depth[i])[None].double()
