"""Light on surfaces: Lambert's law with hard shadows, gloss after Blinn and Phong, a soft ambient light, a sky."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .materials import Materials
from .meshes import Array, dot
from .rays import Hits
from .scene import Light, Moment, Scene
from .textures import fractal_of


class Shading(NamedTuple):
    """Light and surface at ray hits."""

    colour: Array    # [n, 3] linear
    instance: Array  # [n] -1 where a ray met nothing
    normal: Array    # [n, 3] world, shaded
    lit: Array       # [n] which lights reach the point, one bit each


def normals_at(moment: Moment, hits: Hits) -> Array:
    """Unit normals [n, 3] of the world at hits, as round as the solids were meant to be."""
    weight = np.stack([1 - hits.uv[:, 0] - hits.uv[:, 1], *hits.uv.T], 1)
    normal = combined(moment.normals.swapaxes(1, 2), hits.face, weight)
    normal /= np.sqrt(dot(normal, normal))[:, None]
    return normal


def object_points(moment: Moment, instance: Array, point: Array) -> Array:
    """World points [n, 3] in the coordinates of their instances [n]."""
    return moved(moment.T_object_world, instance, point)


def moved(T: Array, which: Array, point: Array) -> Array:
    """Points [n, 3], each by its one, `which` [n], of the rigid motions [m, 4, 4]."""
    return combined(T[:, :3, :3], which, point) + np.take(T[:, :3, 3], which, 0)


def combined(matrices: Array, which: Array, vectors: Array) -> Array:
    """Products [n, 3] of vectors [n, 3], each with its one of the matrices [m, 3, 3]: column by column, because to
    gather a matrix for every vector takes several times as long."""
    x, y, z = (np.take(matrices[:, :, k], which, 0) * vectors[:, k : k + 1] for k in range(3))
    return x + y + z


def shade(
    scene: Scene, moment: Moment, materials: Materials, origin: Array, directions: Array, hits: Hits, focal: float
) -> Shading:
    """Colours at hits of rays from one or many origins; `focal` in px tells how large a pixel is on the surface.

    In single precision: a millionth of a colour is not seen, and memory is what shading waits for."""
    instance, material = np.take(scene.instance, hits.face), np.take(scene.material, hits.face)
    t = np.where(np.isfinite(hits.t), hits.t, 0.0)
    point = (origin + t[:, None] * directions).astype(np.float32)
    directions, t = directions.astype(np.float32), t.astype(np.float32)
    normal = normals_at(moment, hits).astype(np.float32)
    length = np.sqrt(dot(directions, directions))
    facing = np.abs(dot(normal, directions)) / length

    T = moment.T_object_world.astype(np.float32)
    turned = combined(T[:, :3, :3], instance, normal)
    footprint = t / focal / np.sqrt(np.maximum(facing, 0.05))
    albedo = materials.colour(material, moved(T, instance, point), turned, footprint)

    lighting = scene.lighting
    light = lighting.ambient * (0.7 + 0.2 * normal[:, 2] + 0.1 * normal[:, 0])[:, None]
    gloss, reached = np.zeros_like(point), np.zeros(len(point), np.uint8)
    shining = materials.gloss[material] > 0
    for k, source in enumerate(lighting.lights):
        strength, lit, to_light = _reach(moment, source, point, normal)
        light = light + strength[:, None] * np.array(source.colour, np.float32)
        reached |= lit.astype(np.uint8) << k
        if shining.any():
            s = shining & lit
            half = to_light[s] - directions[s] / length[s, None]
            half /= np.sqrt(dot(half, half))[:, None]
            peak = np.maximum(dot(half, normal[s]), 0) ** materials.hardness[material[s]]
            gloss[s] += (materials.gloss[material[s]] * peak)[:, None] * np.array(source.colour, np.float32)
    colour = albedo * (lighting.exposure * light) + lighting.exposure * gloss
    met = hits.face >= 0
    colour[~met] = sky(scene, directions[~met] / length[~met, None])
    return Shading(colour, np.where(met, instance, -1), normal, reached)


def _reach(moment: Moment, light: Light, point: Array, normal: Array) -> tuple[Array, Array, Array]:
    """Strength [n] of a light at points, whether it reaches them at all [n], and the directions to it [n, 3]."""
    to_light = light.at.astype(np.float32) - point
    distance = np.sqrt(dot(to_light, to_light))
    cosine = dot(normal, to_light) / distance
    lit = cosine > 0
    lit[lit] = ~moment.rays.blocked(light.at, (point + 1e-3 * normal)[lit])
    strength = np.where(lit, cosine, 0) / (1 + (distance / light.reach) ** 2)
    return light.strength * strength, lit, to_light / distance[:, None]


def sky(scene: Scene, directions: Array) -> Array:
    """Linear colour [n, 3] of what lies beyond the scene, in unit directions [n, 3]."""
    horizon, zenith = np.array(scene.lighting.sky)
    up = np.clip(directions[:, 2], 0, 1)
    colour = horizon + (zenith - horizon) * (up**0.6)[:, None]
    if scene.lighting.clouds:
        flat = directions / (0.15 + up)[:, None]
        cover = np.clip(2 * fractal_of(flat * 1.3 + 40.0, 4) + 0.6 * scene.lighting.clouds, 0, 1)
        colour = colour + (np.array([0.92, 0.92, 0.95]) * horizon.max() - colour) * (0.85 * cover)[:, None]
    return colour
