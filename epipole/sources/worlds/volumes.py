"""A scene as a volume: which voxels lie within which thing, distances to the nearest surface, points on it.

Solids are filled, not only their surfaces. Every thing is a union of closed shells that may overlap, so a ray through
it counts entries and exits: where it has entered more often than left, it is inside. Rays along all three axes vote.
Volumes are [z, y, x]; voxel (i, j, k) is centred at ((k, j, i) + 1/2) times its size in the grid's own axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from .meshes import Array, dot
from .rays import RayCaster
from .scene import Moment, Scene

NUDGE = np.array([1.3e-7, 2.9e-7, 0.7e-7])  # m, by which rays miss the edges that lie on the grid
FINER = 4  # places along each side of a voxel that are looked at to see how full it is
DIRECTIONS = 48  # in which a point of a surface is looked at
MOSTLY_EMPTY = 0.95  # share of empty voxels from which on a block is empty (Song et al. 2017)


@dataclass(frozen=True)
class Grid:
    """A box of voxels anywhere in the world."""

    T_world_grid: Array
    size: float                      # of a voxel, m
    shape: tuple[int, int, int]      # voxels along z, y, x

    @property
    def counts(self) -> Array:
        """Voxels along x, y, z."""
        return np.array(self.shape[::-1])

    def points(self) -> Array:
        """Centres of all voxels [z, y, x, 3] in the world."""
        centres = (np.moveaxis(np.indices(self.shape), 0, -1)[..., ::-1] + 0.5) * self.size
        return centres @ self.T_world_grid[:3, :3].T + self.T_world_grid[:3, 3]


def before_camera(T_world_camera: Array, size: float = 0.02, floor: float = 0.0) -> Grid:
    """The box of semantic scene completion (Song et al. 2017): 4.8 m wide and deep, 2.88 m high, upright, its foot
    0.05 m below the floor, the camera in the middle of its front; x points to the right and y ahead."""
    ahead = T_world_camera[:2, 2] / np.linalg.norm(T_world_camera[:2, 2])
    right = np.array([ahead[1], -ahead[0]])
    T = np.eye(4)
    T[:2, 0], T[:2, 1] = right, ahead
    T[:2, 3], T[2, 3] = T_world_camera[:2, 3] - 2.4 * right, floor - 0.05
    return Grid(T, size, (round(2.88 / size), round(4.8 / size), round(4.8 / size)))


def around(points: Array, voxels: int) -> Grid:
    """The smallest cube of voxels^3 around points [n, 3], upright."""
    low, high = points.min(0), points.max(0)
    side = float((high - low).max()) * (1 + 1e-6)
    T = np.eye(4)
    T[:3, 3] = (low + high - side) / 2
    return Grid(T, side / voxels, (voxels,) * 3)


def labels(scene: Scene, moment: Moment, grid: Grid) -> UInt8[np.ndarray, "z y x"]:
    """The class of every voxel, 0 where there is nothing; of things that overlap the one added last counts."""
    out = np.zeros(grid.shape, np.uint8)
    corners = (moment.corners - grid.T_world_grid[:3, 3]) @ grid.T_world_grid[:3, :3] / grid.size
    order = np.argsort(scene.instance, kind="stable")
    starts = np.searchsorted(scene.instance[order], np.arange(len(scene.kind) + 1))
    for k, kind in enumerate(scene.kind):
        own = corners[order[starts[k] : starts[k + 1]]]
        low = np.clip(np.floor(own.min((0, 1))).astype(int) - 1, 0, grid.counts)
        high = np.clip(np.ceil(own.max((0, 1))).astype(int) + 1, 0, grid.counts)
        if (low < high).all():
            inside = solid(own - low, high - low)
            (x0, y0, z0), (x1, y1, z1) = low, high
            out[z0:z1, y0:y1, x0:x1][inside.transpose(2, 1, 0)] = kind
    return out


def solid(corners: Array, counts: Array) -> Bool[np.ndarray, "x y z"]:
    """Which voxels of a grid of size 1 lie within closed shells of triangles [F, 3, 3]; what is too thin to hold a
    voxel's centre holds the voxel that it passes through."""
    votes, thin = np.zeros(counts, np.uint8), np.zeros(counts, bool)
    for axis in range(3):
        turned = np.roll(np.arange(3), -axis - 1)  # the two across, then the one along
        filled, slim = _fill(corners[..., turned] + NUDGE, np.asarray(counts)[turned])
        back = np.argsort(turned)
        votes += filled.transpose(back)
        thin |= slim.transpose(back)
    return (votes >= 2) | thin


