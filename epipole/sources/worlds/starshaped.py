"""Star-shaped blobs: one distance in every direction from the middle, so that a geometry image of any size tells the
whole surface, and the same pixel means the same direction in all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from epipole.geometry.octahedral import closed_faces, octahedral_directions

from .meshes import Array, Mesh, dot

DETAIL = 65  # pixels a side of the geometry image that a mesh is made from


@dataclass(frozen=True)
class Blob:
    """A superquadric (Barr 1981) whose surface is raised and lowered by a few plane waves."""

    axes: Array                    # [3] half lengths, m
    exponents: tuple[float, float]  # from south to north, and around; 1: round, near 0: square
    waves: Array                   # [k, 3] rad per unit of direction
    phases: Array                  # [k] rad
    roughness: float               # share of the radius
    centre: Array                  # [3] world, m

    def radius(self, directions: Array) -> Array:
        """Distance [...] of the surface from the centre in unit directions [..., 3], m."""
        north, around = self.exponents
        x, y, z = np.moveaxis(np.abs(directions) / self.axes, -1, 0)
        flat = x ** (2 / around) + y ** (2 / around)
        round_ = (flat ** (around / north) + z ** (2 / north)) ** (-north / 2)
        return round_ * (1 + self.roughness * np.sin(directions @ self.waves.T + self.phases).mean(-1))

    def geometry_image(self, size: int) -> Float64[np.ndarray, "3 size size"]:
        """Points of the surface, world, m, in the octahedral map."""
        d = directions(size)
        return np.moveaxis(self.centre + self.radius(d)[..., None] * d, -1, 0)

    def mesh(self, size: int = DETAIL) -> Mesh:
        """Triangles between the pixels of a geometry image, shaded round."""
        return closed_mesh(self.geometry_image(size))


def directions(size: int) -> Float64[np.ndarray, "size size 3"]:
    """Unit directions of the pixels of a geometry image."""
    return octahedral_directions(size, torch.zeros((), dtype=torch.float64)).permute(1, 2, 0).numpy()


def closed_mesh(image: Float64[np.ndarray, "3 size size"]) -> Mesh:
    """The surface of a geometry image, shaded round."""
    points, faces = image.reshape(3, -1).T, closed_faces(image.shape[1]).numpy()
    corners = points[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(points)
    for k in range(3):
        np.add.at(total, faces[:, k], normal)
    smooth = total[faces]
    return Mesh(corners, smooth / np.sqrt(dot(smooth, smooth))[..., None])


def ellipsoid(axes: tuple[float, float, float], centre: Array, size: int = 17) -> Mesh:
    """Half axes and centre [3] in m."""
    d = directions(size)
    radius = 1 / np.sqrt(((d / np.array(axes)) ** 2).sum(-1))
    return closed_mesh(np.moveaxis(centre + radius[..., None] * d, -1, 0))


def draw_blob(rng: np.random.Generator) -> Blob:
    """Anything from a pebble to a cushion or a gnarled root."""
    axes = rng.uniform(0.45, 1.0, 3)
    exponents = (float(rng.uniform(0.35, 1.0)), float(rng.uniform(0.35, 1.0)))
    waves, phases = rng.normal(size=(5, 3)) * rng.uniform(1.5, 4.0), rng.uniform(0, 2 * np.pi, 5)
    return Blob(axes, exponents, waves, phases, float(rng.uniform(0.0, 0.9)), np.zeros(3))
