"""COLMAP's binary model: cameras.bin, images.bin with the points they see, points3D.bin with tracks. Little endian; ids
count from 1, points of an image from 0, and (0, 0) is the corner of the top-left pixel."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8

from ..geometry.motion import rotation_to_quaternion, se3_inverse
from ..types.errors import InputError
from .atomic import make_folder, replacing
from .calibration import Calibration
from .colmap_cameras import HALF, camera_line

FILES = ("cameras.bin", "images.bin", "points3D.bin")
MODELS = {"PINHOLE": 1, "OPENCV": 4, "OPENCV_FISHEYE": 5, "FULL_OPENCV": 6}
UNKNOWN = -1.0  # reprojection error of a point, in COLMAP's words
SEEN = np.dtype([("xy", "<f8", 2), ("point", "<i8")])
IMAGE, POINT = "<I7dI", "<Q3d3Bd"


class Observations(NamedTuple):
    """Which image sees which point where; all counted from 0, pixel (0, 0) a centre."""

    image: Int64[np.ndarray, "o"]
    point: Int64[np.ndarray, "o"]
    pixel: Float32[np.ndarray, "o 2"]


def write_model(
    folder: str | Path,
    calibration: Calibration,
    names: list[str],
    T_world_camera: Float64[np.ndarray, "F 4 4"],
    points: Float64[np.ndarray, "P 3"],
    colors: UInt8[np.ndarray, "P 3"],
    seen: Observations,
) -> None:
    """Writes the three files, which pycolmap and COLMAP prefer to the text beside them. Raises TypeError for a lens
    without a number in COLMAP 3."""
    folder = make_folder(folder)
    order = np.lexsort((seen.point, seen.image))
    seen = Observations(seen.image[order], seen.point[order], seen.pixel[order])
    starts = np.searchsorted(seen.image, np.arange(len(names) + 1))
    _write(folder / FILES[0], [_camera(calibration)])
    _write(folder / FILES[1], _images(names, T_world_camera, seen, starts))
    _write(folder / FILES[2], _points(points, colors, seen, seen_as=np.arange(len(seen.image)) - starts[seen.image]))


def _write(path: Path, entries: list[bytes]) -> None:
    with replacing(path) as part, part.open("wb") as file:
        file.write(struct.pack("<Q", len(entries)))
        file.writelines(entries)


def _camera(calibration: Calibration) -> bytes:
    model, width, height, *parameters = camera_line(*calibration).split()
    if model not in MODELS:
        raise TypeError(f"COLMAP's binary model has no number for {model}")
    return struct.pack(f"<IiQQ{len(parameters)}d", 1, MODELS[model], int(width), int(height), *map(float, parameters))


def _images(
    names: list[str], T_world_camera: Float64[np.ndarray, "F 4 4"], seen: Observations, starts: Int64[np.ndarray, "n"]
) -> list[bytes]:
    T = se3_inverse(torch.from_numpy(T_world_camera.copy()))
    q = rotation_to_quaternion(T[:, :3, :3]).roll(1, -1).tolist()  # w first
    entries = []
    for i, (name, q_i, t_i) in enumerate(zip(names, q, T[:, :3, 3].tolist(), strict=True)):
        mine = slice(starts[i], starts[i + 1])
        rows = np.empty(starts[i + 1] - starts[i], SEEN)
        rows["xy"], rows["point"] = seen.pixel[mine].astype(np.float64) + HALF, seen.point[mine] + 1
        head = struct.pack(IMAGE, i + 1, *q_i, *t_i, 1)
        entries.append(head + name.encode() + b"\0" + struct.pack("<Q", len(rows)) + rows.tobytes())
    return entries


def _points(
    points: Float64[np.ndarray, "P 3"], colors: UInt8[np.ndarray, "P 3"], seen: Observations,
    seen_as: Int64[np.ndarray, "o"],
) -> list[bytes]:
    order = np.argsort(seen.point, kind="stable")
    track = np.stack([seen.image[order] + 1, seen_as[order]], 1).astype("<u4")
    starts = np.searchsorted(seen.point[order], np.arange(len(points) + 1))
    return [struct.pack(POINT, i + 1, *xyz, *rgb, UNKNOWN) + struct.pack("<Q", starts[i + 1] - starts[i])
            + track[starts[i] : starts[i + 1]].tobytes()
            for i, (xyz, rgb) in enumerate(zip(points.tolist(), colors.tolist(), strict=True))]


def rescaled(name: str, data: bytes, factor: float) -> bytes:
    """The bytes of one of the files with all lengths times `factor`. Raises InputError for what is cut off."""
    if name == FILES[0]:
        return data
    out = bytearray(data)
    try:
        at = 8
        for _ in range(struct.unpack_from("<Q", data)[0]):
            at = _image(out, at, factor) if name == FILES[1] else _point(out, at, factor)
        if at != len(data):
            raise ValueError(f"it holds {len(data)} bytes, not {at}")
    except (struct.error, ValueError) as error:
        raise InputError(f"{name} is cut off; run the same `epipole mesh` again") from error
    return bytes(out)


def _image(out: bytearray, at: int, factor: float) -> int:
    """Scales the translation of the image at this place, and returns the next one's."""
    t = struct.unpack_from("<3d", out, at + 36)
    struct.pack_into("<3d", out, at + 36, *(factor * x for x in t))
    end = out.index(b"\0", at + struct.calcsize(IMAGE)) + 1
    return end + 8 + SEEN.itemsize * struct.unpack_from("<Q", out, end)[0]


def _point(out: bytearray, at: int, factor: float) -> int:
    xyz = struct.unpack_from("<3d", out, at + 8)
    struct.pack_into("<3d", out, at + 8, *(factor * x for x in xyz))
    end = at + struct.calcsize(POINT)
    return end + 8 + 8 * struct.unpack_from("<Q", out, end)[0]
