"""What files know of a clip's camera in metres, matched with the clip's frames by their times."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64

from ..formats.gps import read_gps
from ..formats.inertial import read_imu
from ..formats.track import interpolated, read_speed, read_track
from ..pipelines.inertial_scale import LEAST_FELT, LEAST_FRAMES, NO_MOTION, SHORTEST, Readings, excitation
from ..pipelines.scale import CLEAR, FEWEST
from ..sources.footage import Footage
from ..types.errors import InputError
from ..types.known import Known


class Clip(NamedTuple):
    """What of a clip the known has to fit."""

    timestamps: Float64[np.ndarray, "f"]    # s
    timed: bool                             # whether the footage tells them
    size: tuple[int, int]                   # width and height, px
    footage: Footage | None = None          # its frames, where they are asked for

    def times(self, fps: float | None) -> Float64[np.ndarray, "f"] | None:
        """Of the frames in s; None where nobody knows them."""
        if fps is not None:
            return np.arange(len(self.timestamps)) / fps
        return self.timestamps if self.timed else None


class Fixes(NamedTuple):
    """Where the camera was at moments of the clip: numbers of frames, also between two, and m."""

    frames: Float64[np.ndarray, "n"]
    metres: Float64[np.ndarray, "n 3"]

    def along(self, path: Float64[np.ndarray, "f 4 4"]) -> Float64[np.ndarray, "n 3"]:
        """Where a path has the camera then."""
        numbers = np.arange(len(path))
        return np.stack([np.interp(self.frames, numbers, axis) for axis in path[:, :3, 3].T], 1)


def positions(known: Known, clip: Clip) -> tuple[Bool[np.ndarray, "f"], Float64[np.ndarray, "n 3"]]:
    """Frames whose position is known, and these. Raises InputError where the file is not the clip's."""
    if known.poses is None:
        raise TypeError("the positions are not what is known")
    times = clip.times(known.fps)
    there = read_track(known.poses).at(clip.timestamps if times is None else times)
    both = np.isfinite(there).all(1)
    if both.sum() < FEWEST:
        raise InputError(f"{known.poses} and the clip have {both.sum()} times in common; times count in s from the "
                         "first frame")
    if not np.ptp(there[both], axis=0).any():
        raise InputError(f"scale cannot be found: the camera does not move in {known.poses}")
    return both, there[both].copy()


def speeds(
    known: Known, clip: Clip
) -> tuple[Bool[np.ndarray, "f"], Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]:
    """Frames at whose time the speed is known, these times and speeds. Raises InputError where there are no times."""
    times = needed_times(known, clip, "speed")
    speed = read_speed(known.speed, times) if isinstance(known.speed, Path) else np.full(len(times), known.speed)
    both = np.isfinite(speed)
    return both, times[both], speed[both]


def fixes(known: Known, clip: Clip) -> Fixes:
    """What a satellite receiver knows of the clip: fix by fix, however few or many there are to a frame, or line by
    line where there are as many as frames. Raises InputError where these are of another time, or hardly apart."""
    if known.gps is None:
        raise TypeError("the fixes are not what is known")
    track = read_gps(known.gps)
    if track.times is None or (len(track.positions) == len(clip.timestamps) and known.start is None):
        found = Fixes(np.arange(len(track.positions), dtype=np.float64), track.positions)
    else:
        times = needed_times(known, clip, "gps")
        frames = interpolated(track.times - (known.start or 0.0), times, np.arange(len(times), dtype=np.float64))
        found = Fixes(frames[np.isfinite(frames)], track.positions[np.isfinite(frames)])
    if len(found.frames) < FEWEST:
        raise InputError(f"{known.gps} tells {len(found.frames)} places of the camera while the clip was taken; give "
                         "the time of the first frame by the file's clock, in s, as start=S")
    extent, noise = np.linalg.norm(np.ptp(found.metres, axis=0)), rough(found.metres)
    if not extent > CLEAR * noise:
        raise InputError(f"scale cannot be found by GPS: the fixes lie within {extent:.3g} m and tremble by "
                         f"{noise:.3g} m; use another measurement")
    return found


def readings(known: Known, clip: Clip) -> tuple[Bool[np.ndarray, "f"], Float64[np.ndarray, "n"], Readings]:
    """Frames that an inertial sensor's readings cover, their times, and the readings in the camera's axes and time.
    Raises InputError where these are of another time, or feel no change of velocity."""
    if known.imu is None:
        raise TypeError("the readings are not what is known")
    times, read = needed_times(known, clip, "imu"), read_imu(known.imu)
    clock = read.times - (known.start or 0.0)
    covered = (times >= clock[0]) & (times <= clock[-1])
    if covered.sum() < FEWEST * LEAST_FRAMES or np.ptp(times[covered]) < FEWEST * SHORTEST:
        raise InputError(f"{known.imu} has readings of {covered.sum()} of the clip's {len(times)} frames, and "
                         f"{FEWEST * SHORTEST:g} s are needed; give the time of the first frame by the file's clock, "
                         "in s, as start=S")
    R, lever = read.T_camera_imu[:3, :3], read.T_camera_imu[:3, 3].copy()
    turned = Readings(*(torch.from_numpy(a) for a in (clock, read.gyro @ R.T, read.force @ R.T, lever)))
    if excitation(torch.from_numpy(times[covered]), turned) < LEAST_FELT:
        raise InputError(NO_MOTION)
    return covered, times[covered], turned


def rough(metres: Float64[np.ndarray, "n 3"]) -> float:
    """By how much positions miss the middle of their neighbours, as noise of the same size in each would make them."""
    bend = metres[:-2] - 2 * metres[1:-1] + metres[2:]
    return float(np.median(np.linalg.norm(bend, axis=1))) / np.sqrt(6)


def needed_times(known: Known, clip: Clip, name: str) -> Float64[np.ndarray, "f"]:
    """The frames' times in s. Raises InputError where nobody knows them."""
    times = clip.times(known.fps)
    if times is None:
        raise InputError(f"scale cannot be found by the {name}: the footage does not tell its times; give --fps, or "
                         f"--scale {name}=...,fps=N")
    return times
