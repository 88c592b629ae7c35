"""What a world is made from: a few numbers, from which every other number is drawn."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from epipole.types.errors import InputError

MOTIONS = ("default", "handheld", "drive", "drone", "orbit", "rotation", "static")


def _refuse(problems: dict[str, bool]) -> None:
    if wrong := [text for text, failed in problems.items() if failed]:
        raise InputError(f"no world can be made from this spec: {'; '.join(wrong)}")


@dataclass(frozen=True)
class Sensor:
    """What a real camera does to an image; as it stands here it does nothing, which is the exact mode."""

    noise: float = 0.0
    """Standard deviation of the read noise, full range = 1."""
    full_well: float = 0.0
    """Electrons at full range: photons then come at random (Poisson); 0: no shot noise."""
    exposure: float = 0.0
    """Standard deviation of the step that the exposure's logarithm takes from frame to frame."""
    vignetting: float = 0.0
    """Share of the light that is lost in the corners."""
    blur: float = 0.0
    """Share of the time between frames for which the shutter is open."""
    rolling: float = 0.0
    """Share of the time between frames from the first row's exposure to the last row's."""
    jpeg: int = 0
    """Quality of the JPEG that the image passes through; 0: none."""

    def __post_init__(self) -> None:
        _refuse({
            "noise must lie between 0 and 0.5": not 0 <= self.noise <= 0.5,
            "full_well and exposure must not be negative": not min(self.full_well, self.exposure) >= 0,
            "vignetting, blur and rolling must lie between 0 and 1":
                not all(0 <= x <= 1 for x in (self.vignetting, self.blur, self.rolling)),
            "jpeg must lie between 0 and 100": not 0 <= self.jpeg <= 100,
        })


TYPICAL = Sensor(noise=0.006, full_well=10_000.0, exposure=0.02, vignetting=0.25, blur=0.3, rolling=0.3, jpeg=90)
"""About what a phone does."""


@dataclass(frozen=True)
class Spec:
    """One clip of one procedural world; the same spec gives the same bits, on any number of workers.

    Raises InputError for a value that no world can be made from.
    """

    family: str = "room"
    """Kind of world."""
    difficulty: int = 1
    """From 0 (little in it, textured, evenly lit) to 3 (crowded, bare and shining surfaces, hard light, fast)."""
    seed: int = 0
    scene: int = 0
    """Number of the scene within the seed."""
    textures: int = 0
    """Another number dresses the same geometry in other materials."""
    frames: int = 160
    width: int = 192
    height: int = 144
    fov: float = 62.0
    """Horizontal field of view, degrees, of the camera without its distortion."""
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    """k1, k2, p1, p2, k3 of the lens (Brown 1966)."""
    baseline: float = 0.12
    """From the left camera of a stereo pair to the right one, m."""
    fps: float = 30.0
    """Frames a second."""
    motion: str = "default"
    """handheld, drive, drone, orbit, rotation (about a fixed centre) or static; default: the family's own."""
    speed: float = 3.0
    """Median displacement of the image between neighbouring frames, px at a width of 160."""
    histogram: tuple[float, ...] = ()
    """Displacements at evenly spaced quantiles, px at a width of 160: the frames follow them in place of `speed`."""
    smooth: float = 0.0
    """Seconds in which the pace may change: 0 keeps every frame's displacement, 0.5 is how bodies move (for an IMU)."""
    sensor: Sensor = Sensor()

    def __post_init__(self) -> None:
        _refuse({
            "seed, scene and textures must not be negative": min(self.seed, self.scene, self.textures) < 0,
            "difficulty must be 0, 1, 2 or 3": self.difficulty not in range(4),
            "frames must be at least 1": self.frames < 1,
            "width and height must be at least 16": min(self.width, self.height) < 16,
            "fov must lie between 10 and 140 degrees": not 10 <= self.fov <= 140,
            "distortion must be five finite numbers":
                len(self.distortion) != 5 or not bool(np.isfinite(self.distortion).all()),
            "baseline must lie between 0.001 and 10 m": not 0.001 <= self.baseline <= 10,
            "fps must lie between 1 and 1000": not 1 <= self.fps <= 1000,
            f"motion must be one of {', '.join(MOTIONS)}": self.motion not in MOTIONS,
            "speed must lie between 0.1 and 20 px": not 0.1 <= self.speed <= 20,
            "smooth must lie between 0 and 100 s": not 0 <= self.smooth <= 100,
            "histogram must rise from at least 0.1 to at most 40 px": not _rises(self.histogram, 0.1, 40.0),
        })

    def to_yaml(self) -> str:
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return yaml.safe_dump(values, sort_keys=False)

    @classmethod
    def from_yaml(cls, source: str | Path) -> Spec:
        """The spec in a YAML text, or in a file where `source` is a Path; raises InputError if it holds none."""
        try:
            values = yaml.safe_load(source.read_text() if isinstance(source, Path) else source)
            return _read(cls, values)
        except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
            name = source if isinstance(source, Path) else "this"
            raise InputError(f"{name} is not the spec of a world, as `epipole world` writes it: {error!r}") from error

    def random(self, purpose: str, *numbers: int) -> np.random.Generator:
        """The generator for one purpose (and frame, or attempt): independent of every other, and of their order."""
        key = (zlib.crc32(self.family.encode()), self.scene, zlib.crc32(purpose.encode()), *numbers)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def intrinsics(self) -> np.ndarray:
        """K [3, 3] with the principal point in the middle of the image, px."""
        f = self.width / 2 / np.tan(np.radians(self.fov) / 2)
        return np.array([[f, 0, (self.width - 1) / 2], [0, f, (self.height - 1) / 2], [0, 0, 1]])


def _rises(values: tuple[float, ...], low: float, high: float) -> bool:
    """Whether the values never fall and lie within the bounds; no values do."""
    return not values or (low <= values[0] and values[-1] <= high and sorted(values) == list(values))


def _read(cls: type[Any], values: dict[str, Any]) -> Any:
    """A dataclass from plain values, each made to be of the kind of its default."""
    kinds = {f.name: f.default for f in fields(cls)}
    return cls(**{name: _like(kinds[name], value) for name, value in values.items()})


def _like(default: Any, value: Any) -> Any:
    if isinstance(default, Sensor):
        return _read(Sensor, value)
    if isinstance(default, tuple):
        return tuple(float(x) for x in value)
    return type(default)(value)
