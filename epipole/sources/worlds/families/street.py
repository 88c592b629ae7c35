"""The world family `street`: round a city block in a car's seat, 1.65 m above the road.

The road is a ring of four straight streets and four corners, so that a clip may be of any length and comes back to
where it began. Difficulty 0 is empty and under an even sky; 3 is crowded, with a low hard sun and six cars that drive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..meshes import Array, Part, Piece, box, prism, rigid
from ..moving import OnRoad
from ..scene import Light, Lighting, Orbit, Region, Scene, SceneBuilder, Stage
from ..spec import Spec
from . import roadside

EYE = 1.65  # m, the camera above the road
LANE, PARKING, WALK = 3.1, 2.1, 2.6  # m wide
KERB = 0.14
SUN_DISTANCE = 400.0
CLASSES = ("void", "road", "sidewalk", "building", "pole", "sign", "vegetation", "car", "person", "object", "marking",
           "terrain")


@dataclass(frozen=True)
class Ring:
    """A rectangle with round corners, a x b m, driven counter-clockwise; its centre is the origin."""

    a: float
    b: float
    corner: float

    @property
    def length(self) -> float:
        return 2 * (self.a + self.b) - (8 - 2 * np.pi) * self.corner

    def __call__(self, way: Array) -> tuple[Array, Array]:
        """Points [n, 3] on the ground and headings [n] after so many metres."""
        s, r = np.mod(way, self.length), self.corner
        x, y, heading = np.zeros_like(s), np.zeros_like(s), np.zeros_like(s)
        start, at, angle = 0.0, np.array([-self.a / 2 + r, -self.b / 2]), 0.0
        for side in (self.a, self.b, self.a, self.b):
            straight, arc = side - 2 * r, np.pi / 2 * r
            ahead, left = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
            d = np.clip(s - start, 0, straight)
            turn = np.clip(s - start - straight, 0, arc) / r
            here = (s >= start) & (s <= start + straight + arc + 1e-9)
            place = at + d[:, None] * ahead + r * (np.sin(turn)[:, None] * ahead + (1 - np.cos(turn))[:, None] * left)
            x, y = np.where(here, place[:, 0], x), np.where(here, place[:, 1], y)
            heading = np.where(here, angle + turn, heading)
            start, at, angle = start + straight + arc, at + straight * ahead + r * (ahead + left), angle + np.pi / 2
        return np.stack([x, y, np.zeros_like(x)], -1), heading


@dataclass(frozen=True)
class Plan:
    """How much a street of one difficulty holds; spacings in m."""

    driving: int
    parked: float          # share of parking places that are taken
    trees: float           # m between two
    furniture: float       # m between two poles, signs, bins or people
    sun: tuple[float, float]      # strength
    height: tuple[float, float]   # of the sun, degrees
    ambient: tuple[float, float]


PLANS = (
    Plan(0, 0.15, 30.0, 20.0, (0.4, 0.8), (45.0, 70.0), (0.6, 0.75)),
    Plan(2, 0.35, 18.0, 12.0, (1.0, 1.6), (35.0, 60.0), (0.45, 0.6)),
    Plan(4, 0.42, 14.0, 8.0, (1.2, 2.2), (25.0, 55.0), (0.3, 0.5)),
    Plan(6, 0.5, 13.0, 5.0, (1.6, 3.0), (15.0, 40.0), (0.25, 0.45)),
)


@dataclass
class Block:
    """A street while it fills. Its centre line is the border between the ego lane and the oncoming one."""

    rng: np.random.Generator
    a: float
    b: float
    builder: SceneBuilder

    @property
    def half(self) -> float:
        """From the centre line to the kerb."""
        return LANE + PARKING

    def ring(self, left: float) -> Ring:
        """The line so far to the left, that is inward, of the centre line."""
        return Ring(self.a - 2 * left, self.b - 2 * left, 11.0 - left)

    def put(self, piece: Piece, way: float, left: float, turn: float = 0.0, z: float = 0.0) -> None:
        """Sets a thing down beside the centre line after so many metres of it; at `turn` 0 it faces along the road."""
        point, heading = self.ring(0.0)(np.array([way]))
        x, y = point[0, :2] + left * np.array([-np.sin(heading[0]), np.cos(heading[0])])
        self.builder.add(piece.parts, rigid(x, y, z, heading[0] + turn), piece.kind)

    def sides(self) -> list[tuple[float, float, float, float]]:
        """The four sides as they follow each other: middle of the centre line (x, y), heading, length."""
        a, b = self.a, self.b
        return [(0.0, -b / 2, 0.0, a), (a / 2, 0.0, np.pi / 2, b), (0.0, b / 2, np.pi, a), (-a / 2, 0.0, -np.pi / 2, b)]


def ground(block: Block) -> None:
    """Road, pavements within and without, their kerbs, and the line in the middle."""
    add, outer = block.builder.add, block.half + WALK
    w, d = block.a + 2 * outer + 12, block.b + 2 * outer + 12
    add([Part(box(w, d, 0.5), "road")], rigid(0.0, 0.0, -0.5), "road")
    turn = np.linspace(0, 1, 96, endpoint=False)
    inside = block.ring(block.half)
    outline = inside(turn * inside.length)[0][:, :2]
    add([Part(prism(outline, 0.0, KERB), "kerb")], np.eye(4), "sidewalk")
    middle = block.ring(block.half + 0.15)
    inner = prism(middle(turn * middle.length)[0][:, :2], KERB - 0.05, KERB + 0.004)
    add([Part(inner, "pavement")], np.eye(4), "sidewalk")
    for x, y, heading, length in block.sides():
        across = WALK + 0.3  # each side ends where the next one begins
        stretch = box(length + 2 * block.half + across, across, KERB, across / 2, -block.half - across / 2)
        side = Part(stretch, "pavement")
        kerb = Part(box(length + 2 * block.half, 0.16, KERB + 0.003, 0.0, -block.half - 0.08), "kerb", 1)
        add([side, kerb], rigid(x, y, 0.0, heading), "sidewalk")
    dashes = [box(2.5, 0.12, 0.008).moved(rigid(p[0], p[1], 0.0, h))
              for p, h in zip(*block.ring(0.0)(np.arange(0.0, block.ring(0.0).length - 3, 6.0)), strict=True)]
    add([Part(dash, "marking") for dash in dashes], np.eye(4), "marking")


def houses(block: Block) -> None:
    """A closed front of houses on both sides of every street."""
    rng, reach = block.rng, block.half + WALK
    for x, y, heading, length in block.sides():
        for left, wide, turn in ((reach, length - 2 * reach, 0.0), (-reach, length + 2 * reach, np.pi)):
            done = 0.0
            while done < wide - 0.5:
                width = min(rng.uniform(7.0, 15.0), wide - done)
                along = -wide / 2 + done + width / 2
                s, c = np.sin(heading), np.cos(heading)
                at = rigid(x + along * c - left * s, y + along * s + left * c, KERB * 0.5, heading + turn)
                block.builder.add(roadside.house(rng, width).parts, at, "building")
                done += width


def parked_cars(block: Block, share: float) -> None:
    rng, ring = block.rng, block.ring(0.0)
    for left, turn in ((LANE + PARKING / 2, np.pi), (-LANE - PARKING / 2, 0.0)):
        way = rng.uniform(0, 5)
        while way < ring.length - 6:
            if rng.random() < share:
                block.put(roadside.car(rng), way, left + rng.uniform(-0.1, 0.1), turn + rng.uniform(-0.04, 0.04))
            way += rng.uniform(5.6, 6.6)


def pavements(block: Block, plan: Plan) -> None:
    """Trees and lamp posts along the kerb; signs, bins, people and bushes behind them."""
    rng, ring, kerb = block.rng, block.ring(0.0), block.half + 0.5
    for sign, turn in ((1, 0.0), (-1, np.pi)):
        for spacing, makers in ((plan.trees, (roadside.tree,)), (28.0, (roadside.lamp_post,)),
                                (plan.furniture, (roadside.sign, roadside.bollard, roadside.bin_, roadside.person,
                                                  roadside.bush))):
            way = rng.uniform(0, spacing)
            while way < ring.length - 2:
                maker = makers[rng.integers(len(makers))]
                deep = kerb + (rng.uniform(0.0, 1.2) if maker in (roadside.bin_, roadside.person, roadside.bush) else 0)
                face = turn + np.pi / 2 if maker is roadside.sign else turn
                block.put(maker(rng), way, sign * deep, face, KERB)
                way += spacing * rng.uniform(0.7, 1.3)


def traffic(block: Block, count: int) -> None:
    """Cars on the other lane, coming towards the camera."""
    rng, ring = block.rng, block.ring(LANE / 2)
    for k in range(count):
        start = (k + rng.uniform(0.1, 0.6)) / count * ring.length
        motion = OnRoad(ring, start, -rng.uniform(6.0, 11.0) if k == 0 else -8.0, 0.0)
        piece = roadside.car(rng)
        block.builder.add_moving(piece.parts, motion, piece.kind)


def daylight(rng: np.random.Generator, plan: Plan) -> Lighting:
    """A sun at any bearing and the sky that goes with it."""
    bearing, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(*plan.height))
    low = 1 - height / (np.pi / 2)
    direction = np.array([np.cos(bearing) * np.cos(height), np.sin(bearing) * np.cos(height), np.sin(height)])
    warm = 0.25 * low**2
    blue = rng.uniform(0.3, 1.0)
    zenith = (0.75 - 0.5 * blue, 0.8 - 0.35 * blue, 0.85 - 0.02 * blue)
    horizon = (0.85 + 0.1 * warm, 0.86, 0.9 - 0.3 * warm)
    sun = Light(SUN_DISTANCE * direction, rng.uniform(*plan.sun), np.inf, (1 + warm, 1.0, 1 - 1.4 * warm))
    return Lighting((sun,), rng.uniform(*plan.ambient), (horizon, zenith), rng.uniform(-0.5, 1.0), 1.3)


def scene(spec: Spec, rng: np.random.Generator) -> Scene:
    """The block of this seed and scene; neither textures nor the camera's motion change it."""
    plan = PLANS[spec.difficulty]
    block = Block(rng, rng.uniform(64, 90), rng.uniform(56, 72), SceneBuilder(CLASSES))
    ground(block)
    houses(block)
    parked_cars(block, plan.parked)
    pavements(block, plan)
    traffic(block, plan.driving)
    lane = block.ring(-LANE / 2)
    at = np.array([0.0, 0.0, EYE])

    def road(way: Array) -> tuple[Array, Array]:
        points, heading = lane(way)
        return points + at, heading

    y = -block.b / 2 - LANE / 2
    walk = Region(np.array([-8.0, y - 0.9, 1.4]), np.array([8.0, y + 0.9, 2.2]))
    sight = Region(np.array([14.0, y - 2.0, 0.8]), np.array([26.0, y + 6.0, 3.0]))
    orbit = Orbit(np.array([0.0, y + LANE / 2, 1.0]), 4.0, 1.2, -np.pi / 2, 1.2)
    return block.builder.build(daylight(rng, plan), Stage(walk, sight, road, orbit))
