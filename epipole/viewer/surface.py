"""A coloured mesh with as many vertices as a page or a picture can bear."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8


class Triangles(NamedTuple):
    """Vertices with their colours, and the three of each face; `total` faces stood in the file."""

    vertices: Float[np.ndarray, "v 3"]
    colours: UInt8[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    total: int


def thinned(mesh: Triangles, most: int) -> Triangles:
    """At most `most` vertices: those in one cell of a grid become their mean, and faces that lose a corner are left out
    (Rossignac and Borrel 1993)."""
    size = np.sqrt(area(mesh) / most)
    while len(mesh.vertices) > most:
        mesh = clustered(mesh, size)
        size *= 1.15
    return mesh


def area(mesh: Triangles) -> float:
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2).astype(np.float64)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def clustered(mesh: Triangles, size: float) -> Triangles:
    """Vertices in one cell of this size become their mean."""
    cell = np.floor((mesh.vertices - mesh.vertices.min(0)) / size).astype(np.int64)
    span = cell.max(0) + 1
    _, group = np.unique((cell[:, 0] * span[1] + cell[:, 1]) * span[2] + cell[:, 2], return_inverse=True)
    count = np.bincount(group)[:, None]
    vertices, colours = (np.stack([np.bincount(group, part[:, k].astype(np.float64)) for k in range(3)], 1) / count
                         for part in (mesh.vertices, mesh.colours))
    faces = group[mesh.faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = np.unique(np.sort(faces[whole], axis=1), axis=0)
    return Triangles(vertices.astype(np.float32), colours.round().astype(np.uint8), faces, mesh.total)
