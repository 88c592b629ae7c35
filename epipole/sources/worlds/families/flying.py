"""The world family `flying`: things of every shape that tumble through a hall, each on a closed spline of its own.

After FlyingThings3D (Mayer et al. 2016): flow is large, occlusion is everywhere, and nothing obeys gravity, so that
nothing but the images tells where things go. Difficulty 0 has six slow things before a bare hall in even light; 3 has
thirty, fast and spinning, before a cluttered one, with bare and shining surfaces under a hard lamp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from epipole.geometry.motion import se3, so3_exp

from ..meshes import Array, Mesh, Part, Piece, ball, blob, box, cylinder, lathe, rigid
from ..moving import Looping
from ..scene import Light, Lighting, Orbit, Region, Scene, SceneBuilder, Stage
from ..spec import Spec
from . import fittings, furniture

CLASSES = ("void", "hall", "clutter", "box", "ball", "cylinder", "blob", "ring", "furniture")
WIDTH, LENGTH, BEHIND = 15.0, 17.0, 4.0  # m, of the hall, and how much of its length lies behind the camera
LOWEST, HIGHEST = 5.0, 7.0  # m, of the ceiling
MARGIN = 0.1                # m between what flies and the hall; the skirting is 0.05 m thick
NEAREST, FARTHEST = 2.8, 7.5  # m ahead of the camera's region, between which things fly
KNOTS = 10                   # of a loop
FOCAL = 133.0                # px at a width of 160 and 62 degrees: what a metre at 1 m measures
PRINTED = ("print", "poster", "cover", "ceramic", "rug", "fabric", "wood", "leaf", "linen", "facade")
WALLS = ("wall", "poster", "facade", "rug", "trim")


@dataclass(frozen=True)
class Plan:
    """What one difficulty holds."""

    flying: int
    clutter: int
    pace: float      # median displacement of things, px a frame at a width of 160 and 30 frames/s
    spread: float    # standard deviation of its logarithm
    turns: int       # most turns about itself in one loop
    ambient: tuple[float, float]
    strength: tuple[float, float]  # of lamps


PLANS = (
    Plan(6, 10, 1.5, 0.4, 1, (0.5, 0.6), (0.5, 0.8)),
    Plan(12, 25, 3.0, 0.6, 2, (0.35, 0.5), (0.7, 1.3)),
    Plan(20, 40, 5.0, 0.8, 3, (0.25, 0.45), (0.8, 2.0)),
    Plan(30, 60, 7.0, 0.9, 4, (0.2, 0.35), (1.4, 3.0)),
)
FASTEST = 30.0  # px a frame at a width of 160


def _solid(rng: np.random.Generator, mesh: Mesh, kind: str) -> Piece:
    """A thing of one material, its middle moved to the origin."""
    points = mesh.corners.reshape(-1, 3)
    low, high = points.min(0), points.max(0)
    middle = (low + high) / 2
    part = Part(mesh.moved(rigid(*-middle)), PRINTED[rng.integers(len(PRINTED))])
    width, depth, tall = high - low
    return Piece([part], (float(width), float(depth), float(tall)), kind=kind)


def _furniture(rng: np.random.Generator) -> Piece:
    """A chair, a plant, a lamp ..., its middle moved to the origin."""
    makers = (furniture.chair, furniture.stool, furniture.toy, furniture.lamp, furniture.plant, furniture.crates,
              fittings.office_chair, fittings.round_table)
    piece = makers[rng.integers(len(makers))](rng)
    down = rigid(0.0, 0.0, -piece.size[2] / 2)
    parts = [Part(part.mesh.moved(down), part.surface, part.slot) for part in piece.parts]
    return Piece(parts, piece.size, kind="furniture")


def thing(rng: np.random.Generator) -> Piece:
    """Something between 0.3 and 1.7 m across, its middle at the origin."""
    r, kind = rng.uniform(0.22, 0.6), CLASSES[3 + rng.integers(6)]
    if kind == "furniture":
        return _furniture(rng)
    if kind == "box":
        return _solid(rng, box(*(2 * r * rng.uniform(0.25, 1.0, 3))), kind)
    if kind == "ball":
        return _solid(rng, ball(r, rng.uniform(0.4, 1.4), 16), kind)
    if kind == "cylinder":
        return _solid(rng, cylinder(r * rng.uniform(0.3, 0.8), 2 * r, 0.0, r * rng.uniform(0.0, 0.8), 16), kind)
    if kind == "blob":
        return _solid(rng, blob(rng, r, rng.uniform(0.2, 0.45), 8), kind)
    turn, thick = np.linspace(0, 2 * np.pi, 11), r * rng.uniform(0.15, 0.4)
    turn[-1] = 0.0
    return _solid(rng, lathe([(r + thick * np.cos(a), thick * np.sin(a)) for a in turn], 20), kind)


def reach(piece: Piece) -> float:
    """From the middle of a thing to its farthest corner, m."""
    return max(float(np.linalg.norm(part.mesh.corners, axis=-1).max()) for part in piece.parts)


def loop(rng: np.random.Generator, plan: Plan, ahead: float, radius: float) -> Looping:
    """A closed way about a place so far ahead: three random waves, walked at the plan's pace, with whole turns about
    an axis of its own. A thing of this radius, m, touches neither floor nor walls nor ceiling."""
    place = np.array([rng.uniform(-0.5, 0.5) * ahead, ahead, rng.uniform(-0.25, 0.35) * ahead + 1.6])
    spread = min(0.45 * ahead, 2.0) * np.array([1.0, 0.45, 0.7])
    angle = 2 * np.pi * np.arange(KNOTS) / KNOTS
    waves = [np.cos(k * angle[:, None] + rng.uniform(0, 2 * np.pi, 3)) * rng.normal(size=3) / k**1.5 for k in (1, 2, 3)]
    points = place + spread * np.sum(waves, axis=0)
    side, far = WIDTH / 2 - radius - MARGIN, LENGTH - BEHIND - radius - MARGIN
    points = np.clip(points, [-side, NEAREST, radius + MARGIN], [side, far, LOWEST - radius - MARGIN])
    axis = rng.normal(size=3)
    turns = int(rng.integers(-plan.turns, plan.turns + 1))
    spin = torch.from_numpy(turns * angle[:, None] * axis / np.linalg.norm(axis))
    start = so3_exp(torch.from_numpy(rng.uniform(-2, 2, 3)))
    knots = se3(so3_exp(spin) @ start, torch.from_numpy(points))
    way = np.linalg.norm(np.diff(points, axis=0, append=points[:1]), axis=1)
    pixels = min(plan.pace * np.exp(plan.spread * rng.normal()), FASTEST)
    speed = 30 * pixels * ahead / FOCAL  # m/s that look like so many pixels a frame
    interval = float(way.mean() / speed)
    return Looping(knots, interval, rng.uniform(0, KNOTS * interval))


def hall(builder: SceneBuilder, rng: np.random.Generator, height: float) -> None:
    """Floor, ceiling and four walls with a skirting, each of a material of its own."""
    y, t = LENGTH / 2 - BEHIND, 0.2
    slab = box(WIDTH + 1, LENGTH + 1, t)
    builder.add([Part(slab, ("floor", "rug", "pavement")[rng.integers(3)])], rigid(0.0, y, -t), "hall")
    builder.add([Part(slab, "ceiling")], rigid(0.0, y, height), "hall")
    sides = ((0.0, LENGTH - BEHIND, 0.0, WIDTH), (-WIDTH / 2, y, np.pi / 2, LENGTH),
             (WIDTH / 2, y, -np.pi / 2, LENGTH), (0.0, -BEHIND, np.pi, WIDTH))
    for x, at, yaw, length in sides:
        wall, foot = box(length + t, t, height, 0.0, t / 2), box(length, 0.05, 0.2, 0.0, -0.02)
        surface = WALLS[rng.integers(len(WALLS))]
        builder.add([Part(wall, surface), Part(foot, "wood", 1)], rigid(x, at, 0.0, yaw), "hall")


def clutter(builder: SceneBuilder, rng: np.random.Generator, count: int) -> None:
    """Boxes and columns that stand on the floor, the higher ones further away."""
    for _ in range(count):
        y = rng.uniform(3.5, LENGTH - BEHIND - 0.5)
        x = rng.uniform(-1, 1) * min(0.75 * y + 1.0, WIDTH / 2 - 1)
        w, d, h = rng.uniform(0.3, 1.4), rng.uniform(0.3, 1.4), rng.uniform(0.2, 0.28) * y
        mesh = box(w, d, h) if rng.random() < 0.6 else cylinder(w / 2, h, 0.0, w / 2 * rng.uniform(0.2, 1.0), 16)
        part = Part(mesh, PRINTED[rng.integers(len(PRINTED))])
        builder.add([part], rigid(x, y, 0.0, rng.uniform(-np.pi, np.pi)), "clutter")


def light(rng: np.random.Generator, plan: Plan, height: float) -> Lighting:
    """One to three lamps below the ceiling, of any colour temperature."""
    lamps = []
    for k in range(int(rng.integers(1, 4))):
        at = np.array([rng.uniform(-0.35, 0.35) * WIDTH, rng.uniform(-2.0, 4.0), height - rng.uniform(0.2, 1.0)])
        warm = rng.uniform(-0.12, 0.2)
        lamps.append(Light(at, rng.uniform(*plan.strength) / (1 + 0.5 * k), 8.0, (1 + warm, 1.0, 1 - warm)))
    return Lighting(tuple(lamps), rng.uniform(*plan.ambient))


def scene(spec: Spec, rng: np.random.Generator) -> Scene:
    """The hall of this seed and scene; neither textures nor the camera's motion change it."""
    plan, builder, height = PLANS[spec.difficulty], SceneBuilder(CLASSES), rng.uniform(LOWEST, HIGHEST)
    hall(builder, rng, height)
    clutter(builder, rng, plan.clutter)
    for k in range(plan.flying):
        ahead = NEAREST + (FARTHEST - NEAREST) * ((k + rng.random()) / plan.flying) ** 1.3  # more of them near
        piece = thing(rng)
        builder.add_moving(piece.parts, loop(rng, plan, ahead, reach(piece)), piece.kind)
    walk = Region(np.array([-0.7, -0.9, 1.2]), np.array([0.7, 0.1, 2.1]))
    sight = Region(np.array([-1.2, 6.0, 1.0]), np.array([1.2, 8.0, 2.4]))
    return builder.build(light(rng, plan, height), _stage(walk, sight))


def _stage(walk: Region, sight: Region) -> Stage:
    centre: Array = np.array([0.0, 6.0, 1.7])
    return Stage(walk, sight, orbit=Orbit(centre, 6.3, 0.2, -np.pi / 2, 0.5))
