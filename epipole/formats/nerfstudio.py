"""transforms.json of nerfstudio and instant-ngp.

Their cameras look along -z with y up (OpenGL), ours along z with y down; the world stays as it is. Their principal
point counts from the corner of the top-left pixel, ours from its centre.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from ..types.errors import InputError
from .atomic import replacing

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # its own inverse
HALF = 0.5  # pixel


class Transforms(NamedTuple):
    """What a transforms.json holds, in our conventions."""

    K: Float64[np.ndarray, "3 3"]
    width: int
    height: int
    names: list[str]
    T_world_camera: Float64[np.ndarray, "F 4 4"]


def write_transforms(
    path: str | Path,
    K: Float64[np.ndarray, "3 3"],
    width: int,
    height: int,
    names: list[str],
    T_world_camera: Float64[np.ndarray, "F 4 4"],
    cloud: str | None = None,
) -> None:
    """Writes one pinhole camera and a pose per image; `names` and `cloud` (a PLY) are paths relative to the file."""
    poses = T_world_camera @ OPENGL
    content: dict[str, Any] = {
        "camera_model": "OPENCV", "w": width, "h": height,
        "fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2] + HALF, "cy": K[1, 2] + HALF,
        "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0,
        "frames": [{"file_path": n, "transform_matrix": T.tolist()} for n, T in zip(names, poses, strict=True)],
    }
    if cloud is not None:
        content["ply_file_path"] = cloud
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1))


def read_transforms(path: str | Path) -> Transforms:
    """Reads a file with one camera for all frames; raises InputError for what is missing."""
    try:
        content = json.loads(Path(path).read_text())
        cx, cy = content["cx"] - HALF, content["cy"] - HALF
        K = np.array([[content["fl_x"], 0, cx], [0, content["fl_y"], cy], [0, 0, 1]])
        frames = content["frames"]
        poses = np.array([frame["transform_matrix"] for frame in frames], dtype=np.float64).reshape(-1, 4, 4) @ OPENGL
        return Transforms(K, int(content["w"]), int(content["h"]), [frame["file_path"] for frame in frames], poses)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a transforms.json with one camera for all frames ({error})") from error
