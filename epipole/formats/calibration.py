"""What a calibration file says: a camera, and the size of its image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64

from ..geometry.brown_conrady import BrownConrady
from ..geometry.camera import intrinsics
from ..geometry.fisheye import Fisheye
from ..geometry.lenses import Camera, Pinhole
from ..geometry.unified import ExtendedUnified
from ..types.errors import InputError

Lens = type[Pinhole] | type[BrownConrady] | type[Fisheye] | type[ExtendedUnified]
LENSES: dict[str, Lens] = {lens.__name__: lens for lens in (Pinhole, BrownConrady, Fisheye, ExtendedUnified)}


class Calibration(NamedTuple):
    """In our conventions: pixel (0, 0) is a centre; parameters are float64 tensors without batch."""

    camera: Camera
    width: int
    height: int

    @property
    def K(self) -> Float64[np.ndarray, "3 3"]:
        return self.camera.K.detach().double().numpy()


def pinhole(K: Float64[np.ndarray, "3 3"], width: int, height: int) -> Calibration:
    """A camera without a lens."""
    return Calibration(Pinhole(torch.from_numpy(K.copy())), width, height)


def build(
    lens: Lens, focal: tuple[float, float], centre: tuple[float, float], coefficients: dict[str, float], where: str
) -> Camera:
    """The camera with these coefficients by name, the others 0; raises InputError, saying `where`, for those that the
    model does not have and that are not 0, and for what is no camera."""
    if not (min(focal) > 0 and np.isfinite([*focal, *centre, *coefficients.values()]).all()):
        raise InputError(f"{where}: focal lengths must be above 0, and every number finite")
    names = lens._fields[1:]
    if extra := [name for name, value in coefficients.items() if name not in names and value != 0]:
        raise InputError(f"{where}: the coefficient {extra[0]} has no place in the model {lens.__name__}; calibrate "
                         f"the camera with {', '.join(names) or 'no distortion'} alone")
    values = (torch.tensor(float(coefficients.get(name, 0)), dtype=torch.float64) for name in names)
    return lens(intrinsics(float(focal[0]), float(focal[1]), float(centre[0]), float(centre[1])), *values)


def perspective_lens(coefficients: Iterable[float]) -> Lens:
    """No lens where no coefficient bends."""
    return BrownConrady if any(value != 0 for value in coefficients) else Pinhole


def numbers(camera: Camera) -> tuple[list[float], list[float]]:
    """fx, fy, cx, cy, and the lens' parameters in the order of its fields."""
    K = camera.K
    own = [float(getattr(camera, name)) for name in camera._fields[1:]]
    return [float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])], own


def as_words(calibration: Calibration) -> dict[str, Any]:
    """All that the calibration says, by name; `from_words` reads it."""
    focal_and_centre, own = numbers(calibration.camera)
    return {"model": type(calibration.camera).__name__, "width": calibration.width, "height": calibration.height,
            **dict(zip(("fx", "fy", "cx", "cy"), focal_and_centre, strict=True)),
            **dict(zip(calibration.camera._fields[1:], own, strict=True))}


def from_words(words: Mapping[str, Any], where: str) -> Calibration:
    """Raises InputError, saying `where`, for what is no camera of ours."""
    try:
        lens = LENSES[words["model"]]
        fx, fy, cx, cy = (float(words[name]) for name in ("fx", "fy", "cx", "cy"))
        own = {name: float(words[name]) for name in lens._fields[1:]}
        return Calibration(build(lens, (fx, fy), (cx, cy), own, where), int(words["width"]), int(words["height"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: this is not a camera that can be read ({error!r})") from error
