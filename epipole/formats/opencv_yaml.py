"""Calibration files of OpenCV, as its calibration sample writes them: image_width, image_height, camera_matrix and
distortion_coefficients, with fisheye_model 1 for `cv::fisheye`. Pixels are as ours; (0, 0) is a centre."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ..geometry.brown_conrady import BrownConrady
from ..geometry.fisheye import Fisheye
from ..geometry.lenses import Pinhole
from ..types.errors import InputError
from .atomic import replacing
from .calibration import Calibration, build, numbers, perspective_lens

PLAIN = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6", "s1", "s2", "s3", "s4", "tx", "ty")  # OpenCV's order
WIDE = ("k1", "k2", "k3", "k4")
DISTORTION = "distortion_coefficients"


class _Loader(yaml.SafeLoader):
    """Knows the tag that OpenCV gives its matrices."""

    def matrix(self, node: yaml.MappingNode) -> dict[Any, Any]:
        return self.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _Loader.matrix)


def read_calibration(path: str | Path) -> Calibration:
    """Raises InputError for what is missing, and for coefficients that our models do not have (rational, thin prism,
    tilt) unless they are 0. ROS' camera_info files have the same fields and can be read too."""
    try:
        content = _content(Path(path).read_text())
        (fx, _, cx, _, fy, cy, *_), coefficients = _data(content["camera_matrix"]), _data(content[DISTORTION])
        width, height = int(content["image_width"]), int(content["image_height"])
        wide = bool(content.get("fisheye_model", 0)) or content.get("distortion_model") == "equidistant"
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a calibration file of OpenCV with image_width, image_height, camera_matrix "
                         f"and {DISTORTION} ({error})") from error
    if len(coefficients) > len(PLAIN):
        raise InputError(f"{path} holds {len(coefficients)} {DISTORTION}; OpenCV knows at most {len(PLAIN)}")
    names = dict(zip(WIDE if wide else PLAIN, coefficients, strict=False))
    lens = Fisheye if wide else perspective_lens(coefficients)
    return Calibration(build(lens, (fx, fy), (cx, cy), names, str(path)), width, height)


def _content(text: str) -> Any:
    """YAML without OpenCV's first line, whose `%YAML:1.0` is not YAML."""
    lines = text.splitlines()
    return yaml.load("\n".join(lines[1:] if text.startswith("%YAML") else lines), _Loader)


def _data(matrix: dict[str, Any]) -> list[float]:
    return [float(value) for value in matrix["data"]]


def write_calibration(path: str | Path, calibration: Calibration) -> None:
    """A file that cv2.FileStorage reads; raises TypeError for a unified camera, which OpenCV's core does not have."""
    camera = calibration.camera
    if not isinstance(camera, Pinhole | BrownConrady | Fisheye):
        raise TypeError(f"OpenCV's calibration files have no model for {type(camera).__name__}")
    (fx, fy, cx, cy), own = numbers(camera)
    with replacing(path) as part:
        part.write_text("\n".join([
            "%YAML:1.0", "---", f"image_width: {calibration.width}", f"image_height: {calibration.height}",
            f"fisheye_model: {int(isinstance(camera, Fisheye))}",
            *_matrix("camera_matrix", 3, 3, [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]),
            *_matrix(DISTORTION, len(own) or 5, 1, own or [0.0] * 5), "",
        ]))


def _matrix(name: str, rows: int, columns: int, values: list[float]) -> list[str]:
    data = ", ".join(repr(value) for value in values)
    return [f"{name}: !!opencv-matrix", f"   rows: {rows}", f"   cols: {columns}", "   dt: d", f"   data: [ {data} ]"]
