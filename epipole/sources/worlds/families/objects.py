"""The world family `objects`: one chair, car, table, lamp or blob on plain ground, and a camera that goes round it.

Every thing is as large as ShapeNet's models: its box has a diagonal of 1 m and its middle at the world's origin, so
that one cube of 1 m holds any of them. Difficulty 0 is white and evenly lit; 1 has one soft light and coloured
ground; 2 patterned ground and harder light; 3 bare and shining surfaces under a low hard light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..meshes import Array, Mesh, Part, box, rigid
from ..scene import WHITE_GROUND, Light, Lighting, Orbit, Region, Scene, SceneBuilder, Stage
from ..spec import Spec
from ..starshaped import Blob, draw_blob
from . import roadside, subjects

KINDS = ("chair", "car", "table", "lamp", "blob")
CLASSES = ("void", "ground", *KINDS)
SUBJECT = 1          # the instance that is the thing itself
MARGIN = 1.12        # how much more the camera sees than the ball around a thing
NEAREST = 0.65       # m from that ball to the camera, at least
GROUND = ("backdrop", "ground", "rug", "pavement")  # what it is made of, by difficulty


@dataclass(frozen=True)
class Subject:
    """A thing in place. `blob` is its shape in closed form where it has one."""

    kind: str
    parts: list[Part]
    floor: float         # height of the ground it stands on, m
    blob: Blob | None = None


def kind_of(spec: Spec) -> str:
    """The scenes of one seed take turns."""
    return KINDS[(spec.seed + spec.scene) % len(KINDS)]


def subject(spec: Spec) -> Subject:
    """The thing of this seed and scene."""
    rng, kind = spec.random("subject"), kind_of(spec)
    if kind == "blob":
        return _blob(rng)
    makers = {"chair": subjects.chair, "table": subjects.table, "lamp": subjects.lamp}
    if kind == "car":  # its front is +x at first
        parts = [replace(p, mesh=p.mesh.moved(rigid(0.0, 0.0, 0.0, -np.pi / 2))) for p in roadside.car(rng).parts]
    else:
        parts = makers[kind](rng)
    middle, size = _bounds(parts)
    scale = 1 / np.linalg.norm(size)
    fitted = [replace(p, mesh=Mesh((p.mesh.corners - middle) * scale, p.mesh.normals)) for p in parts]
    return Subject(kind, fitted, -size[2] * scale / 2)


def _blob(rng: np.random.Generator) -> Subject:
    """The shape is put in place before its mesh is made, so that both are the same."""
    shape = draw_blob(rng)
    material = str(rng.choice(["print", "ceramic", "fabric", "cover"]))
    middle, size = _bounds([Part(shape.mesh(), material)])
    scale = 1 / np.linalg.norm(size)
    placed = replace(shape, axes=shape.axes * scale, centre=-middle * scale)
    return Subject("blob", [Part(placed.mesh(), material)], -size[2] * scale / 2, placed)


def _bounds(parts: list[Part]) -> tuple[Array, Array]:
    """Middle and size [3] of the box around all parts."""
    points = np.concatenate([p.mesh.corners.reshape(-1, 3) for p in parts])
    low, high = points.min(0), points.max(0)
    return (low + high) / 2, high - low


def distance(spec: Spec) -> float:
    """From the camera to the origin, m, so that the ball around any thing fills the shorter side of the image."""
    half = np.arctan(np.tan(np.radians(spec.fov) / 2) * min(1, spec.height / spec.width))
    return max(0.5 * MARGIN / np.sin(half), 0.5 + NEAREST)


def light(spec: Spec) -> Lighting:
    """One lamp from the side, and a backdrop that is seen where rays miss the ground."""
    rng, level = spec.random("light"), spec.difficulty
    bearing = rng.uniform(0, 2 * np.pi)
    height = np.radians(rng.uniform(*((60, 80), (45, 70), (30, 65), (18, 50))[level]))
    at = 4.0 * np.array([np.cos(bearing) * np.cos(height), np.sin(bearing) * np.cos(height), np.sin(height)])
    strength = rng.uniform(*((0.25, 0.4), (0.7, 1.2), (1.0, 2.0), (1.5, 3.0))[level])
    ambient = rng.uniform(*((0.65, 0.75), (0.4, 0.6), (0.3, 0.5), (0.12, 0.35))[level])
    warm = rng.uniform(-0.12, 0.2) if level else 0.0
    shade = np.full(3, rng.uniform(0.88, 1.0)) if level == 0 else rng.uniform(0.15, 0.9) + rng.uniform(-0.1, 0.1, 3)
    red, green, blue = (float(c) for c in np.clip(shade, 0.02, 1.0))
    lamp = Light(at, strength, np.inf, (1 + warm, 1.0, 1 - warm))
    exposure = WHITE_GROUND if level == 0 else Lighting.exposure
    return Lighting((lamp,), ambient, ((red, green, blue),) * 2, exposure=exposure)


def scene(spec: Spec, rng: np.random.Generator) -> Scene:
    """The thing of this seed and scene on its ground; neither textures nor the camera's motion change it."""
    thing, far = subject(spec), distance(spec)
    builder = SceneBuilder(CLASSES)
    ground = Part(box(24.0, 24.0, 0.2), GROUND[spec.difficulty])
    builder.add([ground], rigid(0.0, 0.0, thing.floor - 0.2), "ground")
    builder.add(thing.parts, np.eye(4), thing.kind)
    reach = far / np.sqrt(3)
    walk = Region(np.array([-0.7 * reach, -1.5 * reach, 0.35 * reach]), np.array([0.7 * reach, -1.2 * reach, reach]))
    sight = Region(np.full(3, -0.2), np.full(3, 0.2))
    up = rng.uniform(0.3, 0.6)  # rad
    orbit = Orbit(np.zeros(3), far * np.cos(up), far * np.sin(up))
    return builder.build(light(spec), Stage(walk, sight, orbit=orbit))
