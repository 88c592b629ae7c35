"""The world family `tabletop`: small things on a table before a board, 0.2 to 1 m from the camera, as a lens that is
focused by hand sees them.

Difficulty 0 has few things and soft light; 3 is crowded, with bare and shining surfaces, hard light, and a toy that
drives about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..meshes import Mesh, Part, Piece, ball, blob, box, cylinder, joined, lathe, prism, rigid
from ..moving import Circling
from ..scene import Light, Lighting, Orbit, Region, Scene, SceneBuilder, Stage
from ..spec import Spec
from .subjects import polygon, rod

CLASSES = ("void", "table", "board", "box", "book", "vessel", "food", "tool", "toy")
WIDE, NEAR, FAR = 0.36, -0.22, 0.4  # m, of the middles of things: at most so far aside, from and up to there ahead
EYE = (-0.5, 0.26)                 # m, where the camera is held: this far before the table's middle, this high
SCALE = 0.2                        # of hands and clearances: a fifth of those in a room
TRIES = 40


def turned(outline: list[tuple[float, float]], segments: int = 24) -> Mesh:
    """A closed outline of (radius, height), counter-clockwise from the axis, turned about it; its edges are sharp."""
    return joined([lathe([a, b], segments) for a, b in pairwise(outline)])


def packet(rng: np.random.Generator) -> Piece:
    w, d, h = rng.uniform(0.03, 0.13), rng.uniform(0.025, 0.1), rng.uniform(0.03, 0.16)
    lid = rng.uniform(0.1, 0.4) * h
    return Piece([Part(box(w, d, h - lid), "small print"), Part(box(w + 0.002, d + 0.002, lid, z=h - lid), "label", 1)],
                 (w, d, h), kind="box")


def books(rng: np.random.Generator) -> Piece:
    parts, z = [], 0.0
    for k in range(int(rng.integers(1, 4))):
        t, turn = rng.uniform(0.01, 0.035), rigid(0.0, 0.0, z, rng.uniform(-0.4, 0.4))
        w, d = rng.uniform(0.1, 0.14), rng.uniform(0.14, 0.19)
        parts += [Part(box(w, d, t).moved(turn), "label", 2 * k),
                  Part(box(w - 0.004, d - 0.004, t - 0.006, 0.003, 0.0, 0.003).moved(turn), "paper", 2 * k + 1)]
        z += t
    return Piece(parts, (0.22, 0.22, z), kind="book")


def mug(rng: np.random.Generator) -> Piece:
    r, h, wall, belly = rng.uniform(0.03, 0.045), rng.uniform(0.06, 0.11), 0.004, rng.uniform(0.75, 1.1)
    body = turned([(0.0, 0.0), (belly * r, 0.0), (r, h), (r - wall, h), (belly * r - wall, wall), (0.0, wall)])
    grip, bar = rng.uniform(0.015, 0.028), 0.005
    at = [(-r - grip * np.sin(a) + 0.004, 0.0, h * 0.5 + h * 0.3 * np.cos(a)) for a in np.linspace(0.1, np.pi - 0.1, 6)]
    return Piece([Part(body, "glaze"), Part(joined([rod(a, b, bar) for a, b in pairwise(at)]), "glaze")],
                 (2 * r + 2 * grip, 2 * r, h), kind="vessel")


def bottle(rng: np.random.Generator) -> Piece:
    r, h, neck = rng.uniform(0.025, 0.042), rng.uniform(0.13, 0.24), rng.uniform(0.25, 0.5)
    t = np.linspace(0, 1, 10)
    shoulder = r * (neck + (1 - neck) * np.cos(np.pi / 2 * t) ** rng.uniform(0.6, 1.6))
    body = lathe([(0.0, 0.0), (r, 0.0), *zip(shoulder, h * (0.55 + 0.3 * t), strict=True), (neck * r, h), (0.0, h)])
    cap = cylinder(neck * r * 1.2, 0.015, h - 0.008)
    band = cylinder(r * 1.01, h * rng.uniform(0.15, 0.35), h * 0.12)
    return Piece([Part(body, "glaze"), Part(cap, "plastic", 1), Part(band, "small print", 2)], (2 * r, 2 * r, h),
                 kind="vessel")


def bowl(rng: np.random.Generator) -> Piece:
    r, h, wall = rng.uniform(0.05, 0.085), rng.uniform(0.03, 0.06), 0.004
    t = np.linspace(0.25, 1, 7)
    rise = h * t**rng.uniform(1.6, 2.6)
    outer = [(r * s, z) for s, z in zip(t, rise, strict=True)]
    inner = [(max(r * s - wall, 0.004), z + wall * (s < 1)) for s, z in zip(t[::-1], rise[::-1], strict=True)]
    return Piece([Part(turned([(0.0, outer[0][1]), *outer, *inner, (0.0, inner[-1][1])], 28), "glaze")],
                 (2 * r, 2 * r, h), kind="vessel")


def tin(rng: np.random.Generator) -> Piece:
    r, h = rng.uniform(0.025, 0.05), rng.uniform(0.03, 0.12)
    return Piece([Part(cylinder(r, h, 0.0), "small print"), Part(cylinder(r * 1.03, 0.004, h), "metal", 1),
                  Part(cylinder(r * 1.03, 0.004), "metal", 1)], (2.1 * r, 2.1 * r, h), kind="box")


def fruit(rng: np.random.Generator) -> Piece:
    r, flatten = rng.uniform(0.025, 0.045), rng.uniform(0.8, 1.3)
    stalk = rod((0.0, 0.0, 1.9 * r * flatten), (0.004, 0.0, 2.3 * r * flatten), 0.002)
    return Piece([Part(ball(r, flatten), "peel"), Part(stalk, "wood", 1)], (2 * r, 2 * r, 2 * r), kind="food")


def loaf(rng: np.random.Generator) -> Piece:
    r = rng.uniform(0.03, 0.05)
    lump = blob(rng, r, rng.uniform(0.1, 0.3), 14)
    low = float(lump.corners[..., 2].min())
    return Piece([Part(lump.moved(rigid(0.0, 0.0, -low)), "peel")], (2 * r, 2 * r, 2 * r), kind="food")


def pencils(rng: np.random.Generator) -> Piece:
    """One to four, lying side by side."""
    parts, r = [], rng.uniform(0.003, 0.005)
    for k in range(int(rng.integers(1, 5))):
        turn, length = rng.uniform(-0.15, 0.15), rng.uniform(0.1, 0.17)
        c, s, x = length / 2 * np.cos(turn), length / 2 * np.sin(turn), (k - 1.5) * 4 * r
        parts += [Part(rod((x - s, -c, r), (x + s, c, r), r), "label", k),
                  Part(rod((x + s, c, r), (x + 1.15 * s, 1.15 * c, r), r, 0.0005), "wood", 9)]
    return Piece(parts, (0.1, 0.1, 2 * r), kind="tool")


def tape(rng: np.random.Generator) -> Piece:
    r, hole, h = rng.uniform(0.03, 0.05), rng.uniform(0.4, 0.75), rng.uniform(0.012, 0.03)
    ring = turned([(hole * r, 0.0), (r, 0.0), (r, h), (hole * r, h), (hole * r, 0.0)])
    return Piece([Part(ring, "label")], (2 * r, 2 * r, h), kind="tool")


def blocks(rng: np.random.Generator) -> Piece:
    """Toy bricks in a pile."""
    parts, z, side = [], 0.0, rng.uniform(0.025, 0.045)
    for k in range(int(rng.integers(1, 5))):
        turn = rigid(rng.uniform(-0.2, 0.2) * side, 0.0, z, rng.uniform(-0.8, 0.8))
        corners = int(rng.choice([3, 4, 4, 6]))
        brick = box(side, side, side) if corners == 4 else prism(polygon(corners, side * 0.6, side * 0.6), 0.0, side)
        parts.append(Part(brick.moved(turn), "small print" if k % 2 else "label", k))
        z += side
    return Piece(parts, (1.5 * side, 1.5 * side, z), kind="toy")


def car(rng: np.random.Generator) -> Piece:
    """A toy; its front is +x."""
    w, h = rng.uniform(0.03, 0.04), rng.uniform(0.018, 0.026)
    wheels = [rod((x, -w / 2 - 0.003, 0.008), (x, w / 2 + 0.003, 0.008), 0.008) for x in (-0.02, 0.02)]
    return Piece([Part(box(0.07, w, h, z=0.006), "label"), Part(box(0.036, 0.9 * w, 0.8 * h, -0.004, 0.0, 0.006 + h),
                                                                "small print", 1), Part(joined(wheels), "rubber", 2)],
                 (0.07, w, 2 * h), kind="toy")


THINGS: tuple[Callable[[np.random.Generator], Piece], ...] = (
    packet, books, mug, bottle, bowl, tin, fruit, loaf, pencils, tape, blocks, car,
)


@dataclass(frozen=True)
class Plan:
    """How much a table of one difficulty holds."""

    things: int
    moving: int
    ambient: tuple[float, float]
    strength: tuple[float, float]


PLANS = (Plan(5, 0, (0.5, 0.65), (0.5, 0.8)), Plan(9, 0, (0.35, 0.5), (0.9, 1.4)),
         Plan(13, 0, (0.25, 0.45), (1.0, 2.0)), Plan(18, 1, (0.1, 0.3), (1.4, 2.8)))


def _free(rng: np.random.Generator, taken: list[tuple[float, float, float]], r: float) -> tuple[float, float] | None:
    """The middle of a free disc on the table, narrower towards the camera, if there is one."""
    for _ in range(TRIES):
        y = rng.uniform(NEAR, FAR)
        x = rng.uniform(-1, 1) * WIDE * (y - EYE[0]) / (FAR - EYE[0])
        if all(np.hypot(x - a, y - b) > r + s + 0.004 for a, b, s in taken):
            return float(x), float(y)
    return None


def _cover(builder: SceneBuilder, plan: Plan, rng: np.random.Generator) -> None:
    """Puts things on the table where they do not touch; tall ones not before the camera's eye."""
    taken: list[tuple[float, float, float]] = []
    for k in range(plan.things + plan.moving):
        moves = k < plan.moving
        piece = car(rng) if moves else THINGS[rng.integers(len(THINGS))](rng)
        r = 0.5 * float(np.hypot(*piece.size[:2])) + 0.05 * moves
        if (place := _free(rng, taken, r)) is None or (piece.size[2] > 0.12 and place[1] < 0.05):
            continue
        taken.append((*place, r))
        if moves:
            builder.add_moving(piece.parts, Circling(*place, 0.04, 0.05, 2.5, 0.0), piece.kind)
        else:
            builder.add(piece.parts, rigid(*place, 0.0, rng.uniform(-np.pi, np.pi)), piece.kind)


