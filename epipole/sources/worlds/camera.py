"""Cameras: pixels to rays and points to pixels, with the lens distortion of Brown 1966. Everything in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .meshes import Array

NEWTON_STEPS = 12
NEAR = 1e-3  # m; points nearer to the camera plane are not projected


def pixel_centres(width: int, height: int) -> Array:
    """[h * w, 2], row by row; (0, 0) is the centre of the top-left pixel."""
    v, u = np.mgrid[:height, :width]
    return np.stack([u.ravel(), v.ravel()], -1).astype(float)


def distort(x: Array, lens: tuple[float, ...]) -> Array:
    """Where a lens k1, k2, p1, p2, k3 images the points x [n, 2] of the plane z = 1."""
    k1, k2, p1, p2, k3 = lens
    a, b = x.T
    r = a * a + b * b
    radial = 1 + r * (k1 + r * (k2 + r * k3))
    return np.stack([a * radial + 2 * p1 * a * b + p2 * (r + 2 * a * a),
                     b * radial + p1 * (r + 2 * b * b) + 2 * p2 * a * b], -1)


def undistort(image: Array, lens: tuple[float, ...]) -> Array:
    """The inverse of `distort` by Newton's method, for lenses that do not fold the image."""
    k1, k2, p1, p2, k3 = lens
    x = image.copy()
    for _ in range(NEWTON_STEPS):
        a, b = x.T
        r = a * a + b * b
        radial, slope = 1 + r * (k1 + r * (k2 + r * k3)), k1 + r * (2 * k2 + 3 * r * k3)
        aa = radial + 2 * a * a * slope + 2 * p1 * b + 6 * p2 * a
        bb = radial + 2 * b * b * slope + 6 * p1 * b + 2 * p2 * a
        ab = 2 * a * b * slope + 2 * p1 * a + 2 * p2 * b
        e, f = (distort(x, lens) - image).T
        x = x - np.stack([bb * e - ab * f, aa * f - ab * e], -1) / (aa * bb - ab * ab)[:, None]
    return x


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
        """Pixels [n, 2] on the plane z = 1, without the lens's distortion."""
        x = (pixels - self.K[:2, 2]) / np.array([self.K[0, 0], self.K[1, 1]])
        return undistort(x, self.distortion) if any(self.distortion) else x

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixels [n, 2] and z [n] of world points [n, 3]; pixels of points that are not before the camera are NaN."""
        T = self.T_world_camera
        x, y, z = ((points - T[:3, 3]) @ T[:3, :3]).T
        depth = np.where(z > NEAR, z, np.nan)
        if not any(self.distortion):
            return np.stack([self.K[0, 0] * x / depth + self.K[0, 2], self.K[1, 1] * y / depth + self.K[1, 2]], -1), z
        image = distort(np.stack([x / depth, y / depth], -1), self.distortion)
        return image * [self.K[0, 0], self.K[1, 1]] + self.K[:2, 2], z

    def inside(self, pixels: Array) -> Array:
        """[n] bool: whether pixels [n, 2] lie in the image."""
        with np.errstate(invalid="ignore"):
            return np.all((pixels >= 0) & (pixels <= [self.width - 1, self.height - 1]), axis=1)

    def moved(self, offset: Array) -> Camera:
        """The camera moved by an offset [3] in its own axes, m: the other one of a rig."""
        T = self.T_world_camera.copy()
        T[:3, 3] += T[:3, :3] @ offset
        return replace(self, T_world_camera=T)
