"""Synthetic Shapes: pictures whose corners are known, from which MagicPoint learned (DeTone et al. 2017)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from jaxtyping import Float

from epipole.types.errors import InputError
from epipole.types.views import Views

from ..meshes import Array
from ..spec import Spec
from . import primitives
from .canvas import Canvas
from .noise import AMOUNT, spoil
from .primitives import Draw

PRIMITIVES: dict[str, tuple[Draw, float]] = {
    "lines": (primitives.lines, 1.0), "polygon": (primitives.polygon, 1.0), "polygons": (primitives.polygons, 1.0),
    "star": (primitives.star, 1.0), "checkerboard": (primitives.checkerboard, 1.0), "cube": (primitives.cube, 1.0),
    "ellipses": (primitives.ellipses, 0.3), "stripes": (primitives.stripes, 0.2), "noise": (primitives.noise, 0.1),
}
"""What is drawn, and how often in proportion."""
KINDS = tuple(PRIMITIVES)
MOST = 256                      # corners of one picture
TILT = (0.0, 0.5, 1.0, 1.0)     # of the plane's turn, scale and perspective, by difficulty


class Shapes:
    """`shapes[i]` is one gray picture [1 1 h w] with its keypoints (those within the image, px) and, as its label, the
    number of its primitive in KINDS.

    Difficulty 0 is drawn straight and clean; 2 has MagicPoint's homographies and noise, 1 less and 3 more of it.
    MagicPoint's own pictures are 160 x 120 px. Raises InputError for a spec of another family and for unknown kinds.
    """

    provides = frozenset({"image", "label", "keypoints", "keypoints_valid"})

    def __init__(self, spec: Spec, kinds: Collection[str] = KINDS) -> None:
        if spec.family != "shapes":
            raise InputError(f"Shapes draws the family 'shapes', not {spec.family!r}")
        if not kinds or set(kinds) - set(KINDS):
            raise InputError(f"Shapes draws {', '.join(KINDS)}, not {', '.join(sorted(kinds)) or 'nothing'}")
        self.spec, self.kinds = spec, tuple(k for k in KINDS if k in kinds)

    def __len__(self) -> int:
        return self.spec.frames

    def __getitem__(self, index: int) -> Views:
        s, i = self.spec, range(len(self))[index]
        rng = s.random("shapes", i)
        often = np.array([PRIMITIVES[k][1] for k in self.kinds])
        kind = self.kinds[rng.choice(len(often), p=often / often.sum())]
        H = tilt(s.width, s.height, TILT[s.difficulty], rng)
        canvas = Canvas(s.width, s.height, H, s.random("textures", s.textures, i))
        corners = canvas.seen(PRIMITIVES[kind][0](canvas, rng))
        image = spoil(canvas.image(), AMOUNT[s.difficulty], s.random("noise", i))
        points, valid = _padded(corners, s.width, s.height)
        return Views(
            image=torch.from_numpy(image[None, None] / np.float32(255)), label=torch.tensor([KINDS.index(kind)]),
            keypoints=torch.from_numpy(points[None]), keypoints_valid=torch.from_numpy(valid[None]),
        )


def tilt(width: int, height: int, amount: float, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """A homography from the plane to the image, both in px: turned by up to 90 degrees, scaled by up to a fifth, its
    corners drawn in or out by up to a tenth of the sides; amount 0 is the identity."""
    angle, scale = rng.uniform(-np.pi / 2, np.pi / 2) * amount, 1 + rng.uniform(-0.2, 0.2) * amount
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)
    middle, c, s = corners.mean(0), np.cos(angle), np.sin(angle)
    there = middle + scale * (corners - middle) @ np.array([[c, s], [-s, c]])
    there += rng.uniform(-0.1, 0.1, (4, 2)) * amount * [width, height]
    return homography(corners, there)


def homography(a: Array, b: Array) -> Float[np.ndarray, "3 3"]:
    """The one that takes four points a [4, 2] to b [4, 2]."""
    rows = []
    for (x, y), (u, v) in zip(a, b, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), b.ravel()), 1.0).reshape(3, 3)


def _padded(corners: Array, width: int, height: int) -> tuple[Array, Array]:
    """MOST points [p, 2], of which the first ones, marked valid [p], are corners within the image."""
    inside = corners[np.all((corners >= 0) & (corners <= [width - 1, height - 1]), axis=1)][:MOST]
    points, valid = np.zeros((MOST, 2), np.float32), np.zeros(MOST, bool)
    points[: len(inside)], valid[: len(inside)] = inside, True
    return points, valid
