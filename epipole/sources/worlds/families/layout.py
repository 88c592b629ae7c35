"""The floor plan of a room while it fills: what stands where without overlapping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..meshes import Part, Piece, box, rigid
from ..moving import Bouncing, Circling
from ..scene import Region, SceneBuilder
from . import furniture

TRIES = 30  # places tried for a piece of furniture before it is left out
SPACE = 0.05  # m between pieces
CLASSES = (
    "empty", "ceiling", "floor", "wall", "window", "chair", "bed", "sofa", "table", "tvs", "furniture", "objects",
)
"""Those of semantic scene completion (Song et al. 2017)."""

Maker = Callable[[np.random.Generator], Piece]
ON_TOP: tuple[Maker, ...] = (furniture.vase, furniture.stack_of_books, furniture.carton, furniture.fruit)


@dataclass
class Layout:
    """x runs along the back wall, y from the front wall (0) to the back wall."""

    rng: np.random.Generator
    width: float
    depth: float
    height: float
    walk: Region
    builder: SceneBuilder = field(default_factory=lambda: SceneBuilder(CLASSES))
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)  # x0, y0, x1, y1
    on_walls: list[tuple[int, float, float]] = field(default_factory=list)  # wall, from, to

    def free(self, x: float, y: float, w: float, d: float) -> bool:
        """Whether a footprint w x d around (x, y) keeps clear of walls and other pieces."""
        x0, y0, x1, y1 = x - w / 2, y - d / 2, x + w / 2, y + d / 2
        if x0 < 0 or y0 < 0 or x1 > self.width or y1 > self.depth:
            return False
        return all(x1 + SPACE < a or c < x0 - SPACE or y1 + SPACE < b or e < y0 - SPACE for a, b, c, e in self.taken)

    def take(self, x: float, y: float, w: float, d: float) -> None:
        self.taken.append((x - w / 2, y - d / 2, x + w / 2, y + d / 2))

    def put(self, piece: Piece, x: float, y: float, yaw: float, z: float = 0.0) -> None:
        self.builder.add(piece.parts, rigid(x, y, z, yaw), piece.kind)
        if piece.top:
            self.put_on_top(piece.top, x, y, yaw, z)

    def stand(self, piece: Piece, x: float, y: float, yaw: float) -> bool:
        """Puts the piece there if its place is free."""
        c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
        w, d = c * piece.size[0] + s * piece.size[1], s * piece.size[0] + c * piece.size[1]
        if not self.free(x, y, w, d):
            return False
        self.take(x, y, w, d)
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
            small = ON_TOP[self.rng.integers(len(ON_TOP))](self.rng)
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

    def move_about(self, piece: Piece, size: float, motion: Circling | Bouncing) -> None:
        """Gives a thing that moves a free square of the floor to itself, if there is one."""
        for _ in range(TRIES):
            x, y = self.rng.uniform(0.15, 0.85) * self.width, self.rng.uniform(0.35, 0.9) * self.depth
            if self.free(x, y, size, size):
                self.take(x, y, size, size)
                return self.builder.add_moving(piece.parts, replace(motion, x=x, y=y), piece.kind)
        return None

    def walls(self) -> list[tuple[float, float, float, float]]:
        """Back, left, right and front wall: the middle of its foot (x, y), its yaw, its length."""
        w, d = self.width, self.depth
        return [(w / 2, d, 0.0, w), (0.0, d / 2, np.pi / 2, d), (w, d / 2, -np.pi / 2, d), (w / 2, 0.0, np.pi, w)]

    def shell(self) -> None:
        """Floor, ceiling, walls with skirting; each its own instance with its own material."""
        w, d, h, t = self.width, self.depth, self.height, 0.1
        self.builder.add([Part(box(w + 1, d + 1, t), "floor")], rigid(w / 2, d / 2, -t), "floor")
        self.builder.add([Part(box(w + 1, d + 1, t), "ceiling")], rigid(w / 2, d / 2, h), "ceiling")
        for x, y, yaw, length in self.walls():
            wall, skirting = box(length + 2 * t, t, h, 0.0, t / 2), box(length, 0.02, 0.09, 0.0, -0.01)
            self.builder.add([Part(wall, "wall"), Part(skirting, "wood", 1)], rigid(x, y, 0.0, yaw), "wall")

    def fasten(self, piece: Piece, wall: int, along: float, z: float) -> None:
        """Puts a flat thing on a wall, `along` m from its middle."""
        x, y, yaw, _ = self.walls()[wall]
        self.put(piece, x + np.cos(yaw) * along, y + np.sin(yaw) * along, yaw, z)

    def hang(self, piece: Piece, wall: int, along: float, z: float) -> bool:
        """The same if that stretch of wall is free."""
        length = self.walls()[wall][3]
        low, high = along - piece.size[0] / 2, along + piece.size[0] / 2
        used = any(k == wall and low < b + SPACE and high > a - SPACE for k, a, b in self.on_walls)
        if used or low < -length / 2 + 0.1 or high > length / 2 - 0.1:
            return False
        self.on_walls.append((wall, low, high))
        self.fasten(piece, wall, along, z)
        return True
