"""The world family `faces`: heads that are made of numbers, one set for who it is and one for the expression.

A head is star-shaped about its middle, with eyes, lips, brows, ears and hair set on it; it looks along -y, z is up,
lengths in m. Nobody's face went into it. As a clip the camera moves to and fro before one face; `portraits.Faces`
gives people in many poses and expressions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..meshes import Array, Mesh, Part, ball, box, cylinder, flat, joined, rigid
from ..scene import WHITE_GROUND, Light, Lighting, Orbit, Region, Scene, SceneBuilder, Stage
from ..spec import Spec
from ..starshaped import closed_mesh, directions, ellipsoid
from .subjects import rod

CLASSES = ("void", "skin", "hair", "eye", "mouth", "body", "backdrop")
TRAITS = 20        # numbers that make a person, each within -1 to 1
DETAIL = 57        # pixels a side of a head's geometry image
REACH = 0.17       # m, radius of the ball around a head that the camera sees
AXES = np.array([0.074, 0.094, 0.112])  # half axes of a head
MOUTH = -0.56      # elevation of the mouth, rad
SMALL = 0.2        # of hands and clearances


@dataclass(frozen=True)
class Expression:
    """What a face does; all 0 is at rest."""

    smile: float = 0.0     # -1 to 1
    open: float = 0.0      # mouth, 0 to 1
    brows: float = 0.0     # down and together -1, up 1
    lids: float = 0.0      # closed -1, wide 1
    gaze: tuple[float, float] = (0.0, 0.0)  # rad to the left of the one who looks, and up


@dataclass(frozen=True)
class Head:
    """One person's head with one expression."""

    traits: Array          # [TRAITS]
    expression: Expression

    def radius(self, d: Array) -> Array:
        """Distance [...] of the skin from the middle in unit directions [..., 3]."""
        t, jaw = self.traits, np.clip(-d[..., 2], 0, 1) ** 2
        axes = AXES * (1 + np.array([0.1, 0.06, 0.08]) * t[:3])
        narrow = 1 - (0.18 + 0.1 * t[3]) * jaw
        x, y, z = np.moveaxis(d / axes, -1, 0)
        base = 1 / np.sqrt((x / narrow) ** 2 + y * y + z * z)
        azimuth, up = np.arctan2(d[..., 0], -d[..., 1]), np.arcsin(np.clip(d[..., 2], -1, 1))
        for height, at, level, wide, tall in self._bumps():
            base = base + height * np.exp(-0.5 * (((azimuth - at) / wide) ** 2 + ((up - level) / tall) ** 2))
        return base

    def _bumps(self) -> list[tuple[float, float, float, float, float]]:
        """(height m, azimuth, elevation, width, height rad) of what rises from the ellipsoid and sinks into it."""
        t, opened, eye = self.traits, self.expression.open, self.eye
        nose, low = 0.021 + 0.008 * t[4], -0.24 + 0.05 * t[5]
        cheek = 0.005 + 0.004 * t[6] + 0.003 * max(self.expression.smile, 0.0)
        return [
            (nose, 0.0, low, 0.12 + 0.04 * t[7], 0.1), (0.45 * nose, 0.0, 0.5 * low + 0.03, 0.08, 0.16),
            (0.4 * nose, 0.0, 0.1, 0.09, 0.14),
            *((-0.009, i * eye[0], eye[1], 0.17, 0.12) for i in (-1, 1)),
            *((cheek, i * 0.55, -0.22, 0.22, 0.2) for i in (-1, 1)),
            *((0.004 + 0.002 * t[8], i * 0.3, 0.27, 0.3, 0.1) for i in (-1, 1)),
            (0.009 + 0.006 * t[9], 0.0, -0.95 - 0.08 * opened, 0.3, 0.2), (0.022 * opened, 0.0, -1.1, 0.6, 0.3),
        ]

    @property
    def eye(self) -> tuple[float, float, float]:
        """Azimuth and elevation of the left eye, rad, and its radius, m."""
        t = self.traits
        return 0.38 + 0.05 * t[10], 0.07 + 0.03 * t[11], 0.0125 * (1 + 0.15 * t[12])

    def at(self, azimuth: float, up: float, lift: float = 0.0) -> Array:
        """A point of the skin, or so far above it."""
        d = np.array([np.sin(azimuth) * np.cos(up), -np.cos(azimuth) * np.cos(up), np.sin(up)])
        return (self.radius(d[None]) + lift) * d

    def eye_centre(self, side: int) -> Array:
        azimuth, up, r = self.eye
        return self.at(side * azimuth, up, -0.55 * r)

    def skin(self) -> list[Part]:
        d = directions(DETAIL)
        face = closed_mesh(np.moveaxis(self.radius(d)[..., None] * d, -1, 0))
        size = 0.028 * (1 + 0.25 * self.traits[13])
        ears = [ellipsoid((0.007, 0.6 * size, size), self.at(i * 1.6, -0.02, 0.002)) for i in (-1, 1)]
        lids = [lid for i in (-1, 1) for lid in self._lids(i)]
        neck = cylinder(0.055, 0.15, -0.18, 0.05, 24)
        return [Part(joined([face, *ears, *lids, neck]), "complexion")]

    def _lids(self, side: int) -> list[Mesh]:
        """Balls a little larger than the eye, above and below it."""
        centre, r = self.eye_centre(side), self.eye[2]
        wide = float(np.clip(0.62 + 0.4 * self.expression.lids, 0.0, 1.0))
        upper = centre + r * np.array([0.0, 0.14 * wide, 1.25 * wide])
        lower = centre + r * np.array([0.0, 0.12, -1.28 + 0.2 * max(self.expression.smile, 0.0)])
        return [_ball(1.13 * r, upper), _ball(1.12 * r, lower)]

    def eyes(self) -> list[Part]:
        r, (aside, up), parts = self.eye[2], self.expression.gaze, []
        look = np.array([np.sin(aside) * np.cos(up), -np.cos(aside) * np.cos(up), np.sin(up)])
        for i in (-1, 1):
            centre = self.eye_centre(i)
            parts += [Part(_ball(r, centre), "eyeball"), Part(_ball(0.6 * r, centre + 0.47 * r * look), "iris", 1),
                      Part(_ball(0.36 * r, centre + 0.745 * r * look), "dark", 2)]
        return parts

    def mouth(self) -> list[Part]:
        """Two lips, and between them, where it is open, the dark."""
        t, e = self.traits, self.expression
        wide, thick = 0.32 + 0.05 * t[14] + 0.05 * e.smile, 0.0042 * (1 + 0.4 * t[15])
        s = np.linspace(-1, 1, 9)
        bow, gap = 0.16 * e.smile * (s**2 - 0.4), (1 - s**2) * (0.018 + 0.2 * e.open)
        rims = [MOUTH + bow + 0.45 * gap, MOUTH + bow - 0.55 * gap]
        curves = [[self.at(wide * a, float(u), 0.001) for a, u in zip(s, rim, strict=True)] for rim in rims]
        r = thick * (1 - 0.6 * s**2)
        lips = [rod(tuple(a), tuple(b), r[k] * (1 + 0.25 * j), r[k + 1] * (1 + 0.25 * j))
                for j, curve in enumerate(curves) for k, (a, b) in enumerate(pairwise(curve))]
        rows = np.array([[self.at(wide * a, float(u + (v - u) * q), 0.0015) for a, u, v in zip(s, *rims, strict=True)]
                         for q in np.linspace(0, 1, 5)])
        a, b, c, d = rows[:-1, :-1], rows[:-1, 1:], rows[1:, 1:], rows[1:, :-1]
        inside = np.concatenate([np.stack([a, d, c], 2).reshape(-1, 3, 3), np.stack([a, c, b], 2).reshape(-1, 3, 3)])
        return [Part(joined(lips), "lips"), Part(flat(inside), "dark", 1)]

    def hair(self) -> list[Part]:
        """A shell over the scalp, as long and full as it is, and the brows."""
        t, parts = self.traits, [Part(joined(self._brows()), "hair")]
        if t[16] < -0.85:  # bald
            return parts
        d = directions(DETAIL)
        azimuth, up = np.abs(np.arctan2(d[..., 0], -d[..., 1])), np.arcsin(np.clip(d[..., 2], -1, 1))
        front, side = 0.68 + 0.16 * t[17], -0.25 + 0.55 * t[18]
        line = front + (side - front) * _step(azimuth, 0.75, 1.25)
        cover, full = _step(up - line, -0.07, 0.07), 0.05 + 0.05 * (t[16] + 1)
        wave = 0.02 * np.sin(9 * azimuth + 3 * t[19]) * np.sin(7 * up)
        r = self.radius(d) * (0.88 + (0.12 + full + wave) * cover)
        return [*parts, Part(closed_mesh(np.moveaxis(r[..., None] * d, -1, 0)), "hair")]

    def _brows(self) -> list[Mesh]:
        t, e, (eye, up, _) = self.traits, self.expression, self.eye
        arch, thick = 0.04 + 0.03 * t[19], 0.0028 * (1 + 0.4 * t[13])
        meshes = []
        for i in (-1, 1):
            s = np.linspace(-1, 1, 6)
            rise = up + 0.2 + 0.02 * t[12] + 0.07 * e.brows + arch * (1 - s**2) + 0.05 * min(e.brows, 0.0) * -s
            points = [self.at(i * (eye + 0.17 * a), float(u), 0.001) for a, u in zip(s, rise, strict=True)]
            meshes += [rod(tuple(a), tuple(b), thick) for a, b in pairwise(points)]
        return meshes


