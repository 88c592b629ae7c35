"""A scene: everything a frame shows except the camera, at any time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .meshes import Array, Mesh, Part
from .rays import RayCaster, Rays, TwoCasters

Road = Callable[[Array], tuple[Array, Array]]
"""Way along it [n] in m -> points [n, 3], headings [n] in radians; a driver keeps to the given line."""

Motion = Callable[[float], Array]
"""Time in s -> T_world_object [4, 4]."""


@dataclass(frozen=True)
class Region:
    """A box [low, high] in world coordinates, m."""

    low: Array
    high: Array

    def at(self, share: Array) -> Array:
        """The point that lies at `share` (0..1 per axis) between the corners."""
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True)
class Orbit:
    """A circle about a point to look at; angles in radians, counter-clockwise from x."""

    centre: Array        # [3]
    radius: float
    height: float        # of the circle above the centre
    start: float = 0.0
    arc: float = 2 * np.pi


@dataclass(frozen=True)
class Stage:
    """Where a camera may be and look."""

    walk: Region                  # where it is carried
    sight: Region                 # what it looks at
    road: Road | None = None
    orbit: Orbit | None = None
    scale: float = 1.0            # of hands, and of how near the camera may come; in a room 1


@dataclass(frozen=True)
class Light:
    """A point that shines in all directions; a sun is far away."""

    at: Array                 # [3]
    strength: float = 1.6
    reach: float = np.inf     # m at which it has half its strength
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)


WHITE_GROUND = 0.95  # exposure that leaves a white ground in even light just below white


@dataclass(frozen=True)
class Lighting:
    lights: tuple[Light, ...]
    ambient: float = 0.4
    sky: tuple[tuple[float, float, float], tuple[float, float, float]] = ((0.0,) * 3, (0.0,) * 3)
    """Linear colour at the horizon and overhead, seen where a ray meets nothing."""
    clouds: float = 0.0
    exposure: float = 1.3


class Moment(NamedTuple):
    """The scene at one time."""

    corners: Array         # [F, 3, 3] world, m
    normals: Array         # [F, 3, 3] per corner, world
    T_object_world: Array  # [instances, 4, 4]
    T_world_object: Array  # [instances, 4, 4]
    rays: Rays


@dataclass(frozen=True, eq=False)
class Scene:
    """Triangles of all instances; those that move come last, in the coordinates of their objects."""

    corners: Array         # [F, 3, 3] world, m, exact in single precision
    normals: Array         # [F, 3, 3] per corner, world
    instance: Array        # [F]
    material: Array        # [F] index into `surfaces`
    surfaces: list[str]    # what every material is made of
    kind: Array            # [instances] index into `classes`
    classes: tuple[str, ...]  # the first one is nothing at all: what a ray sees that leaves the scene
    still: Moment          # without what moves
    motions: dict[int, Motion]  # instance -> its way
    lighting: Lighting
    stage: Stage

    @property
    def first_moving(self) -> int:
        return len(self.still.corners)

    def at(self, time: float) -> Moment:
        """The scene at this time, s."""
        return _moment(self, time) if self.motions else self.still


@lru_cache(maxsize=2)
def _moment(scene: Scene, time: float) -> Moment:
    there, back = scene.still.T_world_object.copy(), scene.still.T_object_world.copy()
    for k, motion in scene.motions.items():
        there[k] = motion(time)
        back[k] = np.linalg.inv(there[k])
    first = scene.first_moving
    T = there[scene.instance[first:]]
    moved = np.einsum("fij,fcj->fci", T[:, :3, :3], scene.corners[first:]) + T[:, None, :3, 3]
    turned = np.einsum("fij,fcj->fci", T[:, :3, :3], scene.normals[first:])
    return Moment(
        np.concatenate([scene.still.corners, moved]), np.concatenate([scene.still.normals, turned]), back, there,
        TwoCasters(scene.still.rays, RayCaster(moved), first),
    )


class _Part(NamedTuple):
    corners: Array
    normals: Array
    instance: int
    material: int


@dataclass
class SceneBuilder:
    """Collects instances one by one."""

    classes: tuple[str, ...]
    still: list[_Part] = field(default_factory=list)
    moving: list[_Part] = field(default_factory=list)
    surfaces: list[str] = field(default_factory=list)
    poses: list[Array] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    motions: dict[int, Motion] = field(default_factory=dict)

    def add(self, parts: list[Part], T_world_object: Array, kind: str) -> None:
        """One more instance: parts that belong together, one material per slot."""
        self._add(self.still, [(part, part.mesh.moved(T_world_object)) for part in parts], T_world_object, kind)

    def add_moving(self, parts: list[Part], motion: Motion, kind: str) -> None:
        """One more instance that moves: T_world_object as a function of time."""
        self.motions[len(self.poses)] = motion
        self._add(self.moving, [(part, part.mesh) for part in parts], motion(0.0), kind)

    def _add(self, to: list[_Part], parts: list[tuple[Part, Mesh]], T: Array, kind: str) -> None:
        material: dict[tuple[str, int], int] = {}
        for part, mesh in parts:
            key = (part.surface, part.slot)
            if key not in material:
                material[key] = len(self.surfaces)
                self.surfaces.append(part.surface)
            to.append(_Part(mesh.corners, mesh.normals, len(self.poses), material[key]))
        self.poses.append(T)
        self.kinds.append(self.classes.index(kind))

    def build(self, lighting: Lighting, stage: Stage) -> Scene:
        """The finished scene, with its ray-caster."""
        parts = [*self.still, *self.moving]
        counts = [len(part.corners) for part in parts]
        corners = np.concatenate([part.corners for part in parts]).astype(np.float32).astype(np.float64)
        normals = np.concatenate([part.normals for part in parts])
        rest = sum(len(part.corners) for part in self.still)
        T = np.stack(self.poses)
        inverse = np.stack([np.linalg.inv(pose) for pose in self.poses])
        still = Moment(corners[:rest], normals[:rest], inverse, T, RayCaster(corners[:rest]))
        return Scene(
            corners, normals, np.repeat([part.instance for part in parts], counts),
            np.repeat([part.material for part in parts], counts), self.surfaces, np.array(self.kinds), self.classes,
            still, self.motions, lighting, stage,
        )
