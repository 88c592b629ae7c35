"""From a scene and a camera to an image, its exact depth, and what every pixel sees."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .camera import Camera, pixel_centres
from .materials import Materials
from .meshes import Array, dot
from .rays import Hits
from .scene import Moment, Scene
from .shading import Shading, shade

GAMMA = 2.2
SUBPIXELS = np.array([[-0.125, -0.375], [0.375, -0.125], [0.125, 0.375], [-0.375, 0.125]])  # rotated grid


class View(NamedTuple):
    """What the pixels of one camera meet, before any colour."""

    origin: Array      # [3], or [h * w, 3] where the camera moves while it looks
    directions: Array  # [h * w, 3], z = 1 in the camera
    hits: Hits


def cast(moment: Moment, camera: Camera, pixels: Array | None = None) -> View:
    """A ray through every pixel [n, 2], by default through all pixel centres."""
    at = pixel_centres(camera.width, camera.height) if pixels is None else pixels
    origin, directions = camera.rays(at)
    return View(origin, directions, moment.rays.cast(origin, directions))


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


def radiance(
    scene: Scene, moment: Moment, materials: Materials, camera: Camera, view: View, smooth: bool = True
) -> Array:
    """Linear colour [h * w, 3], a ray per pixel; if `smooth`, the colour of pixels on edges is the mean of four rays
    more."""
    focal = camera.K[0, 0]
    shading = shade(scene, moment, materials, view.origin, view.directions, view.hits, focal)
    edge = edges(shading, camera.width, camera.height)
    if not smooth or not edge.any():
        return shading.colour
    colour, pixels = shading.colour.copy(), pixel_centres(camera.width, camera.height)
    fine = cast(moment, camera, (pixels[edge, None] + SUBPIXELS).reshape(-1, 2))
    more = shade(scene, moment, materials, fine.origin, fine.directions, fine.hits, 2 * focal)
    colour[edge] = more.colour.reshape(-1, len(SUBPIXELS), 3).mean(1)
    return colour