def _fill(corners: Array, counts: Array) -> tuple[Array, Array]:
    """Fills along the last axis, and marks what is thinner than a voxel."""
    column, height, sign = _crossings(corners, counts)
    first = np.ceil(height - 0.5).astype(int)  # the first voxel whose centre lies behind the crossing
    deep = counts[2] + 1
    cell = column * deep + np.clip(first, 0, counts[2])
    net = np.bincount(cell, sign, counts[0] * counts[1] * deep)
    many = np.bincount(cell, minlength=len(net))
    shape = (counts[0], counts[1], deep)
    slim, at = np.zeros(counts, bool).reshape(-1, counts[2]), np.floor(height).astype(int)
    mark = (net[cell] == 0) & (many[cell] > 1) & (sign > 0) & (at >= 0) & (at < counts[2])
    slim[column[mark], at[mark]] = True
    return np.cumsum(net.reshape(shape), axis=2)[..., :-1] > 0.5, slim.reshape(counts)


def _crossings(corners: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Where lines through the middles of columns meet triangles: column, height, +1 to enter and -1 to leave."""
    flat = corners[..., :2]
    low = np.clip(np.ceil(flat.min(1) - 0.5).astype(int), 0, counts[:2])
    high = np.clip(np.floor(flat.max(1) - 0.5).astype(int) + 1, 0, counts[:2])
    wide, tall = np.maximum(high - low, 0).T
    face = np.repeat(np.arange(len(corners)), wide * tall)
    rank = np.arange(len(face)) - np.repeat(np.cumsum(wide * tall) - wide * tall, wide * tall)
    i, j = low[face, 0] + rank // np.maximum(tall[face], 1), low[face, 1] + rank % np.maximum(tall[face], 1)
    p = np.stack([i, j], -1) + 0.5
    a, b, c = flat[face].swapaxes(0, 1)
    area = _cross(b - a, c - a)
    area = np.where(np.abs(area) > 1e-12, area, np.nan)  # a triangle seen from the side meets no line
    u, v = _cross(p - a, c - a) / area, _cross(b - a, p - a) / area
    hit = (u >= 0) & (v >= 0) & (u + v <= 1)
    height = corners[face, 0, 2] + u * (corners[face, 1, 2] - corners[face, 0, 2]) \
        + v * (corners[face, 2, 2] - corners[face, 0, 2])
    return (i * counts[1] + j)[hit], height[hit], -np.sign(area[hit])  # outward normals: to enter is against one


def _cross(a: Array, b: Array) -> Array:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def coarser(fine: UInt8[np.ndarray, "z y x"], factor: int = 4) -> UInt8[np.ndarray, "z2 y2 x2"]:
    """Labels of blocks: empty if nearly all voxels are, else the most frequent class of those that are not."""
    z, y, x = (n // factor for n in fine.shape)
    cut = fine[: z * factor, : y * factor, : x * factor]
    blocks = cut.reshape(z, factor, y, factor, x, factor).transpose(0, 2, 4, 1, 3, 5).reshape(-1, factor**3)
    kinds = int(fine.max()) + 1
    counts = np.stack([(blocks == k).sum(1) for k in range(kinds)], 1)
    empty = counts[:, 0] > MOSTLY_EMPTY * factor**3
    counts[:, 0] = 0
    return np.where(empty, 0, counts.argmax(1)).astype(np.uint8).reshape(z, y, x)


def occupancy(corners: Array, counts: Array) -> Bool[np.ndarray, "z y x"]:
    """Which voxels of a grid of size 1 are filled by closed shells [F, 3, 3] for the better part, or by something
    thinner than a voxel: what is partly filled counts too, unless it is the rim of a neighbour that is fuller, with
    nothing on the other side. So thick things keep their volume and thin ones hold together."""
    nx, ny, nz = counts
    fine = solid(corners * FINER, np.asarray(counts) * FINER).reshape(nx, FINER, ny, FINER, nz, FINER)
    share = fine.mean((1, 3, 5)).transpose(2, 1, 0)
    padded, rim = np.pad(share, 1), np.zeros(share.shape, bool)
    for axis in range(3):
        at = [slice(1, -1)] * 3
        sides = []
        for part in (slice(None, -2), slice(2, None)):
            at[axis] = part
            sides.append(padded[tuple(at)])
        for a, b in (sides, sides[::-1]):
            rim |= (a > share) & (b == 0)
    return (share >= 0.5) | ((share > 0) & ~rim)


def signed_distance(inside: Bool[np.ndarray, "z y x"], size: float, truncation: float) -> Float32[np.ndarray, "z y x"]:
    """Distance in m to the border of a solid, positive outside, cut off at the truncation."""
    from scipy.ndimage import distance_transform_edt

    far = np.full(inside.shape, np.inf)
    outside = distance_transform_edt(~inside) if inside.any() else far
    within = distance_transform_edt(inside) if not inside.all() else far
    signed = np.where(inside, 0.5 - within, outside - 0.5) * size
    return np.clip(signed, -truncation, truncation).astype(np.float32)


def surface_points(
    scene: Scene, moment: Moment, count: int, rng: np.random.Generator, instances: Array | None = None
) -> tuple[Array, Array, Array]:
    """Points on all triangles, evenly by area: [count, 3] world, their normals [count, 3], their classes [count]."""
    faces = np.arange(len(moment.corners))
    if instances is not None:
        faces = faces[np.isin(scene.instance, instances)]
    points, normals, pick = _spread(moment.corners[faces], count, rng)
    return points, normals, scene.kind[scene.instance[faces[pick]]]


def _spread(corners: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Points [count, 3], evenly by area, on triangles [F, 3, 3], the normals there, and which triangles they lie on."""
    a, b, c = corners.swapaxes(0, 1)
    normal = np.cross(b - a, c - a)
    area = np.sqrt(dot(normal, normal))
    pick = rng.choice(len(corners), count, p=area / area.sum())
    u, v = rng.random((2, count))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u)[:, None], np.where(over, 1 - v, v)[:, None]
    return a[pick] + u * (b - a)[pick] + v * (c - a)[pick], normal[pick] / area[pick, None], pick


