"""Where a camera was, from a file of any layout that says so: KITTI's 12 numbers a line, TUM's 8, `t x y z`, or
`x y z`; and how fast it was, `t v`. Lengths in m, times in s."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from ..types.errors import InputError
from .numbers import read_table

LAYOUTS = (3, 4, 8, 12)


class Track(NamedTuple):
    """Positions, and their times where the file has some."""

    times: Float64[np.ndarray, "n"] | None
    positions: Float64[np.ndarray, "n 3"]

    def at(self, times: Float64[np.ndarray, "f"]) -> Float64[np.ndarray, "f 3"]:
        """Positions of the frames at these times: line by line where the file has as many, else interpolated, NaN
        before and after it. Raises InputError where it has neither times nor as many lines."""
        if len(self.positions) == len(times):
            return self.positions
        if self.times is None:
            raise InputError(f"the known path has {len(self.positions)} lines and the clip {len(times)} frames; give "
                             "one line a frame, or lines that begin with the time in s")
        return np.stack([interpolated(times, self.times, axis) for axis in self.positions.T], 1)


def read_track(path: str | Path) -> Track:
    """Raises InputError for a file of any other layout, and for times that do not rise."""
    table = read_table(path, LAYOUTS, "a position: x y z, t x y z, TUM's t x y z qx qy qz qw or KITTI's 3x4 matrix")
    match table.shape[1]:
        case 3:
            return Track(None, table)
        case 12:
            return Track(None, table[:, [3, 7, 11]])
        case _:
            return Track(rising(table[:, 0], path), table[:, 1:4])


def read_speed(path: str | Path, times: Float64[np.ndarray, "f"]) -> Float64[np.ndarray, "f"]:
    """Speed of the frames at these times, interpolated between lines `t v`; NaN before and after them."""
    table = read_table(path, (2,), "a time in s and a speed in m/s")
    return interpolated(times, rising(table[:, 0], path), table[:, 1])


def rising(times: Float64[np.ndarray, "n"], path: str | Path) -> Float64[np.ndarray, "n"]:
    """The same times; raises InputError, naming the file, where they do not rise."""
    if (np.diff(times) <= 0).any():
        raise InputError(f"the times in {path} do not rise from line to line")
    return times


def interpolated(
    times: Float64[np.ndarray, "f"], known: Float64[np.ndarray, "n"], values: Float64[np.ndarray, "n"]
) -> Float64[np.ndarray, "f"]:
    """Linear between known times, NaN beyond them."""
    return np.interp(times, known, values, left=np.nan, right=np.nan)
