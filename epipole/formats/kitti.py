"""KITTI odometry: a path is a text file of 3x4 camera-to-world matrices, one row-major line a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from ..types.errors import InputError
from .numbers import read_table, write_table

RIGID = 1e-3  # how far R^T R may be from the identity in a file of rounded numbers


def read_poses(path: str | Path) -> Float64[np.ndarray, "F 4 4"]:
    """T_world_camera of every frame; raises InputError for anything that is not a rigid motion a line."""
    return _rigid(read_table(path, (12,), "the 12 numbers of a 3x4 camera-to-world matrix"), path)


def read_numbered_poses(path: str | Path) -> tuple[Int64[np.ndarray, "F"], Float64[np.ndarray, "F 4 4"]]:
    """Frame numbers and T_world_camera, from lines of 13 numbers that begin with the frame's; with 12, frames count
    from 0. Result files of monocular odometry leave out frames that way."""
    table = read_table(path, (12, 13), "a frame number and the 12 numbers of a 3x4 camera-to-world matrix")
    frames = table[:, 0] if table.shape[1] == 13 else np.arange(len(table))
    return frames.astype(np.int64), _rigid(table[:, -12:], path)


def _rigid(rows: Float64[np.ndarray, "F 12"], path: str | Path) -> Float64[np.ndarray, "F 4 4"]:
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = rows.reshape(-1, 3, 4)
    R = poses[:, :3, :3]
    wrong = (np.abs(R.mT @ R - np.eye(3)).max((1, 2)) > RIGID) | (np.linalg.det(R) < 0)
    if wrong.any():
        raise InputError(f"{path}: pose {int(wrong.argmax())} is not a rotation and a translation")
    return poses


def write_poses(path: str | Path, T_world_camera: Float64[np.ndarray, "F 4 4"]) -> None:
    """One line of 12 numbers a frame."""
    write_table(path, T_world_camera[:, :3].reshape(-1, 12))


def read_intrinsics(path: str | Path) -> Float64[np.ndarray, "3 3"]:
    """K in pixels, pixel (0, 0) the centre of the top-left one; raises InputError if it is not a camera matrix."""
    K = read_table(path, (3,), "a row of the 3x3 matrix K")
    if K.shape != (3, 3) or (K[2] != [0, 0, 1]).any() or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise InputError(f"{path} is not a camera matrix [fx 0 cx; 0 fy cy; 0 0 1]")
    return K


def write_intrinsics(path: str | Path, K: Float64[np.ndarray, "3 3"]) -> None:
    """Three lines of three numbers."""
    write_table(path, K)
