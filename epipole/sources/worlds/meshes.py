"""Triangles and the solids they are put together from. Lengths in m, z up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Array = np.ndarray


def dot(a: Array, b: Array) -> Array:
    """Scalar products of vectors [..., 3]."""
    return np.einsum("...i,...i->...", a, b)


@dataclass(frozen=True)
class Mesh:
    """Triangles with one normal per corner, so that round things can be shaded round."""

    corners: Array  # [F, 3 corners, 3]
    normals: Array  # [F, 3 corners, 3], outward, unit length

    def moved(self, T: Array) -> Mesh:
        """The mesh after the rigid motion T [4, 4]."""
        R = T[:3, :3]
        return Mesh(self.corners @ R.T + T[:3, 3], self.normals @ R.T)


@dataclass(frozen=True)
class Part:
    """A mesh of one material; `surface` names what it is made of, parts of one `slot` get the same material."""

    mesh: Mesh
    surface: str
    slot: int = 0


@dataclass(frozen=True)
class Piece:
    """A thing that stands in a scene: its origin lies on its floor, in the middle; its front faces -y."""

    parts: list[Part]
    size: tuple[float, float, float]      # width (x), depth (y), height (z)
    top: tuple[float, float, float] | None = None  # width, depth, height of a face on which small things can stand
    kind: str = "objects"                 # its class


def rigid(x: float, y: float, z: float, yaw: float = 0.0) -> Array:
    """T [4, 4]: turn by yaw about the vertical, then move."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1]])


def joined(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    return Mesh(np.concatenate([m.corners for m in meshes]), np.concatenate([m.normals for m in meshes]))


def _cube() -> Mesh:
    """The box from -1 to 1."""
    corners, normals = [], []
    for axis in range(3):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        for side in (-1.0, 1.0):
            face = np.zeros((4, 3))
            face[:, axis] = side
            face[:, a] = side * np.array([-1, 1, 1, -1])  # counter-clockwise seen from outside
            face[:, b] = [-1, -1, 1, 1]
            corners += [face[[0, 1, 2]], face[[0, 2, 3]]]
            normals += [np.tile(side * np.eye(3)[axis], (3, 1))] * 2
    return Mesh(np.array(corners), np.array(normals))


CUBE = _cube()


def box(width: float, depth: float, height: float, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
    """A box that stands at height z with its middle above (x, y): 12 triangles."""
    half = np.array([width, depth, height]) / 2
    return Mesh(CUBE.corners * half + np.array([x, y, z + half[2]]), CUBE.normals)


def _around(ring: Array, radial: Array, vertical: Array) -> Array:
    """Vectors [P, S, 3] with these parts along every direction of a ring [S, 2] and upward [P]."""
    up = np.broadcast_to(vertical[:, None, None], (len(vertical), len(ring), 1))
    return np.concatenate([radial[:, None, None] * ring, up], -1)


def lathe(profile: list[tuple[float, float]], segments: int = 28) -> Mesh:
    """The surface swept by a profile of (radius, height), from bottom to top, about the vertical."""
    r, z = np.array(profile, float).T
    turn = np.linspace(0, 2 * np.pi, segments + 1)
    turn[-1] = 0.0  # the seam closes to the bit
    ring = np.stack([np.cos(turn), np.sin(turn)], -1)
    points = _around(ring, r, z)
    slope = np.gradient(np.array([r, z]), axis=1)
    out = slope[::-1] * np.array([[1], [-1]]) / np.hypot(*slope)  # the profile's tangent (dr, dz) turned outward
    normals = _around(ring, *out)

    def triangles(grid: Array) -> Array:
        a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
        return np.concatenate([np.stack([a, b, c], 2).reshape(-1, 3, 3), np.stack([a, c, d], 2).reshape(-1, 3, 3)])

    corners = triangles(points)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    solid = area > 1e-10  # at a pole one triangle of each pair has no area
    return Mesh(corners[solid], triangles(normals)[solid])


def ball(radius: float, flatten: float = 1.0, segments: int = 28) -> Mesh:
    """An ellipsoid that stands on the floor."""
    t = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    return lathe([(max(radius * np.cos(a), 0.0), radius * flatten * (1 + np.sin(a))) for a in t], segments)


def cylinder(radius: float, height: float, z: float = 0.0, top: float | None = None, segments: int = 28) -> Mesh:
    """A closed cylinder, or a cone frustum with another radius at the top. Its edges are shaded sharp."""
    end = radius if top is None else top
    outline = [(0.0, z), (radius, z), (end, z + height), (0.0, z + height)]
    shells = [lathe([a, b], segments) for a, b in pairwise(outline)]
    return joined(shells)


def prism(outline: Array, low: float, high: float) -> Mesh:
    """The solid over a convex outline [k, 2], counter-clockwise seen from above, between two heights."""
    n = len(outline)
    a, b = np.c_[outline, np.full(n, low)], np.c_[outline, np.full(n, high)]
    fan = np.stack([np.zeros(n - 2, int), np.arange(1, n - 1), np.arange(2, n)], 1)
    i, j = np.arange(n), np.roll(np.arange(n), -1)
    sides = np.concatenate([np.stack([a[i], a[j], b[j]], 1), np.stack([a[i], b[j], b[i]], 1)])
    return flat(np.concatenate([a[fan[:, ::-1]], b[fan], sides]))


def flat(corners: Array) -> Mesh:
    """Triangles [F, 3, 3] that are shaded flat, each with its own normal; counter-clockwise seen from outside."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    return Mesh(corners, np.repeat(normal[:, None], 3, 1))


def blob(rng: np.random.Generator, radius: float, roughness: float = 0.25, detail: int = 10) -> Mesh:
    """A lumpy ball about the origin, star-shaped: every direction's radius is a random low harmonic."""
    v = np.linspace(0, np.pi, detail + 1)
    u = np.linspace(0, 2 * np.pi, 2 * detail + 1)
    u[-1] = 0.0
    out = np.stack([np.outer(np.sin(v), np.cos(u)), np.outer(np.sin(v), np.sin(u)),
                    np.outer(np.cos(v), np.ones_like(u))], -1)
    out[0], out[-1] = [0, 0, 1], [0, 0, -1]
    waves, phase = rng.normal(size=(6, 3)) * 2.2, rng.uniform(0, 2 * np.pi, 6)
    r = radius * (1 + roughness * np.sin(out @ waves.T + phase).mean(-1, keepdims=True) * 1.6)
    grid = r * out
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    corners = np.concatenate([np.stack([a, b, c], 2).reshape(-1, 3, 3), np.stack([a, c, d], 2).reshape(-1, 3, 3)])
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    return flat(corners[area > 1e-10])
