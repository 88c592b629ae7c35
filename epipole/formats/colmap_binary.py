"""COLMAP's model in binary, the same as `colmap` writes as text: cameras.bin, images.bin with the points they see,
points3D.bin with tracks. Little endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .atomic import make_folder, replacing
from .calibration import Calibration
from .colmap import UNKNOWN, Model, Tracks, pose, tracks
from .colmap_cameras import HALF, camera_line

MODELS = {"PINHOLE": 1, "OPENCV": 4, "OPENCV_FISHEYE": 5, "FULL_OPENCV": 6}
SEEN = np.dtype([("xy", "<f8", 2), ("point", "<i8")])
IMAGE, POINT = "<I7dI", "<Q3d3Bd"


def write_model(folder: str | Path, model: Model) -> None:
    """Writes the three files, which pycolmap and COLMAP prefer to the text beside them. Raises TypeError for a lens
    without a number in COLMAP 3."""
    folder, found = make_folder(folder), tracks(model)
    _write(folder / "cameras.bin", 1, iter([_camera(model.calibration)]))
    _write(folder / "images.bin", len(model.names), _images(model, found))
    _write(folder / "points3D.bin", len(model.points), _points(model, found))


def _write(path: Path, count: int, entries: Iterator[bytes]) -> None:
    with replacing(path) as part, part.open("wb") as file:
        file.write(struct.pack("<Q", count))
        file.writelines(entries)


def _camera(calibration: Calibration) -> bytes:
    model, width, height, *parameters = camera_line(*calibration).split()
    if model not in MODELS:
        raise TypeError(f"COLMAP's binary model has no number for {model}")
    return struct.pack(f"<IiQQ{len(parameters)}d", 1, MODELS[model], int(width), int(height), *map(float, parameters))


def _images(model: Model, found: Tracks) -> Iterator[bytes]:
    for i, (q, t, name) in enumerate(zip(*pose(model), model.names, strict=True)):
        mine = slice(found.of_image[i], found.of_image[i + 1])
        rows = np.empty(mine.stop - mine.start, SEEN)
        rows["xy"], rows["point"] = found.seen.pixel[mine].astype(np.float64) + HALF, found.seen.point[mine] + 1
        yield struct.pack(IMAGE, i + 1, *q, *t, 1) + name.encode() + b"\0" + struct.pack("<Q", len(rows))
        yield rows.tobytes()


def _points(model: Model, found: Tracks) -> Iterator[bytes]:
    track = np.stack([found.image + 1, found.place], 1).astype("<u4")
    for p, (xyz, rgb) in enumerate(zip(model.points.tolist(), model.colors.tolist(), strict=True)):
        mine = track[found.of_point[p] : found.of_point[p + 1]]
        yield struct.pack(POINT, p + 1, *xyz, *rgb, UNKNOWN) + struct.pack("<Q", len(mine)) + mine.tobytes()
