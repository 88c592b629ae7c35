"""Digits as they are written by hand: strokes of a pen, bent, slanted and of any thickness."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from epipole.types.errors import InputError
from epipole.types.views import Views

from ..meshes import Array
from ..spec import Spec
from .strokes import Stroke, arc, ink


def _path(*points: tuple[float, float]) -> Array:
    return np.array(points, float)


def _joined(*parts: Array) -> Array:
    return np.concatenate(parts)


WRITTEN: tuple[tuple[tuple[Array, ...], ...], ...] = (
    ((arc((0.0, 0.0), (0.6, 1.0), -90.0, 270.0, 24),),),
    ((_path((0.0, -1.0), (0.0, 1.0)),), (_path((-0.4, -0.55), (0.05, -1.0), (0.05, 1.0)),),
     (_path((-0.4, -0.55), (0.0, -1.0), (0.0, 1.0)), _path((-0.4, 1.0), (0.4, 1.0)))),
    ((_joined(arc((0.0, -0.45), (0.6, 0.55), -170.0, 30.0), _path((-0.6, 1.0), (0.65, 1.0))),),),
    ((_joined(arc((0.0, -0.5), (0.55, 0.5), -150.0, 90.0), arc((0.0, 0.5), (0.6, 0.5), -90.0, 150.0)),),
     (_joined(_path((-0.5, -1.0), (0.5, -1.0), (0.0, -0.2)), arc((0.0, 0.4), (0.6, 0.6), -80.0, 150.0)),)),
    ((_path((0.1, -1.0), (-0.65, 0.35), (0.65, 0.35)), _path((0.3, -0.3), (0.3, 1.0))),
     (_path((-0.5, -0.9), (-0.5, 0.1), (0.5, 0.1)), _path((0.5, -0.9), (0.5, 1.0)))),
    ((_joined(_path((0.55, -1.0), (-0.45, -1.0), (-0.5, -0.15)), arc((-0.05, 0.35), (0.6, 0.62), -125.0, 140.0)),),),
    ((_joined(arc((0.35, 0.1), (0.9, 1.1), -110.0, -180.0, 8), arc((0.0, 0.45), (0.55, 0.55), 180.0, -180.0, 20)),),),
    ((_path((-0.6, -1.0), (0.6, -1.0), (-0.15, 1.0)),),
     (_path((-0.6, -1.0), (0.6, -1.0), (0.0, 1.0)), _path((-0.35, 0.0), (0.45, 0.0)))),
    ((arc((0.0, -0.5), (0.48, 0.5), 90.0, 450.0, 20), arc((0.0, 0.5), (0.58, 0.5), -90.0, 270.0, 20)),),
    ((_joined(arc((0.0, -0.45), (0.52, 0.55), 0.0, -360.0, 20), _path((0.5, -0.4), (0.3, 1.0))),),
     (_joined(arc((0.0, -0.45), (0.52, 0.55), 0.0, -360.0, 20), arc((-0.1, 0.2), (0.62, 0.8), -20.0, 110.0, 8)),)),
)
"""For every digit the ways to write it, each a few strokes; x to the right, y down, both within about -1 to 1."""

BEND = (0.0, 0.06, 0.1, 0.14)      # standard deviation of the bending, of half a digit's height, by difficulty
SLANT = (0.0, 0.15, 0.3, 0.45)     # of the shear at most
TURN = (0.0, 6.0, 12.0, 20.0)      # degrees at most
SQUEEZE = (0.0, 0.1, 0.2, 0.3)     # share by which width and height change at most
SHIFT = (0.0, 0.04, 0.08, 0.12)    # of the image's sides at most
PEN = ((0.1, 0.1), (0.08, 0.13), (0.06, 0.16), (0.05, 0.18))  # of the image's height
NOISE = (0.0, 0.02, 0.08, 0.2)     # standard deviation, full range = 1


class Digits:
    """`digits[i]` is one digit [1 1 h w], bright on dark as in MNIST (28 x 28 px there), and its label, 0 to 9.

    Difficulty 0 is print; 3 is a scrawl with noise. Raises InputError for a spec of another family.
    """

    provides = frozenset({"image", "label"})

    def __init__(self, spec: Spec) -> None:
        if spec.family != "digits":
            raise InputError(f"Digits writes the family 'digits', not {spec.family!r}")
        self.spec = spec

    def __len__(self) -> int:
        return self.spec.frames

    def __getitem__(self, index: int) -> Views:
        s, i = self.spec, range(len(self))[index]
        rng, level = s.random("digits", i), self.spec.difficulty
        digit = int(rng.integers(10))
        strokes = written(digit, s.width, s.height, level, rng)
        image = ink(strokes, s.width, s.height, max(rng.uniform(*PEN[level]) * s.height, 1.0))
        image = image * rng.uniform(1 - 0.15 * level, 1) + NOISE[level] * rng.standard_normal(image.shape)
        tensor = torch.from_numpy(np.clip(image, 0, 1).astype(np.float32))[None, None]
        return Views(image=tensor, label=torch.tensor([digit]))


def written(digit: int, width: int, height: int, level: int, rng: np.random.Generator) -> list[Stroke]:
    """The strokes of one digit, px: each point moves with its neighbours, then all are slanted, squeezed and turned."""
    ways = WRITTEN[digit]
    way = ways[rng.integers(len(ways) if level else 1)]
    shear, angle = rng.uniform(-1, 1) * SLANT[level], np.radians(rng.uniform(-1, 1) * TURN[level])
    scale = 0.36 * height * (1 + rng.uniform(-1, 0.4, 2) * SQUEEZE[level])
    c, s = np.cos(angle), np.sin(angle)
    A = np.array([[c, -s], [s, c]]) @ np.array([[1, -shear], [0, 1]]) @ np.diag(scale)
    middle = (np.array([width, height]) - 1) / 2 + rng.uniform(-1, 1, 2) * SHIFT[level] * [width, height]
    waves, phases = rng.normal(size=(4, 2)) * 2.0, rng.uniform(0, 2 * np.pi, 4)
    bend = rng.normal(size=(4, 2)) * BEND[level]
    return [(p + np.sin(p @ waves.T + phases) @ bend) @ A.T + middle for p in map(finer, way)]


def finer(stroke: Stroke, step: float = 0.12) -> Stroke:
    """The same stroke with points so close that it can be bent."""
    pieces = [a + np.linspace(0, 1, max(2, int(np.ceil(np.linalg.norm(b - a) / step)) + 1))[:, None] * (b - a)
              for a, b in pairwise(stroke)]
    return np.concatenate([piece[:-1] for piece in pieces] + [stroke[-1:]])