def _ball(r: float, centre: Array) -> Mesh:
    return ball(r, 1.0, 20).moved(rigid(centre[0], centre[1], centre[2] - r))


def _step(x: Array, low: float, high: float) -> Array:
    """0 below, 1 above, smooth between."""
    s = np.clip((x - low) / (high - low), 0, 1)
    return s * s * (3 - 2 * s)


def draw_traits(spec: Spec) -> Array:
    """Who the spec's scene is."""
    return spec.random("person").uniform(-1, 1, TRAITS)


def draw_expression(rng: np.random.Generator, amount: float) -> Expression:
    """Any expression; amount 0 is at rest, 1 as strong as faces get."""
    smile, brows, lids, aside, up = amount * rng.uniform(-1, 1, 5)
    opened = amount * rng.uniform(0, 1) * (rng.random() < 0.5)
    gaze = (float(0.4 * aside), float(0.25 * up))
    return Expression(float(smile), float(opened), float(brows), float(0.6 * lids), gaze)


def distance(spec: Spec) -> float:
    """From the camera to the middle of the head, m."""
    half = np.arctan(np.tan(np.radians(spec.fov) / 2) * min(1, spec.height / spec.width))
    return max(REACH / np.sin(half), REACH + 0.15)


def assemble(spec: Spec, head: Head, T_world_head: Array, rng: np.random.Generator) -> Scene:
    """A head in its pose on shoulders that do not move, before a backdrop, under one lamp."""
    builder, level, far = SceneBuilder(CLASSES), spec.difficulty, distance(spec)
    for kind in ("skin", "hair", "eye", "mouth"):
        parts = {"skin": head.skin, "hair": head.hair, "eye": head.eyes, "mouth": head.mouth}[kind]()
        builder.add(parts, T_world_head, kind)
    builder.add([Part(ellipsoid((0.2, 0.11, 0.14), np.array([0.0, 0.02, -0.27])), "fabric")], np.eye(4), "body")
    board = Part(box(8.0, 0.1, 8.0, z=-4.0), "backdrop" if level < 2 else "poster")
    builder.add([board], rigid(0.0, rng.uniform(0.5, 1.2), 0.0), "backdrop")
    side, high = (0.4, 0.8, 1.2, 1.5)[level] * rng.uniform(-1, 1), rng.uniform(-0.1, (0.5, 0.7, 0.9, 1.2)[level])
    lamp = 2.0 * np.array([np.sin(side) * np.cos(high), -np.cos(side) * np.cos(high), np.sin(high)])
    strength = rng.uniform(*((0.5, 0.6), (0.6, 0.9), (0.8, 1.4), (1.0, 2.2))[level])
    ambient = rng.uniform(*((0.5, 0.55), (0.4, 0.5), (0.25, 0.45), (0.1, 0.35))[level])
    grey = rng.uniform(0.1, 0.9)
    exposure = WHITE_GROUND if level < 2 else Lighting.exposure
    lighting = Lighting((Light(lamp, strength),), ambient, ((grey, grey, grey),) * 2, exposure=exposure)
    walk = Region(np.array([-0.5 * far, -1.05 * far, -0.05]), np.array([0.5 * far, -0.85 * far, 0.15]))
    sight = Region(np.full(3, -0.03), np.full(3, 0.03))
    orbit = Orbit(np.zeros(3), far, 0.03, -np.pi / 2, 1.4)
    return builder.build(lighting, Stage(walk, sight, orbit=orbit, scale=SMALL))


def scene(spec: Spec, rng: np.random.Generator) -> Scene:
    """The face of this seed and scene at the height of one expression."""
    head = Head(draw_traits(spec), draw_expression(rng, spec.difficulty / 3))
    return assemble(spec, head, np.eye(4), rng)
