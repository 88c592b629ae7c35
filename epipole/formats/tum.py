"""TUM RGB-D: a path is a text file of lines `timestamp tx ty tz qx qy qz qw`, camera to world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from ..geometry.motion import quaternion_to_rotation, rotation_to_quaternion, se3
from ..types.errors import InputError
from .numbers import read_table, write_table


def read(path: str | Path) -> tuple[Float64[np.ndarray, "F"], Float64[np.ndarray, "F 4 4"]]:
    """Timestamps (s) and T_world_camera; raises InputError for anything else than 8 numbers a line."""
    table = read_table(path, (8,), "timestamp tx ty tz qx qy qz qw")
    q = torch.from_numpy(table[:, 4:].copy())
    if (q.norm(dim=-1) < 1e-6).any():
        raise InputError(f"{path} holds a quaternion of length 0, which is no rotation")
    return table[:, 0].copy(), se3(quaternion_to_rotation(q), torch.from_numpy(table[:, 1:4].copy())).numpy()


def write(path: str | Path, timestamps: Float64[np.ndarray, "F"], T_world_camera: Float64[np.ndarray, "F 4 4"]) -> None:
    """One line a frame; timestamps in s."""
    q = rotation_to_quaternion(torch.from_numpy(T_world_camera[:, :3, :3].copy())).numpy()
    write_table(path, np.hstack([timestamps[:, None], T_world_camera[:, :3, 3], q]), digits=15)
