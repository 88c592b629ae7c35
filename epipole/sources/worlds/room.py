"""The world family `room`: four walls, furniture along them and between, and a camera that walks in front of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import furniture
from .meshes import Part, Piece, box, rigid
from .scene import Geometry, GeometryBuilder, Region
from .spec import Spec

TRIES = 30  # places tried for a piece of furniture before it is left out
SPACE = 0.05  # m between pieces


@dataclass
class Layout:
    """The floor plan while it fills; x runs along the back wall, y from the front wall (0) to the back wall."""

    rng: np.random.Generator
    width: float
    depth: float
    height: float
    walk: Region
    builder: GeometryBuilder = field(default_factory=GeometryBuilder)
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)  # x0, y0, x1, y1

    def free(self, x: float, y: float, w: float, d: float) -> bool:
        """Whether a footprint w x d around (x, y) keeps clear of walls and other pieces."""
        x0, y0, x1, y1 = x - w / 2, y - d / 2, x + w / 2, y + d / 2
        if x0 < 0 or y0 < 0 or x1 > self.width or y1 > self.depth:
            return False
        return all(x1 + SPACE < a or c < x0 - SPACE or y1 + SPACE < b or e < y0 - SPACE for a, b, c, e in self.taken)

    def put(self, piece: Piece, x: float, y: float, yaw: float, z: float = 0.0) -> None:
        self.builder.add(piece.parts, rigid(x, y, z, yaw))
        if piece.top:
            self.put_on_top(piece.top, x, y, yaw, z)

    def stand(self, piece: Piece, x: float, y: float, yaw: float) -> bool:
        """Puts the piece there if its place is free."""
        c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
        w, d = c * piece.size[0] + s * piece.size[1], s * piece.size[0] + c * piece.size[1]
        if not self.free(x, y, w, d):
            return False
        self.taken.append((x - w / 2, y - d / 2, x + w / 2, y + d / 2))
        self.put(piece, x, y, yaw)
        return True

    def put_on_top(self, top: tuple[float, float, float], x: float, y: float, yaw: float, z: float) -> None:
        """Small things side by side on a table, shelf or cabinet."""
        width, depth, height = top
        if z + height > self.height - 0.5:
            return
        count = max(1, round(width / 0.34))
        for k in range(count):
            if self.rng.random() < 0.2:
                continue
            small = furniture.ON_TOP[self.rng.integers(len(furniture.ON_TOP))](self.rng)
            a = (k + 0.5) * width / count - width / 2
            b = self.rng.uniform(-0.5, 0.5) * max(depth - small.size[1], 0)
            c, s, turn = np.cos(yaw), np.sin(yaw), yaw + self.rng.uniform(-0.6, 0.6)
            self.put(small, x + c * a - s * b, y + s * a + c * b, turn, z + height)

    def along_wall(self, piece: Piece, wall: str) -> bool:
        """Tries places with the piece's back against the wall."""
        back = piece.size[1] / 2 + 0.02
        for _ in range(TRIES):
            if wall == "back":
                place = (self.rng.uniform(0, self.width), self.depth - back, 0.0)
            elif wall == "left":
                place = (back, self.rng.uniform(0.3, 1) * self.depth, np.pi / 2)
            else:
                place = (self.width - back, self.rng.uniform(0.3, 1) * self.depth, -np.pi / 2)
            if self.stand(piece, *place):
                return True
        return False

    def somewhere(self, piece: Piece) -> bool:
        """Tries places on the floor at any angle."""
        return any(self.stand(piece, self.rng.uniform(0.4, self.width - 0.4), self.rng.uniform(0.3, 0.92) * self.depth,
                              self.rng.uniform(-np.pi, np.pi)) for _ in range(TRIES))


def walls(layout: Layout) -> list[tuple[float, float, float, float]]:
    """Back, left, right and front wall: the middle of its foot (x, y), its yaw, its length."""
    w, d = layout.width, layout.depth
    return [(w / 2, d, 0.0, w), (0.0, d / 2, np.pi / 2, d), (w, d / 2, -np.pi / 2, d), (w / 2, 0.0, np.pi, w)]


def shell(layout: Layout) -> None:
    """Floor, ceiling, walls with skirting; each its own instance with its own material."""
    w, d, h, t = layout.width, layout.depth, layout.height, 0.1
    add = layout.builder.add
    add([Part(box(w + 1, d + 1, t), "floor")], rigid(w / 2, d / 2, -t))
    add([Part(box(w + 1, d + 1, t), "ceiling")], rigid(w / 2, d / 2, h))
    for x, y, yaw, length in walls(layout):
        wall, skirting = box(length + 2 * t, t, h, 0.0, t / 2), box(length, 0.02, 0.09, 0.0, -0.01)
        add([Part(wall, "wall"), Part(skirting, "wood", 1)], rigid(x, y, 0.0, yaw))


def hang_pictures(layout: Layout) -> None:
    """Pictures at eye height on three walls."""
    rng = layout.rng
    for x, y, yaw, length in walls(layout)[:3]:
        for k in range(2 if rng.random() < 0.3 else 3):
            picture = furniture.picture(rng)
            along = ((k + 0.5) / 3 - 0.5 + rng.uniform(-0.06, 0.06)) * length
            z = rng.uniform(1.5, 1.85)
            layout.put(picture, x + np.cos(yaw) * along, y + np.sin(yaw) * along, yaw, z)


def furnish(layout: Layout) -> None:
    """The large pieces first, then what fits between them."""
    rng, w, d = layout.rng, layout.width, layout.depth
    layout.put(furniture.rug(rng), w / 2 + rng.uniform(-0.4, 0.4), d * rng.uniform(0.55, 0.65), rng.uniform(-0.3, 0.3))
    x, y = w / 2 + rng.uniform(-0.5, 0.5), d * rng.uniform(0.5, 0.6)
    layout.stand(furniture.table(rng), x, y, rng.uniform(-0.35, 0.35))
    order = rng.permutation(len(furniture.AT_WALL))
    for wall, k in zip(("back", "back", "left", "right", "back"), order, strict=True):
        layout.along_wall(furniture.AT_WALL[k](rng), wall)
    for _ in range(4):
        piece = furniture.IN_CORNER[rng.integers(len(furniture.IN_CORNER))](rng)
        layout.along_wall(piece, ("left", "right", "back")[rng.integers(3)])
    for _ in range(3):
        layout.somewhere(furniture.chair(rng))
    for _ in range(4):
        layout.somewhere(furniture.ON_FLOOR[rng.integers(len(furniture.ON_FLOOR))](rng))


def build(spec: Spec) -> Geometry:
    """The room of this seed and scene, as `spec.textures` and the camera's motion do not change it."""
    rng = spec.random("layout")
    w, d, h = rng.uniform(4.2, 5.2), rng.uniform(4.6, 5.2), rng.uniform(2.4, 2.7)
    walk = Region(np.array([0.27 * w, 0.16 * d, 1.15]), np.array([0.73 * w, 0.3 * d, 1.65]))
    layout = Layout(rng, w, d, h, walk)
    layout.taken.append((walk.low[0] - 0.4, 0.0, walk.high[0] + 0.4, walk.high[1] + 0.35))
    shell(layout)
    furnish(layout)
    hang_pictures(layout)
    light = np.array([w * rng.uniform(0.25, 0.75), d * rng.uniform(0.25, 0.5), h - 0.15])
    sight = Region(np.array([0.2 * w, 0.6 * d, 0.55]), np.array([0.8 * w, 0.85 * d, 1.0]))
    return layout.builder.build(light, walk, sight)
