"""The sphere on a square: the octahedral map, and the triangles that close a square image to a sphere.

The octahedron |x| + |y| + |z| = 1 is cut open along four edges and laid flat (Praun and Hoppe 2003): its upper half
fills the diamond |u| + |v| <= 1, its lower half the four corners. A geometry image (Gu et al. 2002) holds a point of a
surface at each place of the square; its rim is the cut, so each side is its own mirror image.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def to_octahedral(directions: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 2"]:
    """(u, v) in [-1, 1] of directions of any length; the middle is +z, the corners are -z.

    At the cut, z <= 0 and x or y = 0, one of the two places is given. No direction at all is (0, 0).
    """
    size = directions.abs().sum(-1, keepdim=True)
    p = directions / torch.where(size > 0, size, torch.ones_like(size))
    flat, z = p[..., :2], p[..., 2:]
    return torch.where(z < 0, _folded(flat), flat)


def from_octahedral(uv: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 3"]:
    """Unit directions of places (u, v) in [-1, 1]."""
    z = 1 - uv.abs().sum(-1, keepdim=True)
    p = torch.cat([torch.where(z < 0, _folded(uv), uv), z], -1)
    return p / torch.linalg.vector_norm(p, dim=-1, keepdim=True)


def _folded(flat: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
    """Mirrored at the edge of the diamond, in every quadrant; its own inverse."""
    sign = torch.where(flat < 0, -torch.ones_like(flat), torch.ones_like(flat))
    return (1 - flat.abs().flip(-1)) * sign


def octahedral_directions(size: int, like: Tensor) -> Float[Tensor, "3 size size"]:
    """Unit directions of all pixels of a geometry image, u along rows and v along columns; the outermost pixels lie on
    the cut."""
    side = (2 * torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1)) / (size - 1)
    v, u = torch.meshgrid(side, side, indexing="ij")
    return from_octahedral(torch.stack([u, v], -1)).permute(2, 0, 1)


def sealed(size: int) -> Int64[Tensor, "size size"]:
    """For every pixel of a geometry image, the first one that is the same point of the surface; raises ValueError for
    an image too small to close."""
    if size < 3:
        raise ValueError(f"a geometry image of {size} pixels a side has no inside; it needs at least 3")
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    last = size - 1
    on_side = (row == 0) | (row == last)
    column = torch.where(on_side, torch.minimum(column, last - column), column)
    on_end = (column == 0) | (column == last)
    row = torch.where(on_end, torch.minimum(row, last - row), row)
    return row * size + column


def closed_faces(size: int) -> Int64[Tensor, "f 3"]:
    """Triangles of the closed surface of a geometry image, as indices into its pixels row by row; counter-clockwise
    seen from outside where the image's directions point outward. If the size is odd, no edge crosses the octahedron's
    own; if it is even, the cell in the middle of each side is a single triangle."""
    index = sealed(size)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    middle = 2 * torch.arange(size - 1) - size + 2  # of the cells, in half pixels
    slash = (middle[:, None] * middle > 0)[..., None]
    first = torch.where(slash, torch.stack([a, b, d], -1), torch.stack([a, b, c], -1))
    second = torch.where(slash, torch.stack([b, c, d], -1), torch.stack([a, c, d], -1))
    faces = torch.cat([first.reshape(-1, 3), second.reshape(-1, 3)])
    return faces[(faces != faces.roll(1, 1)).all(1)]
