"""Cameras: pixels to rays and points to pixels, in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from epipole.geometry.brown_conrady import BrownConrady
from epipole.types.errors import InputError

from .meshes import Array

NEAR = 1e-3  # m; points nearer to the camera plane are not projected


def pixel_centres(width: int, height: int) -> Array:
    """[h * w, 2], row by row; (0, 0) is the centre of the top-left pixel."""
    v, u = np.mgrid[:height, :width]
    return np.stack([u.ravel(), v.ravel()], -1).astype(float)


@dataclass(frozen=True)
class Camera:
    """One camera at one moment."""

    K: Array               # [3, 3] px
    T_world_camera: Array  # [4, 4]
    width: int
    height: int
    distortion: tuple[float, ...] = (0.0,) * 5

    def rays(self, pixels: Array) -> tuple[Array, Array]:
        """Origin [3] and directions [n, 3] in the world of pixels [n, 2]; the directions have z = 1 in the camera, so
        that the distance along them is depth."""
        x = self.normalised(pixels)
        R = self.T_world_camera[:3, :3]
        return self.T_world_camera[:3, 3], x[:, :1] * R[:, 0] + x[:, 1:] * R[:, 1] + R[:, 2]

    def normalised(self, pixels: Array) -> Array:
        """Pixels [n, 2] on the plane z = 1, without the lens's distortion. Raises InputError for a lens that folds the
        image back within these pixels."""
        x = (pixels - self.K[:2, 2]) / np.array([self.K[0, 0], self.K[1, 1]])
        if not any(self.distortion):
            return x
        rays, seen = self._lens().straighten(torch.from_numpy(x.T[:, None].copy()))
        if not seen.all():
            raise InputError("this lens folds the image back onto itself; choose a weaker distortion or a smaller fov")
        return (rays[:2] / rays[2])[:, 0].T.numpy()

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixels [n, 2] and z [n] of world points [n, 3]; pixels of points that are not before the camera are NaN."""
        T = self.T_world_camera
        x, y, z = ((points - T[:3, 3]) @ T[:3, :3]).T
        depth = np.where(z > NEAR, z, np.nan)
        if not any(self.distortion):
            return np.stack([self.K[0, 0] * x / depth + self.K[0, 2], self.K[1, 1] * y / depth + self.K[1, 2]], -1), z
        plane = np.stack([x / depth, y / depth, np.ones_like(z)])[:, None]
        image, seen = self._lens().bend(torch.from_numpy(plane))
        pixels = image[:, 0].T.numpy() * [self.K[0, 0], self.K[1, 1]] + self.K[:2, 2]
        return np.where(seen[0, 0].numpy()[:, None], pixels, np.nan), z

    def _lens(self) -> BrownConrady:
        return BrownConrady(torch.from_numpy(self.K), *torch.tensor(self.distortion, dtype=torch.float64))

    def inside(self, pixels: Array) -> Array:
        """[n] bool: whether pixels [n, 2] lie in the image."""
        with np.errstate(invalid="ignore"):
            return np.all((pixels >= 0) & (pixels <= [self.width - 1, self.height - 1]), axis=1)

    def moved(self, offset: Array) -> Camera:
        """The camera moved by an offset [3] in its own axes, m: the other one of a rig."""
        T = self.T_world_camera.copy()
        T[:3, 3] += T[:3, :3] @ offset
        return replace(self, T_world_camera=T)
