"""transforms.json of nerfstudio and instant-ngp.

Their cameras look along -z with y up (OpenGL), ours along z with y down; the world stays as it is. Their principal
point counts from the corner of the top-left pixel, ours from its centre. Lenses are OPENCV (k1 k2 p1 p2 k3) and
OPENCV_FISHEYE (k1 to k4).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from ..geometry.brown_conrady import BrownConrady
from ..geometry.fisheye import Fisheye
from ..geometry.lenses import Camera, Pinhole
from ..types.errors import InputError
from .atomic import replacing
from .calibration import Calibration, Lens, build, numbers, perspective_lens

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # its own inverse
HALF = 0.5  # pixel
COEFFICIENTS = ("k1", "k2", "k3", "k4", "p1", "p2")
PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")


class Transforms(NamedTuple):
    """What a transforms.json holds, in our conventions."""

    calibration: Calibration
    names: list[str]
    T_world_camera: Float64[np.ndarray, "F 4 4"]


def write_transforms(
    path: str | Path,
    calibration: Calibration,
    names: list[str],
    T_world_camera: Float64[np.ndarray, "F 4 4"],
    cloud: str | None = None,
    comment: str = "",
) -> None:
    """Writes one camera and a pose per image; `names` and `cloud` (a PLY) are paths relative to the file. `comment` is
    an entry that nobody looks for.

    Raises TypeError for a unified camera, which the format does not have.
    """
    poses = T_world_camera @ OPENGL
    content: dict[str, Any] = {"comment": comment} if comment else {}
    content |= {
        "w": calibration.width, "h": calibration.height, **_camera_fields(calibration.camera),
        "frames": [{"file_path": n, "transform_matrix": T.tolist()} for n, T in zip(names, poses, strict=True)],
    }
    if cloud is not None:
        content["ply_file_path"] = cloud
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1))


def _camera_fields(camera: Camera) -> dict[str, Any]:
    if not isinstance(camera, Pinhole | BrownConrady | Fisheye):
        raise TypeError(f"transforms.json has no model for {type(camera).__name__}")
    (fx, fy, cx, cy), own = numbers(camera)
    model = "OPENCV_FISHEYE" if isinstance(camera, Fisheye) else "OPENCV"
    coefficients = dict(zip(camera._fields[1:], own, strict=True)) or dict.fromkeys(("k1", "k2", "p1", "p2"), 0.0)
    return {"camera_model": model, "fl_x": fx, "fl_y": fy, "cx": cx + HALF, "cy": cy + HALF, **coefficients}


def read_transforms(path: str | Path) -> Transforms:
    """Reads a file with one camera for all frames; raises InputError for what is missing, and for lenses or
    coefficients that are not among ours unless they are 0."""
    try:
        content = json.loads(Path(path).read_text())
        camera = _camera(content, str(path))
        frames = content["frames"]
        poses = np.array([frame["transform_matrix"] for frame in frames], dtype=np.float64).reshape(-1, 4, 4) @ OPENGL
        calibration = Calibration(camera, int(content["w"]), int(content["h"]))
        return Transforms(calibration, [frame["file_path"] for frame in frames], poses)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a transforms.json with one camera for all frames ({error})") from error


def _camera(content: dict[str, Any], where: str) -> Camera:
    model = content.get("camera_model", "OPENCV")
    if model not in (*PERSPECTIVE, "OPENCV_FISHEYE"):
        raise InputError(f"{where} has the camera model {model}; only {', '.join(PERSPECTIVE)} and OPENCV_FISHEYE can "
                         f"be read")
    given = {name: float(content[name]) for name in COEFFICIENTS if name in content}
    lens: Lens = Fisheye if model == "OPENCV_FISHEYE" else perspective_lens(given.values())
    centre = (float(content["cx"]) - HALF, float(content["cy"]) - HALF)
    return build(lens, (float(content["fl_x"]), float(content["fl_y"])), centre, given, where)
