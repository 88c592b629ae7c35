"""Focus stacks: a thin lens as many pinholes on its aperture, whose images are shifted and added for any focus.

A point at z is seen by the pinhole at (a_x, a_y) shifted by -f a / z; shifting that pinhole's image back by f a / z_f
brings all points at the focus distance z_f together, and blurs the others over the circle of confusion (a light field
refocused, Ng et al. 2005).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epipole.types.errors import InputError

from .meshes import Array
from .render import GAMMA, cast, radiance
from .world import World


@dataclass(frozen=True)
class Lens:
    """A thin lens; its sensor is as wide as the field of view asks for."""

    aperture: float = 0.02   # m, diameter
    pinholes: int = 32

    def points(self) -> Array:
        """Places on the aperture [pinholes, 2], m: a sunflower's, evenly by area."""
        k = np.arange(self.pinholes) + 0.5
        r, a = self.aperture / 2 * np.sqrt(k / self.pinholes), k * np.pi * (3 - 5**0.5)
        return np.stack([r * np.cos(a), r * np.sin(a)], -1)

    def confusion(self, z: Array, focus: float, focal: float) -> Array:
        """Diameter of the circle of confusion, px, of points at depth z for a focal length in px."""
        return focal * self.aperture * np.abs(1 / z - 1 / focus)


def focus_distances(near: float, far: float, count: int = 10) -> Array:
    """Distances evenly spaced in 1/z, as a focus motor's steps nearly are."""
    return 1 / np.linspace(1 / near, 1 / far, count)


def focus_stack(world: World, index: int, distances: Array, lens: Lens = Lens()) -> Float[Tensor, "slices 3 h w"]:
    """Images of view `index` focused at each distance [slices], m. Raises InputError for a lens with distortion."""
    if any(world.spec.distortion):
        raise InputError("focus stacks are made for lenses without distortion; set distortion to zeros")
    camera, moment = world.camera(index), world.moment(index)
    focal, points = camera.K[0, 0], lens.points()
    margin = int(np.ceil(focal * lens.aperture / 2 / distances.min())) + 1
    K = camera.K.copy()
    K[:2, 2] += margin
    wide = replace(camera, K=K, width=camera.width + 2 * margin, height=camera.height + 2 * margin)
    total = np.zeros((len(distances), camera.height, camera.width, 3))
    for a in points:
        eye = wide.moved(np.array([*a, 0.0]))
        view = cast(moment, eye)
        light = radiance(world.scene, moment, world.materials, eye, view, smooth=False)
        image = light.reshape(eye.height, eye.width, 3)
        for k, z in enumerate(distances):
            total[k] += _window(image, margin - focal * a / z, camera.width, camera.height)
    mean = np.clip(total / len(points), 0, 1) ** (1 / GAMMA)
    return torch.from_numpy(mean.astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def _window(image: Array, corner: Array, width: int, height: int) -> Array:
    """The part [height, width] of an image whose top-left pixel is at `corner` (x, y), between pixels if need be."""
    x, y = np.floor(corner).astype(int)
    s, t = corner - [x, y]
    rows = (1 - t) * image[y : y + height] + t * image[y + 1 : y + 1 + height]
    return (1 - s) * rows[:, x : x + width] + s * rows[:, x + 1 : x + 1 + width]
