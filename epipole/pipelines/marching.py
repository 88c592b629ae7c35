"""From a signed distance field to triangles: marching cubes (Lorensen and Cline 1987, in the topologically sound form
of Lewiner 2003, by scikit-image), box by box, so that no dense copy of the scene is made."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.ndimage import map_coordinates
from skimage.measure import marching_cubes

from ..geometry.blocks import distinct, unpack
from ..geometry.tsdf import SIDE, Tsdf
from ..types.predictions import Surface

BOX = 8         # blocks along a box
SNAP = 1e-4     # voxels; a vertex so near to a voxel's centre lies on it

Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Vertices [v 3] as x, y, z in voxels, faces [f 3], colours [v 3]."""


def extract(tsdf: Tsdf, least_weight: float = 0.0) -> Surface:
    """The zero level of the field where all eight voxels around weigh more than `least_weight`; in the field's unit, in
    float32. Vertices are shared, also between boxes; no triangle is without area. May be empty."""
    parts = [_triangles(tsdf, box, least_weight) for box in unpack(distinct(tsdf.blocks // BOX)).tolist()]
    if not any(len(part[0]) for part in parts):
        return Surface(vertices=torch.zeros(0, 3), faces=torch.zeros(0, 3, dtype=torch.long), colour=torch.zeros(0, 3))
    vertices, faces, colour = _welded(parts)
    world = (vertices + 0.5) * tsdf.voxel
    return Surface(vertices=torch.from_numpy(world).float(), faces=torch.from_numpy(faces),
                   colour=torch.from_numpy(colour).float().clamp(0, 1))


def _triangles(tsdf: Tsdf, box: list[int], least_weight: float) -> Part:
    """Of the cells whose lowest corner lies in a box of blocks."""
    first = (box[0] * BOX, box[1] * BOX, box[2] * BOX)
    grid = tsdf.dense(first, (BOX + 1, BOX + 1, BOX + 1))
    to = slice(BOX * SIDE + 1)  # one voxel of the next box, to close the gap
    sdf, weight, colour = (x[..., to, to, to].float().cpu().numpy() for x in grid)
    known = weight > least_weight
    cells = known[:-1] & known[1:]
    cells = cells[:, :-1] & cells[:, 1:]
    cells = cells[:, :, :-1] & cells[:, :, 1:]
    if not (cells.any() and (sdf[known] < 0).any() and (sdf[known] > 0).any()):
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((0, 3))
    mask = np.pad(cells, ((1, 0), (1, 0), (1, 0)))  # scikit-image asks at a cell's highest corner
    try:
        zyx, faces, _, _ = marching_cubes(sdf, 0.0, gradient_direction="ascent", mask=mask)
    except RuntimeError:  # its word for no surface at all
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((0, 3))
    painted = np.stack([map_coordinates(c, zyx.T, order=1) for c in colour], 1)
    return zyx[:, ::-1] + SIDE * np.array(first, np.float64), faces.astype(np.int64), painted


def _welded(parts: list[Part]) -> Part:
    """One mesh. A vertex is known by the edge, corner or cell of the grid it lies on, as boxes round differently."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _, _ in parts)])
    vertices, colour = (np.concatenate([part[k] for part in parts]) for k in (0, 2))
    faces = np.concatenate([part[1] + start for part, start in zip(parts, starts, strict=False)])
    _, chosen, same = np.unique(_places(vertices), return_index=True, return_inverse=True)
    faces = same[faces]
    whole = (faces != np.roll(faces, 1, axis=1)).all(1)
    return vertices[chosen], faces[whole], colour[chosen]


def _places(vertices: Float[np.ndarray, "v 3"]) -> Int64[np.ndarray, "v"]:
    """A number for the element of the grid a vertex lies on: per axis even on a voxel's centre, odd between two."""
    near = np.abs(vertices - np.round(vertices)) < SNAP
    element = np.where(near, 2 * np.round(vertices), 2 * np.floor(vertices) + 1).astype(np.int64)
    element -= element.min(0)
    size = element.max(0) + 1
    return (element[:, 0] * size[1] + element[:, 1]) * size[2] + element[:, 2]
