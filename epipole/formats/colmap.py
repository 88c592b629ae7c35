"""COLMAP's text model: one camera, images without 2-D points, coloured 3-D points without tracks. Its poses map world
to camera."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, UInt8

from ..geometry.motion import quaternion_to_rotation, rotation_to_quaternion, se3, se3_inverse
from ..types.errors import InputError
from .atomic import make_folder
from .calibration import Calibration
from .colmap_cameras import read_cameras, read_lines, row, write_cameras, write_lines


class Model(NamedTuple):
    """What a text model holds, in our conventions."""

    calibration: Calibration
    names: list[str]
    T_world_camera: Float64[np.ndarray, "F 4 4"]
    points: Float64[np.ndarray, "P 3"]
    colors: UInt8[np.ndarray, "P 3"]


def write_model(
    folder: str | Path,
    calibration: Calibration,
    names: list[str],
    T_world_camera: Float64[np.ndarray, "F 4 4"],
    points: Float64[np.ndarray, "P 3"],
    colors: UInt8[np.ndarray, "P 3"],
) -> None:
    """Writes cameras.txt, images.txt and points3D.txt, which `colmap model_converter` and pycolmap read."""
    folder = make_folder(folder)
    write_cameras(folder / "cameras.txt", {1: calibration})
    T = se3_inverse(torch.from_numpy(T_world_camera.copy()))
    q = rotation_to_quaternion(T[:, :3, :3]).roll(1, -1).numpy()  # w first
    t = T[:, :3, 3].numpy()
    poses = [row([*q_i, *t_i]) for q_i, t_i in zip(q, t, strict=True)]
    write_lines(folder / "images.txt", [f"{i} {pose} 1 {name}\n" for i, (pose, name)
                                        in enumerate(zip(poses, names, strict=True), 1)])
    write_lines(folder / "points3D.txt", [
        f"{i} {x:.7g} {y:.7g} {z:.7g} {r} {g} {b} 0"
        for i, ((x, y, z), (r, g, b)) in enumerate(zip(points.tolist(), colors.tolist(), strict=True), 1)
    ])


def read_model(folder: str | Path) -> Model:
    """Reads what `write_model` writes; raises InputError for models with several cameras."""
    folder = Path(folder)
    cameras = read_cameras(folder / "cameras.txt")
    if len(cameras) != 1:
        raise InputError(f"{folder} holds {len(cameras)} cameras; only models of one camera can be read")
    images = [line.split(maxsplit=9) for line in read_lines(folder / "images.txt")]
    pose = torch.tensor([[float(x) for x in words[1:8]] for words in images], dtype=torch.float64).reshape(-1, 7)
    T = se3_inverse(se3(quaternion_to_rotation(pose[:, :4].roll(-1, -1)), pose[:, 4:])).numpy()
    points = [line.split()[1:7] for line in read_lines(folder / "points3D.txt")]
    table = np.array(points, dtype=np.float64).reshape(-1, 6)
    (calibration,) = cameras.values()
    return Model(calibration, [w[9] for w in images], T, table[:, :3], table[:, 3:].astype(np.uint8))