def scene(spec: Spec, rng: np.random.Generator) -> Scene:
    """The table of this seed and scene; neither textures nor the camera's motion change it."""
    plan, builder = PLANS[spec.difficulty], SceneBuilder(CLASSES)
    builder.add([Part(box(3.0, 1.3, 0.04, 0.0, 0.0, -0.04), "cloth")], np.eye(4), "table")
    behind = rigid(0.0, rng.uniform(0.52, 0.6), 0.0)
    builder.add([Part(box(3.0, 0.05, 2.0, 0.0, 0.025, -0.6), "backing")], behind, "board")
    _cover(builder, plan, rng)
    bearing, up = rng.uniform(0, np.pi), np.radians(rng.uniform(30, 70))
    at = np.array([1.6 * np.cos(bearing) * np.cos(up), -1.6 * np.sin(bearing) * np.cos(up), 1.6 * np.sin(up)])
    warm = rng.uniform(-0.12, 0.2)
    lamp = Light(at, rng.uniform(*plan.strength), np.inf, (1 + warm, 1.0, 1 - warm))
    back, high = EYE
    walk = Region(np.array([-0.12, back - 0.04, high - 0.06]), np.array([0.12, back + 0.06, high + 0.08]))
    sight = Region(np.array([-0.1, -0.02, 0.0]), np.array([0.1, 0.14, 0.06]))
    orbit = Orbit(np.array([0.0, 0.06, 0.04]), 0.56, 0.24, -np.pi / 2, 0.7)
    return builder.build(Lighting((lamp,), rng.uniform(*plan.ambient)), Stage(walk, sight, orbit=orbit, scale=SCALE))
