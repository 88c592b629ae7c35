"""KITTI odometry: a path is a text file of 3x4 camera-to-world matrices, one row-major line a frame; a calib.txt has
lines `P0: ` and 12 numbers, the 3x4 projection of the rectified camera 0 into its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from ..types.errors import InputError
from .atomic import replacing
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


def read_projections(path: str | Path) -> dict[str, Float64[np.ndarray, "3 4"]]:
    """The matrices P = K [R t] by name, row by row, of the lines whose names begin with P (`P0:` of the odometry and
    object sets, `P_rect_00:` of the raw ones). P[0, 3] / P[0, 0] of P0 to P3 is minus the camera's place along x, in m.

    Raises InputError where there is none, or one of them is not 12 numbers.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file") from error
    named = [line.partition(":") for line in lines if line.startswith("P")]
    if not named:
        raise InputError(f"{path} holds no line `P0: ` with 12 numbers")
    return {name: _projection(rest, f"{path}, {name}") for name, _, rest in named}


def _projection(text: str, where: str) -> Float64[np.ndarray, "3 4"]:
    try:
        P = np.array([float(word) for word in text.split()]).reshape(3, 4)
    except ValueError as error:
        raise InputError(f"{where} is not a 3x4 matrix") from error
    if not np.isfinite(P).all() or P[0, 0] <= 0 or P[1, 1] <= 0:
        raise InputError(f"{where} is not a camera's projection: focal lengths must be above 0, and all numbers finite")
    return P


def write_projections(path: str | Path, projections: dict[str, Float64[np.ndarray, "3 4"]]) -> None:
    """A line `name: ` and 12 numbers each."""
    with replacing(path) as part:
        part.write_text("".join(f"{name}: {' '.join(f'{x:.12e}' for x in P.flatten())}\n"
                                for name, P in projections.items()))
