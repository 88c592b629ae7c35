"""TUM: a path is a text file of lines `timestamp tx ty tz qx qy qz qw`, camera to world (RGB-D and monocular sets); a
camera.txt is the geometric calibration of the monocular set and of DSO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from ..geometry.brown_conrady import BrownConrady
from ..geometry.fisheye import Fisheye
from ..geometry.lenses import Pinhole
from ..geometry.motion import quaternion_to_rotation, rotation_to_quaternion, se3
from ..types.errors import InputError
from .atomic import replacing
from .calibration import Calibration, Lens, build, numbers
from .numbers import read_table, write_table

MODELS: dict[str, tuple[Lens, tuple[str, ...]]] = {
    "Pinhole": (Pinhole, ("omega",)),
    "RadTan": (BrownConrady, ("k1", "k2", "p1", "p2")),
    "EquiDistant": (Fisheye, ("k1", "k2", "k3", "k4")),
    "KannalaBrandt": (Fisheye, ("k1", "k2", "k3", "k4")),
}
UNNAMED = {5: "Pinhole", 8: "RadTan"}  # the model of a first line without a name, by how many numbers it has


def read(path: str | Path) -> tuple[Float64[np.ndarray, "F"], Float64[np.ndarray, "F 4 4"]]:
    """Timestamps (s) and T_world_camera; raises InputError for anything else than 8 numbers a line."""
    table = read_table(path, (8,), "timestamp tx ty tz qx qy qz qw")
    q = torch.from_numpy(table[:, 4:].copy())
    if (q.norm(dim=-1) < 1e-6).any():
        raise InputError(f"{path} holds a quaternion of length 0, which is no rotation")
    return table[:, 0].copy(), se3(quaternion_to_rotation(q), torch.from_numpy(table[:, 1:4].copy())).numpy()


def write(
    path: str | Path, timestamps: Float64[np.ndarray, "F"], T_world_camera: Float64[np.ndarray, "F 4 4"],
    comment: str = "",
) -> None:
    """One line a frame, below the comment if there is any; timestamps in s."""
    q = rotation_to_quaternion(torch.from_numpy(T_world_camera[:, :3, :3].copy())).numpy()
    write_table(path, np.hstack([timestamps[:, None], T_world_camera[:, :3, 3], q]), digits=15, comment=comment)


def read_calibration(path: str | Path) -> Calibration:
    """The camera of the images as they were recorded; how DSO is to rectify them (third and fourth line) is ignored.

    Principal points below 1 are shares of the image's size, counted from the corner of the top-left pixel, as are the
    focal lengths with them; else all four are entries of K. Raises InputError for the FOV model and for what is no
    such file.
    """
    try:
        first, second, *_ = Path(path).read_text().splitlines()
        words, (width, height) = first.split(), map(int, second.split())
        model = UNNAMED.get(len(words), "") if _is_number(words[0]) else words.pop(0)
        lens, names = MODELS[model]
        fx, fy, cx, cy, *coefficients = map(float, words)
        given = dict(zip(names, coefficients, strict=True))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path} is not a camera.txt of one of the models {', '.join(MODELS)} ({error})") from error
    if cx < 1 and cy < 1:
        fx, fy, cx, cy = fx * width, fy * height, cx * width - 0.5, cy * height - 0.5
    return Calibration(build(lens, (fx, fy), (cx, cy), given, str(path)), width, height)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def write_calibration(path: str | Path, calibration: Calibration) -> None:
    """In shares of the image's size, to be cropped to the same size; raises TypeError for lenses that the format lacks
    and ValueError for a k3, which it lacks too."""
    camera, width, height = calibration
    (fx, fy, cx, cy), own = numbers(camera)
    names = {Pinhole: "Pinhole", BrownConrady: "RadTan", Fisheye: "EquiDistant"}
    if type(camera) not in names:
        raise TypeError(f"camera.txt has no model for {type(camera).__name__}")
    if isinstance(camera, BrownConrady) and own.pop() != 0:
        raise ValueError("camera.txt has no place for k3")
    shares = [fx / width, fy / height, (cx + 0.5) / width, (cy + 0.5) / height, *(own or [0.0])]
    line = " ".join(f"{value:.17g}" for value in shares)
    with replacing(path) as part:
        part.write_text(f"{names[type(camera)]} {line}\n{width} {height}\ncrop\n{width} {height}\n")
