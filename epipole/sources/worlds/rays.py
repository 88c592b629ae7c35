"""The ray-caster: which triangle a ray meets first (embree, single precision), and where exactly (double)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene

from .meshes import Array, dot

CONTACT = 1e-4  # share of a length by which two computations of one and the same hit may differ


class Hits(NamedTuple):
    """What rays met: `face` -1 and an infinite `t` where they met nothing."""

    t: Array     # [n] in units of the ray's direction: z-depth if its z component is 1
    face: Array  # [n] triangle
    uv: Array    # [n, 2] barycentric weights of the triangle's second and third corner


@cache
def device() -> EmbreeDevice:
    """One for all scenes of the process: about a thousand at a time end it without a word."""
    return EmbreeDevice()


class RayCaster:
    """Triangles, ready to be shot at. Read-only, so one serves all frames; it cannot be pickled."""

    def __init__(self, corners: Array) -> None:
        """`corners` [F, 3, 3]: which of them is met is found in single precision, where it is met in double."""
        self._first = corners[:, 0]
        self._normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self._scene = EmbreeScene(device(), robust=True)
        faces = np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3)
        self._mesh = TriangleMesh(self._scene, corners.reshape(-1, 3).astype(np.float32), faces)

    def cast(self, origins: Array, directions: Array) -> Hits:
        """First hits of rays [n, 3]; directions of any length."""
        o, d = np.broadcast_arrays(origins, directions)
        hit = self._scene.run(np.ascontiguousarray(o, np.float32), np.ascontiguousarray(d, np.float32), output=1)
        face = hit["primID"]
        n, p = np.take(self._normal, face, 0), np.take(self._first, face, 0)
        with np.errstate(divide="ignore", invalid="ignore"):  # a miss looks at face -1; it is overwritten
            t = dot(p - o, n) / dot(d, n)
        return Hits(np.where(face >= 0, t, np.inf), face, np.stack([hit["u"], hit["v"]], -1))

    def blocked(self, origins: Array, targets: Array) -> Array:
        """[n] bool: whether something stands between two points (the ends themselves do not count)."""
        o, d = np.broadcast_arrays(origins, targets - origins)
        start, way = o + CONTACT * d, (1 - 2 * CONTACT) * d
        return self._scene.run(np.ascontiguousarray(start, np.float32), np.ascontiguousarray(way, np.float32),
                               dists=np.ones(len(o), np.float32), query="OCCLUDED") == 0


class TwoCasters:
    """What stands still, built once, and what moves, built anew for every moment; the moving faces' numbers follow."""

    def __init__(self, still: Rays, moving: RayCaster, first_moving: int) -> None:
        self.still, self.moving, self.first_moving = still, moving, first_moving

    def cast(self, origins: Array, directions: Array) -> Hits:
        """First hits of rays [n, 3]; directions of any length."""
        a, b = self.still.cast(origins, directions), self.moving.cast(origins, directions)
        nearer = b.t < a.t
        face = np.where(nearer, b.face + self.first_moving, a.face)
        return Hits(np.where(nearer, b.t, a.t), face, np.where(nearer[:, None], b.uv, a.uv))

    def blocked(self, origins: Array, targets: Array) -> Array:
        """[n] bool: whether something stands between two points (the ends themselves do not count)."""
        return self.still.blocked(origins, targets) | self.moving.blocked(origins, targets)


Rays = RayCaster | TwoCasters
