"""COLMAP's text model: one PINHOLE camera, images without 2-D points, coloured 3-D points without tracks.

COLMAP puts (0, 0) at the corner of the top-left pixel, we at its centre: their principal point is ours + 0.5. Its
poses map world to camera.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, UInt8

from ..geometry.motion import quaternion_to_rotation, rotation_to_quaternion, se3, se3_inverse
from ..types.errors import InputError
from .atomic import make_folder, replacing

HALF = 0.5  # pixel


class Model(NamedTuple):
    """What a text model holds, in our conventions."""

    K: Float64[np.ndarray, "3 3"]
    width: int
    height: int
    names: list[str]
    T_world_camera: Float64[np.ndarray, "F 4 4"]
    points: Float64[np.ndarray, "P 3"]
    colors: UInt8[np.ndarray, "P 3"]


def write_model(
    folder: str | Path,
    K: Float64[np.ndarray, "3 3"],
    width: int,
    height: int,
    names: list[str],
    T_world_camera: Float64[np.ndarray, "F 4 4"],
    points: Float64[np.ndarray, "P 3"],
    colors: UInt8[np.ndarray, "P 3"],
) -> None:
    """Writes cameras.txt, images.txt and points3D.txt, which `colmap model_converter` and pycolmap read."""
    folder = make_folder(folder)
    camera = [K[0, 0], K[1, 1], K[0, 2] + HALF, K[1, 2] + HALF]
    _write(folder / "cameras.txt", [f"1 PINHOLE {width} {height} {_row(camera)}"])
    T = se3_inverse(torch.from_numpy(T_world_camera.copy()))
    q = rotation_to_quaternion(T[:, :3, :3]).roll(1, -1).numpy()  # w first
    t = T[:, :3, 3].numpy()
    _write(folder / "images.txt", [f"{i} {_row([*q[i - 1], *t[i - 1]])} 1 {name}\n" for i, name in enumerate(names, 1)])
    _write(folder / "points3D.txt", [
        f"{i} {x:.7g} {y:.7g} {z:.7g} {r} {g} {b} 0"
        for i, ((x, y, z), (r, g, b)) in enumerate(zip(points.tolist(), colors.tolist(), strict=True), 1)
    ])


def _row(numbers: list[float]) -> str:
    return " ".join(f"{number:.15g}" for number in numbers)


def _write(path: Path, lines: list[str]) -> None:
    with replacing(path) as part:
        part.write_text("".join(line + "\n" for line in lines))


def read_model(folder: str | Path) -> Model:
    """Reads what `write_model` writes; raises InputError for models with several cameras or lenses."""
    folder = Path(folder)
    cameras = _lines(folder / "cameras.txt")
    if len(cameras) != 1 or cameras[0].split()[1] != "PINHOLE":
        raise InputError(f"{folder} holds {len(cameras)} cameras; only models of one PINHOLE camera can be read")
    width, height, fx, fy, cx, cy = map(float, cameras[0].split()[2:])
    images = [line.split(maxsplit=9) for line in _lines(folder / "images.txt")]
    pose = torch.tensor([[float(x) for x in words[1:8]] for words in images], dtype=torch.float64).reshape(-1, 7)
    T = se3_inverse(se3(quaternion_to_rotation(pose[:, :4].roll(-1, -1)), pose[:, 4:])).numpy()
    points = [line.split()[1:7] for line in _lines(folder / "points3D.txt")]
    table = np.array(points, dtype=np.float64).reshape(-1, 6)
    K = np.array([[fx, 0, cx - HALF], [0, fy, cy - HALF], [0, 0, 1]])
    return Model(K, int(width), int(height), [w[9] for w in images], T, table[:, :3], table[:, 3:].astype(np.uint8))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
