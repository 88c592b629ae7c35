"""From a scene and a camera to an image and its exact depth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .materials import Materials
from .meshes import Array, dot
from .rays import Hits
from .scene import Geometry

GAMMA = 2.2
AMBIENT = 0.4
LIGHT_REACH = 2.6  # m at which the light has half its strength
EXPOSURE = 1.3
SUBPIXELS = np.array([[-0.125, -0.375], [0.375, -0.125], [0.125, 0.375], [-0.375, 0.125]])  # rotated grid


class Frame(NamedTuple):
    """One rendered view."""

    image: Array  # [h, w, 3] float32 in [0, 1], gamma encoded
    depth: Array  # [h, w] float64 z, m; infinite where nothing was met


class Shading(NamedTuple):
    """Light and surface at ray hits."""

    colour: Array    # [n, 3] linear
    instance: Array  # [n]
    normal: Array    # [n, 3] world, shaded
    lit: Array       # [n] bool: reached by the light


def camera_rays(K: Array, T_world_camera: Array, pixels: Array) -> tuple[Array, Array]:
    """Origin [3] and directions [n, 3] in the world of pixels [n, 2]; the directions have z = 1 in the camera, so that
    the distance along them is depth."""
    x = (pixels - K[:2, 2]) / np.array([K[0, 0], K[1, 1]])
    R = T_world_camera[:3, :3]
    return T_world_camera[:3, 3], x[:, :1] * R[:, 0] + x[:, 1:] * R[:, 1] + R[:, 2]


def pixel_centres(width: int, height: int) -> Array:
    """[h * w, 2], row by row; (0, 0) is the centre of the top-left pixel."""
    v, u = np.mgrid[:height, :width]
    return np.stack([u.ravel(), v.ravel()], -1).astype(float)


def shade(
    geometry: Geometry, materials: Materials, origin: Array, directions: Array, hits: Hits, focal: float
) -> Shading:
    """Lambert's law under a point light with hard shadows and a soft ambient light from above."""
    g, face = geometry, hits.face
    t = np.where(np.isfinite(hits.t), hits.t, 0.0)
    point = origin + t[:, None] * directions
    weight = np.stack([1 - hits.uv[:, 0] - hits.uv[:, 1], *hits.uv.T], 1)
    normal = np.einsum("nc,nci->ni", weight, g.normals[face])
    normal /= np.sqrt(dot(normal, normal))[:, None]
    facing = np.abs(dot(normal, directions)) / np.sqrt(dot(directions, directions))

    T = g.T_object_world[g.instance[face]]
    at = np.einsum("nij,nj->ni", T[:, :3, :3], point) + T[:, :3, 3]
    turned = np.einsum("nij,nj->ni", T[:, :3, :3], normal)
    footprint = t / focal / np.sqrt(np.maximum(facing, 0.05))
    albedo = materials.colour(g.material[face], at, turned, footprint)

    to_light = g.light - point
    distance = np.sqrt(dot(to_light, to_light))
    cosine = dot(normal, to_light) / distance
    lit = cosine > 0
    lit[lit] = ~g.rays.blocked(g.light, (point + 1e-3 * normal)[lit])
    strength = np.where(lit, cosine, 0) / (1 + (distance / LIGHT_REACH) ** 2)
    ambient = AMBIENT * (0.7 + 0.2 * normal[:, 2] + 0.1 * normal[:, 0])
    colour = albedo * (EXPOSURE * (ambient + 1.6 * strength))[:, None]
    return Shading(np.where(face[:, None] >= 0, colour, 0.0), np.where(face >= 0, g.instance[face], -1), normal, lit)


def edges(s: Shading, width: int, height: int) -> Array:
    """[h * w] bool: pixels beside another instance, another orientation or the rim of a shadow."""
    labels = (s.instance.reshape(height, width), s.lit.reshape(height, width))
    normal = s.normal.reshape(height, width, 3)
    out = np.zeros((height, width), bool)
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = dot(normal[a], normal[b]) < 0.9
        for label in labels:
            differs |= label[a] != label[b]
        out[a] |= differs
        out[b] |= differs
    return out.ravel()


def render(geometry: Geometry, materials: Materials, K: Array, T_world_camera: Array, width: int, height: int) -> Frame:
    """One view, a ray per pixel; the colour of pixels on edges is the mean of four rays more."""
    pixels = pixel_centres(width, height)
    origin, directions = camera_rays(K, T_world_camera, pixels)
    hits = geometry.rays.cast(origin, directions)
    shading = shade(geometry, materials, origin, directions, hits, K[0, 0])
    colour, edge = shading.colour.copy(), edges(shading, width, height)
    if edge.any():
        _, fine = camera_rays(K, T_world_camera, (pixels[edge, None] + SUBPIXELS).reshape(-1, 2))
        more = shade(geometry, materials, origin, fine, geometry.rays.cast(origin, fine), 2 * K[0, 0])
        colour[edge] = more.colour.reshape(-1, len(SUBPIXELS), 3).mean(1)
    image = np.clip(colour, 0, 1) ** (1 / GAMMA)
    return Frame(image.reshape(height, width, 3).astype(np.float32), hits.t.reshape(height, width))
