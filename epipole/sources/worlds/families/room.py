"""The world family `room`: four walls, furniture along them and between, and a camera that walks in front of it.

Difficulty 1 is a living room without window, door, bed or television, every surface textured, under one lamp. The
others have all eleven classes of scene completion: 0 with few pieces and soft light, 2 and 3 with bare and shining
surfaces, harder light, and things that move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..meshes import Part, Piece, ball, box
from ..moving import Bouncing, Circling
from ..scene import Light, Lighting, Orbit, Region, Scene, Stage
from ..spec import Spec
from . import fittings, furniture
from .layout import Layout, Maker

LAMP_REACH = 2.6  # m at which the lamp has half its strength
PRINTS = (furniture.toy, furniture.crates, furniture.stool, furniture.plant)


@dataclass(frozen=True)
class Plan:
    """How much a room of one difficulty holds."""

    at_wall: tuple[Maker, ...]
    in_corner: tuple[Maker, ...]
    on_floor: tuple[Maker, ...]
    tables: tuple[Maker, ...]
    chairs: tuple[Maker, ...]
    corners: int
    seats: int
    loose: int
    openings: bool = True    # windows, a door, a screen
    moving: int = 0
    lamps: tuple[int, int] = (1, 1)
    ambient: tuple[float, float] = (0.4, 0.4)
    strength: tuple[float, float] = (1.6, 1.6)


FURNITURE = (furniture.shelf, furniture.cabinet, fittings.wardrobe)
LIVING = Plan(
    (furniture.shelf, furniture.sofa, furniture.cabinet, furniture.shelf, furniture.table),
    (furniture.lamp, furniture.plant, furniture.crates, furniture.stool), PRINTS,
    (furniture.table,), (furniture.chair,), corners=4, seats=3, loose=4, openings=False,
)
BEDSIT = replace(
    LIVING, at_wall=(fittings.bed, furniture.sofa, fittings.television, *FURNITURE, fittings.desk), openings=True,
    tables=(furniture.table, fittings.round_table), chairs=(furniture.chair, fittings.office_chair),
)
SPARSE = replace(BEDSIT, at_wall=(fittings.bed, furniture.sofa, fittings.television, furniture.shelf), corners=1,
                 seats=2, loose=1, lamps=(2, 2), ambient=(0.5, 0.6), strength=(0.7, 1.0))
MIXED = replace(BEDSIT, at_wall=(*BEDSIT.at_wall, fittings.armchair), lamps=(1, 3), ambient=(0.2, 0.5),
                strength=(0.8, 2.2), moving=1)
CROWDED = replace(MIXED, corners=7, seats=5, loose=9, ambient=(0.08, 0.3), strength=(0.8, 3.2), moving=3, lamps=(1, 2))
PLANS = (SPARSE, LIVING, MIXED, CROWDED)


def hang_pictures(layout: Layout, plan: Plan) -> None:
    """Pictures at eye height on three walls."""
    rng, hang = layout.rng, layout.hang if plan.openings else layout.fasten
    for wall, (_, _, _, length) in enumerate(layout.walls()[:3]):
        for k in range(2 if rng.random() < 0.3 else 3):
            picture = furniture.picture(rng)
            along = ((k + 0.5) / 3 - 0.5 + rng.uniform(-0.06, 0.06)) * length
            hang(picture, wall, along, rng.uniform(1.5, 1.85))


def furnish(layout: Layout, plan: Plan) -> None:
    """The large pieces first, then what fits between them."""
    rng, w, d = layout.rng, layout.width, layout.depth
    layout.put(furniture.rug(rng), w / 2 + rng.uniform(-0.4, 0.4), d * rng.uniform(0.55, 0.65), rng.uniform(-0.3, 0.3))
    if not plan.openings:
        _table(layout, plan)
    walls = ["back", "back", "left", "right", "back"] + ["left", "right", "back"] * 2
    order = rng.permutation(len(plan.at_wall))
    if plan.openings:  # bed, sofa and television before the rest, while there is room
        order = np.concatenate([order[order < 3], order[order >= 3]])
    for wall, k in zip(walls, order, strict=False):
        if not layout.along_wall(plan.at_wall[k](rng), wall) and plan.openings:
            _elsewhere(layout, plan.at_wall[k])
    if plan.openings:
        _table(layout, plan)
    for _ in range(plan.corners):
        piece = plan.in_corner[rng.integers(len(plan.in_corner))](rng)
        layout.along_wall(piece, ("left", "right", "back")[rng.integers(3)])
    for k in range(plan.seats):
        layout.somewhere(plan.chairs[k % len(plan.chairs)](rng))
    for _ in range(plan.loose):
        layout.somewhere(plan.on_floor[rng.integers(len(plan.on_floor))](rng))


def _table(layout: Layout, plan: Plan) -> None:
    """In the middle of the room."""
    rng, w, d = layout.rng, layout.width, layout.depth
    x, y = w / 2 + rng.uniform(-0.5, 0.5), d * rng.uniform(0.5, 0.6)
    kind = plan.tables[rng.integers(len(plan.tables))] if len(plan.tables) > 1 else plan.tables[0]
    piece = kind(rng)
    if not layout.stand(piece, x, y, rng.uniform(-0.35, 0.35)) and plan.openings:
        layout.somewhere(piece)


def _elsewhere(layout: Layout, maker: Maker) -> None:
    """Another sample of a piece, at any wall that has room for it."""
    any(layout.along_wall(maker(layout.rng), wall) for wall in ("back", "left", "right"))


def open_walls(layout: Layout) -> None:
    """One to three windows, a door with free floor before it, sometimes a screen."""
    rng = layout.rng
    order = rng.permutation(3)
    for k in range(1 + int(rng.integers(3))):
        piece, wall = fittings.window(rng), int(order[k % 3])
        sill = min(rng.uniform(0.75, 1.0), layout.height - piece.size[2] - 0.2)
        layout.hang(piece, wall, rng.uniform(-0.25, 0.25) * layout.walls()[wall][3], sill)
    side, piece = int(rng.integers(1, 3)), fittings.door(rng)
    along = (1 if side == 1 else -1) * rng.uniform(-0.3, 0.3) * layout.depth
    if layout.hang(piece, side, along, 0.0):
        y = layout.depth / 2 + (along if side == 1 else -along)
        layout.take(0.35 if side == 1 else layout.width - 0.35, y, 0.6, piece.size[0])
    if rng.random() < 0.5:
        layout.hang(fittings.screen_on_wall(rng), int(order[2]), rng.uniform(-1.2, 1.2), rng.uniform(1.3, 1.6))


def set_in_motion(layout: Layout, count: int) -> None:
    """Balls that bounce and toys that drive in circles."""
    rng = layout.rng
    for k in range(count):
        if k % 2:
            a, b, rate = rng.uniform(0.2, 0.4), rng.uniform(0.2, 0.4), rng.choice([-1, 1]) * rng.uniform(0.8, 2.0)
            layout.move_about(_toy_car(rng), 2 * max(a, b) + 0.4, Circling(0.0, 0.0, a, b, rate, 0.0))
        else:
            r, height, spin = rng.uniform(0.1, 0.2), rng.uniform(0.3, 1.0), rng.uniform(-4, 4)
            toy = Piece([Part(ball(r), "print")], (2 * r, 2 * r, 2 * r))
            layout.move_about(toy, 2 * r + 0.1, Bouncing(0.0, 0.0, height, spin, 0.3))


def _toy_car(rng: np.random.Generator) -> Piece:
    w, h = rng.uniform(0.16, 0.26), rng.uniform(0.1, 0.18)
    body, cabin = box(0.32, w, h, z=0.03), box(0.16, w * 0.9, h * 0.7, -0.03, 0.0, 0.03 + h)
    return Piece([Part(body, "print"), Part(cabin, "cover")], (0.32, w, 2 * h))


def light(layout: Layout, plan: Plan) -> Lighting:
    """Lamps below the ceiling, of any strength and colour temperature the plan allows."""
    rng, w, d, h = layout.rng, layout.width, layout.depth, layout.height
    first = np.array([w * rng.uniform(0.25, 0.75), d * rng.uniform(0.25, 0.5), h - 0.15])
    if not plan.openings:
        return Lighting((Light(first, reach=LAMP_REACH),))
    lamps = []
    for k in range(int(rng.integers(plan.lamps[0], plan.lamps[1] + 1))):
        at = first if k == 0 else np.array([*(rng.uniform(0.15, 0.85, 2) * [w, d]), h - rng.uniform(0.15, 0.8)])
        strength, warm = np.exp(rng.uniform(*np.log(plan.strength))), rng.uniform(-0.12, 0.2)
        lamps.append(Light(at, strength / (1 + 0.5 * k), LAMP_REACH, (1 + warm, 1.0, 1 - warm)))
    return Lighting(tuple(lamps), rng.uniform(*plan.ambient))


def scene(spec: Spec, rng: np.random.Generator) -> Scene:
    """The room of this seed and scene; neither textures nor the camera's motion change it."""
    plan = PLANS[spec.difficulty]
    w, d, h = rng.uniform(4.2, 5.2), rng.uniform(4.6, 5.2), rng.uniform(2.4, 2.7)
    if plan is CROWDED:
        w, d = w * rng.uniform(0.9, 1.3), d * rng.uniform(0.95, 1.3)
    walk = Region(np.array([0.27 * w, 0.16 * d, 1.15]), np.array([0.73 * w, 0.3 * d, 1.65]))
    layout = Layout(rng, w, d, h, walk)
    layout.taken.append((walk.low[0] - 0.4, 0.0, walk.high[0] + 0.4, walk.high[1] + 0.35))
    layout.shell()
    if plan.openings:
        open_walls(layout)
    furnish(layout, plan)
    hang_pictures(layout, plan)
    set_in_motion(layout, plan.moving)
    sight = Region(np.array([0.2 * w, 0.6 * d, 0.55]), np.array([0.8 * w, 0.85 * d, 1.0]))
    centre = np.array([0.5 * w, 0.6 * d, 0.8])
    orbit = Orbit(centre, 0.36 * d, 0.6, -np.pi / 2, 0.8)
    return layout.builder.build(light(layout, plan), Stage(walk, sight, orbit=orbit))