def outer_points(corners: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Points [count, 3], evenly by area, on what can be seen from outside of closed shells [F, 3, 3] that may overlap,
    and their normals [count, 3]; m. What lies within another shell, or walled in, is left out."""
    rays, size = RayCaster(corners), float(np.ptp(corners.reshape(-1, 3), axis=0).max())
    found: list[Array] = []
    while sum(len(part) for part in found) < count:
        points, out, _ = _spread(corners, count, rng)
        seen = _seen_from_outside(rays, points, out, size)
        found.append(np.concatenate([points, out], 1)[seen])
    both = np.concatenate(found)[:count]
    return both[:, :3], both[:, 3:]


def _seen_from_outside(rays: RayCaster, points: Array, normals: Array, size: float) -> Array:
    """[n] bool: whether a ray from a point of a surface, in any of some directions, leaves everything behind."""
    seen, start = np.zeros(len(points), bool), points + 1e-4 * size * normals
    k = np.arange(DIRECTIONS) + 0.5
    z, turn = 1 - 2 * k / DIRECTIONS, k * np.pi * (1 + 5**0.5)  # a Fibonacci sphere
    sphere = np.stack([np.cos(turn) * np.sqrt(1 - z**2), np.sin(turn) * np.sqrt(1 - z**2), z], -1)
    for way in sphere:
        open_ = np.flatnonzero(~seen)
        side = np.where(normals[open_] @ way < 0, -1.0, 1.0)[:, None]
        seen[open_] = np.isinf(rays.cast(start[open_], side * way).t)
    return seen
