"""What an inertial sensor read: lines `t wx wy wz ax ay az`, separated by spaces or commas."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from ..types.errors import InputError
from .numbers import read_table
from .track import rising

WHAT = "a time in s, an angular velocity in rad/s and a specific force in m/s^2: t wx wy wz ax ay az"
COLUMNS = 7
MOUNTING = "T_camera_imu.txt"   # beside the file: where the sensor sits
ODD = 1e-3                      # by which a rotation in this file may miss being one


class Readings(NamedTuple):
    """In the sensor's axes; a sensor at rest reads 9.81 upwards. `T_camera_imu` says where it sits."""

    times: Float64[np.ndarray, "n"]         # s
    gyro: Float64[np.ndarray, "n 3"]        # rad/s
    force: Float64[np.ndarray, "n 3"]       # m/s^2
    T_camera_imu: Float64[np.ndarray, "4 4"]


def read_imu(path: str | Path) -> Readings:
    """Columns behind the seventh, and a first line of names, do not count, so that `imu.csv` of `epipole world --truth
    imu` is one of these files. Without a `T_camera_imu.txt` (4x4) beside it the sensor's axes are the camera's.

    Raises InputError for any other file, and for times that do not rise.
    """
    table = read_table(path, tuple(range(COLUMNS, 20)), WHAT, named=True)
    beside = Path(path).parent / MOUNTING
    T = read_table(beside, (4,), "the 4x4 matrix that maps the sensor's axes to the camera's") if beside.exists() \
        else np.eye(4)
    if T.shape != (4, 4) or np.abs(T[:3, :3] @ T[:3, :3].T - np.eye(3)).max() > ODD or np.linalg.det(T[:3, :3]) < 0:
        raise InputError(f"{beside} is not the 4x4 matrix of a rotation and a translation in m")
    return Readings(rising(table[:, 0], path), table[:, 1:4], table[:, 4:7], T)
