"""COLMAP's model as text: one camera, images with the points they see, coloured 3-D points with tracks. Its poses map
world to camera; ids count from 1, points of an image from 0, and (0, 0) is the corner of the top-left pixel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8

from ..geometry.motion import quaternion_to_rotation, rotation_to_quaternion, se3, se3_inverse
from ..types.errors import InputError
from .atomic import make_folder
from .calibration import Calibration
from .colmap_cameras import HALF, read_cameras, read_lines, row, write_cameras, write_lines

UNKNOWN = -1.0  # reprojection error of a point, in COLMAP's words


class Observations(NamedTuple):
    """Which image sees which point where; all counted from 0, pixel (0, 0) a centre."""

    image: Int64[np.ndarray, "o"]
    point: Int64[np.ndarray, "o"]
    pixel: Float32[np.ndarray, "o 2"]


UNSEEN = Observations(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2), np.float32))


class Model(NamedTuple):
    """What the files hold, in our conventions."""

    calibration: Calibration
    names: list[str]
    T_world_camera: Float64[np.ndarray, "F 4 4"]
    points: Float64[np.ndarray, "P 3"]
    colors: UInt8[np.ndarray, "P 3"]
    seen: Observations = UNSEEN


class Pose(NamedTuple):
    """World to camera, as the files have it."""

    q: Float64[np.ndarray, "F 4"]  # w first
    t: Float64[np.ndarray, "F 3"]


class Tracks(NamedTuple):
    """Observations by image and by point. `seen` is in the order of images; point p stands in `image[o]` as the
    `place[o]`th of its points, for o from `of_point[p]` to `of_point[p + 1]`."""

    seen: Observations
    of_image: Int64[np.ndarray, "F+1"]
    image: Int64[np.ndarray, "o"]
    place: Int64[np.ndarray, "o"]
    of_point: Int64[np.ndarray, "P+1"]


def pose(model: Model) -> Pose:
    """Of every image."""
    T = se3_inverse(torch.from_numpy(model.T_world_camera.copy()))
    return Pose(rotation_to_quaternion(T[:, :3, :3]).roll(1, -1).numpy(), T[:, :3, 3].numpy())


def tracks(model: Model) -> Tracks:
    """What both kinds of files say of observations, so that they say it alike."""
    order = np.lexsort((model.seen.point, model.seen.image))
    image, point, pixel = (x[order] for x in model.seen)
    of_image = np.searchsorted(image, np.arange(len(model.names) + 1))
    by_point = np.argsort(point, kind="stable")
    of_point = np.searchsorted(point[by_point], np.arange(len(model.points) + 1))
    place = np.arange(len(image)) - of_image[image]
    return Tracks(Observations(image, point, pixel), of_image, image[by_point], place[by_point], of_point)


def write_model(folder: str | Path, model: Model, comment: str = "") -> None:
    """Writes cameras.txt, images.txt and points3D.txt, which `colmap model_converter` and pycolmap read; `comment`
    heads each of them."""
    folder, found = make_folder(folder), tracks(model)
    write_cameras(folder / "cameras.txt", {1: model.calibration}, comment)
    write_lines(folder / "images.txt", _images(model, found), comment)
    write_lines(folder / "points3D.txt", _points(model, found), comment)


def _images(model: Model, found: Tracks) -> Iterator[str]:
    """Two lines each: the pose, and the points that are seen."""
    for i, (q, t, name) in enumerate(zip(*pose(model), model.names, strict=True)):
        yield f"{i + 1} {row([*q, *t])} 1 {name}"
        mine = slice(found.of_image[i], found.of_image[i + 1])
        x, y = (found.seen.pixel[mine].astype(np.float64) + HALF).T.tolist()
        ids = (found.seen.point[mine] + 1).tolist()
        yield " ".join(f"{u:.9g} {v:.9g} {p}" for u, v, p in zip(x, y, ids, strict=True))


def _points(model: Model, found: Tracks) -> Iterator[str]:
    for p, ((x, y, z), (r, g, b)) in enumerate(zip(model.points.tolist(), model.colors.tolist(), strict=True)):
        mine = slice(found.of_point[p], found.of_point[p + 1])
        track = "".join(f" {i + 1} {n}" for i, n in zip(found.image[mine].tolist(), found.place[mine].tolist(),
                                                        strict=True))
        yield f"{p + 1} {x:.9g} {y:.9g} {z:.9g} {r} {g} {b} {UNKNOWN:g}{track}"


def read_model(folder: str | Path) -> Model:
    """Reads what `write_model` writes; raises InputError for models with several cameras, and for what is cut off."""
    folder = Path(folder)
    cameras = read_cameras(folder / "cameras.txt")
    if len(cameras) != 1:
        raise InputError(f"{folder} holds {len(cameras)} cameras; only models of one camera can be read")
    (calibration,) = cameras.values()
    try:
        heads, seen = _read_images(read_lines(folder / "images.txt", empty=True))
        points = [line.split(maxsplit=7)[1:7] for line in read_lines(folder / "points3D.txt")]
        table = np.array(points, dtype=np.float64).reshape(-1, 6)
        posed = torch.tensor([[float(x) for x in words[1:8]] for words in heads], dtype=torch.float64).reshape(-1, 7)
        names = [words[9] for words in heads]
    except (ValueError, IndexError) as error:
        raise InputError(f"{folder} holds no model of COLMAP, or one that is cut off ({error})") from error
    T = se3_inverse(se3(quaternion_to_rotation(posed[:, :4].roll(-1, -1)), posed[:, 4:])).numpy()
    return Model(calibration, names, T, table[:, :3], table[:, 3:].astype(np.uint8), seen)


def _read_images(lines: list[str]) -> tuple[list[list[str]], Observations]:
    """The words of every image's first line, and what all second lines tell."""
    heads, tables = [line.split(maxsplit=9) for line in lines[::2]], []
    for i, line in enumerate(lines[1::2]):
        rows = np.array(line.split(), dtype=np.float64).reshape(-1, 3)
        tables.append(np.insert(rows, 0, i, axis=1))
    table = np.concatenate([np.zeros((0, 4)), *tables])
    pixel = (table[:, 1:3] - HALF).astype(np.float32)
    return heads, Observations(table[:, 0].astype(np.int64), table[:, 3].astype(np.int64) - 1, pixel)
