"""What a file says of one camera, whichever program wrote it."""

from __future__ import annotations

from pathlib import Path

from ..geometry.lenses import resize
from ..types.errors import InputError
from . import kitti
from .calibration import Calibration, pinhole
from .colmap_cameras import read_cameras, read_lines
from .nerfstudio import read_transforms
from .opencv_yaml import read_calibration

SAME_SHAPE = 0.01   # by which aspect ratios may differ and still be those of one picture in two sizes


def read_camera(path: str | Path, width: int, height: int) -> Calibration:
    """The camera of images of this size, from a calibration of OpenCV or ROS (.yaml), a transforms.json, COLMAP's
    cameras.txt with one camera, or the 3x3 matrix K, which says nothing of the images' size and is taken as it is; the
    others are resized.

    Raises InputError for what is none of them, and for a camera of images of another shape.
    """
    path = Path(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        read = read_calibration(path)
    elif path.suffix.lower() == ".json":
        read = read_transforms(path).calibration
    elif _names_a_model(path):
        read = _only(path)
    else:
        return pinhole(kitti.read_intrinsics(path), width, height)
    return in_size(read, width, height, str(path))


def in_size(known: Calibration, width: int, height: int, where: str) -> Calibration:
    """The same camera of images in another size; raises InputError, saying `where`, where they have another shape."""
    x, y = width / known.width, height / known.height
    if abs(x / y - 1) > SAME_SHAPE:
        raise InputError(f"{where} describes a camera of images of {known.width}x{known.height}, and these are "
                         f"{width}x{height}: calibrate the camera as it takes them")
    return Calibration(resize(known.camera, x, y), width, height)


def _names_a_model(path: Path) -> bool:
    """Whether lines are like COLMAP's, with a name where a matrix has a number."""
    return any(word.isidentifier() for line in read_lines(path) for word in line.split()[1:2])


def _only(path: Path) -> Calibration:
    cameras = read_cameras(path)
    if len(cameras) != 1:
        raise InputError(f"{path} holds {len(cameras)} cameras; leave the one that took the footage")
    return next(iter(cameras.values()))
