"""COLMAP's cameras.txt: a line `id MODEL width height parameters` a camera.

COLMAP puts (0, 0) at the corner of the top-left pixel, we at its centre: their principal point is ours + 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..geometry.brown_conrady import BrownConrady
from ..geometry.fisheye import Fisheye
from ..geometry.lenses import Camera, Pinhole
from ..geometry.unified import ExtendedUnified, Unified
from ..types.errors import InputError
from .atomic import replacing
from .calibration import Calibration, Lens, build, numbers

HALF = 0.5  # pixel
MODELS: dict[str, tuple[int, Lens, tuple[str, ...]]] = {  # how many focal lengths, the lens, its parameters in order
    "SIMPLE_PINHOLE": (1, Pinhole, ()),
    "PINHOLE": (2, Pinhole, ()),
    "SIMPLE_RADIAL": (1, BrownConrady, ("k1",)),
    "RADIAL": (1, BrownConrady, ("k1", "k2")),
    "OPENCV": (2, BrownConrady, ("k1", "k2", "p1", "p2")),
    "FULL_OPENCV": (2, BrownConrady, ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")),
    "SIMPLE_RADIAL_FISHEYE": (1, Fisheye, ("k1",)),
    "RADIAL_FISHEYE": (1, Fisheye, ("k1", "k2")),
    "OPENCV_FISHEYE": (2, Fisheye, ("k1", "k2", "k3", "k4")),
    "EUCM": (2, ExtendedUnified, ("alpha", "beta")),
}


def read_cameras(path: str | Path) -> dict[int, Calibration]:
    """Cameras by their number. Raises InputError for models that are not in MODELS, and for FULL_OPENCV with
    coefficients beyond k3, which divide and have no place in BrownConrady."""
    cameras = {}
    for line in read_lines(Path(path)):
        try:
            number, model, width, height, *words = line.split()
            size, parameters = (int(width), int(height)), [float(word) for word in words]
            cameras[int(number)] = Calibration(_camera(model, parameters, f"{path}, camera {number}"), *size)
        except ValueError as error:
            raise InputError(f"{path} holds a line that is not `id MODEL width height parameters`: {line}") from error
    return cameras


def _camera(model: str, parameters: list[float], where: str) -> Camera:
    if model not in MODELS:
        raise InputError(f"{where} has the model {model}; only {', '.join(MODELS)} can be read")
    focals, lens, names = MODELS[model]
    if len(parameters) != focals + 2 + len(names):
        raise InputError(f"{where} has {len(parameters)} parameters; {model} has {focals + 2 + len(names)}")
    cx, cy, *coefficients = parameters[focals:]
    focal = (parameters[0], parameters[focals - 1])
    return build(lens, focal, (cx - HALF, cy - HALF), dict(zip(names, coefficients, strict=True)), where)


def write_cameras(path: str | Path, cameras: dict[int, Calibration], comment: str = "") -> None:
    """One line a camera, below the comment; unified cameras become EUCM, which COLMAP 4 reads."""
    write_lines(Path(path), [f"{number} {camera_line(*camera)}" for number, camera in cameras.items()], comment)


def camera_line(camera: Camera, width: int, height: int) -> str:
    """`MODEL width height parameters`; raises TypeError for a lens that COLMAP does not have."""
    (fx, fy, cx, cy), own = numbers(camera)
    match camera:
        case Pinhole():
            model = "PINHOLE"
        case BrownConrady():
            model = "FULL_OPENCV" if own[4] != 0 else "OPENCV"
            own = [*own, 0.0, 0.0, 0.0] if own[4] != 0 else own[:4]
        case Fisheye():
            model = "OPENCV_FISHEYE"
        case ExtendedUnified() | Unified():
            model, own = "EUCM", [*own, 1.0][:2]
        case _:
            raise TypeError(f"COLMAP has no model for {type(camera).__name__}")
    return f"{model} {width} {height} {row([fx, fy, cx + HALF, cy + HALF, *own])}"


def row(values: list[float]) -> str:
    """Numbers with all their digits, between spaces."""
    return " ".join(f"{value:.17g}" for value in values)


def write_lines(path: Path, lines: Iterable[str], comment: str = "") -> None:
    """A text file of these lines, below one of `comment` if there is any."""
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines([f"# {comment}\n"] if comment else [])
        file.writelines(line + "\n" for line in lines)


def read_lines(path: Path, empty: bool = False) -> list[str]:
    """The lines that are no comment, and not empty unless `empty` says so; raises InputError for what is not a text
    file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file") from error
    return [line for line in text.splitlines() if (empty or line.strip()) and not line.startswith("#")]
