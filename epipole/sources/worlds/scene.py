"""A scene: everything a frame shows except the camera."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .meshes import Array, Part
from .rays import RayCaster


@dataclass(frozen=True)
class Region:
    """A box [low, high] in world coordinates, m."""

    low: Array
    high: Array

    def at(self, share: Array) -> Array:
        """The point that lies at `share` (0..1 per axis) between the corners."""
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True)
class Geometry:
    """Triangles of all instances, and where a camera may be and look."""

    corners: Array         # [F, 3, 3] world, m, exact in single precision
    normals: Array         # [F, 3, 3] per corner, world
    instance: Array        # [F]
    material: Array        # [F] index into `surfaces`
    surfaces: list[str]    # what every material is made of
    T_object_world: Array  # [instances, 4, 4]: textures are solid in object coordinates
    light: Array           # [3] the point light
    walk: Region           # where the camera moves
    sight: Region          # where it looks
    rays: RayCaster


@dataclass
class GeometryBuilder:
    """Collects instances one by one."""

    parts: list[tuple[Array, Array, int, int]] = field(default_factory=list)
    surfaces: list[str] = field(default_factory=list)
    poses: list[Array] = field(default_factory=list)

    def add(self, parts: list[Part], T_world_object: Array) -> None:
        """One more instance: parts that move together, one material per slot."""
        material: dict[tuple[str, int], int] = {}
        for part in parts:
            key = (part.surface, part.slot)
            if key not in material:
                material[key] = len(self.surfaces)
                self.surfaces.append(part.surface)
            mesh = part.mesh.moved(T_world_object)
            self.parts.append((mesh.corners, mesh.normals, len(self.poses), material[key]))
        self.poses.append(np.linalg.inv(T_world_object))

    def build(self, light: Array, walk: Region, sight: Region) -> Geometry:
        """The finished scene, with its ray-caster."""
        counts = [len(corners) for corners, *_ in self.parts]
        corners = np.concatenate([p[0] for p in self.parts]).astype(np.float32).astype(np.float64)
        return Geometry(
            corners, np.concatenate([p[1] for p in self.parts]),
            np.repeat([p[2] for p in self.parts], counts), np.repeat([p[3] for p in self.parts], counts),
            self.surfaces, np.stack(self.poses), light, walk, sight, RayCaster(corners),
        )
