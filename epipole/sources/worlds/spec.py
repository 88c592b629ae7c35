"""What a world is made from: a few numbers, from which every other number is drawn."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import yaml

from epipole.types.errors import InputError

MOTIONS = ("handheld", "rotation", "static")


@dataclass(frozen=True)
class Spec:
    """One clip of one procedural world; the same spec gives the same bits, on any number of workers.

    Raises InputError for a value that no world can be made from.
    """

    family: str = "room"
    """Kind of world."""
    seed: int = 0
    scene: int = 0
    """Number of the scene within the seed."""
    textures: int = 0
    """Another number dresses the same geometry in other materials."""
    frames: int = 160
    width: int = 192
    height: int = 144
    fov: float = 62.0
    """Horizontal field of view, degrees."""
    motion: str = "handheld"
    """handheld, rotation (about a fixed centre) or static."""
    speed: float = 3.0
    """Median displacement of the image between neighbouring frames, px at a width of 160."""
    noise: float = 0.0
    """Standard deviation of the sensor noise, full range = 1; 0 is the exact mode."""

    def __post_init__(self) -> None:
        problems = {
            "seed, scene and textures must not be negative": min(self.seed, self.scene, self.textures) < 0,
            "frames must be at least 1": self.frames < 1,
            "width and height must be at least 16": min(self.width, self.height) < 16,
            "fov must lie between 10 and 140 degrees": not 10 <= self.fov <= 140,
            f"motion must be one of {', '.join(MOTIONS)}": self.motion not in MOTIONS,
            "speed must lie between 0.1 and 20 px": not 0.1 <= self.speed <= 20,
            "noise must lie between 0 and 0.5": not 0 <= self.noise <= 0.5,
        }
        if wrong := [text for text, failed in problems.items() if failed]:
            raise InputError(f"no world can be made from this spec: {'; '.join(wrong)}")

    def to_yaml(self) -> str:
        return yaml.safe_dump(asdict(self), sort_keys=False)

    @classmethod
    def from_yaml(cls, source: str | Path) -> Spec:
        """The spec in a YAML text, or in a file where `source` is a Path; raises InputError if it holds none."""
        try:
            values = yaml.safe_load(source.read_text() if isinstance(source, Path) else source)
            kinds = {f.name: type(f.default) for f in fields(cls)}
            return cls(**{name: kinds[name](value) for name, value in values.items()})
        except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is not the spec of a world, write one with Spec().to_yaml(): {error!r}") from error

    def random(self, purpose: str, *numbers: int) -> np.random.Generator:
        """The generator for one purpose (and frame, or attempt): independent of every other, and of their order."""
        key = (zlib.crc32(self.family.encode()), self.scene, zlib.crc32(purpose.encode()), *numbers)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def intrinsics(self) -> np.ndarray:
        """K [3, 3] with the principal point in the middle of the image, px."""
        f = self.width / 2 / np.tan(np.radians(self.fov) / 2)
        return np.array([[f, 0, (self.width - 1) / 2], [0, f, (self.height - 1) / 2], [0, 0, 1]])
