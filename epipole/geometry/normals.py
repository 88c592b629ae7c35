"""Surfaces known by points: their normals, from nearest neighbours or from the pixels of a depth map, without gradient;
and clouds thinned to one point a voxel."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .neighbours import Tree, bound, inverse, rows, search, tree


def normals(points: Float[Tensor, "m 3"], k: int = 10) -> Float[Tensor, "m 3"]:
    """Unit normals: the direction in which the k nearest points (the point itself among them) vary least
    (Hoppe 1992). The sign is arbitrary. Points whose neighbours lie on a line get one of the line's normals.
    Raises ValueError for fewer than three points."""
    return tree_normals(tree(points), k)


def tree_normals(cloud: Tree, k: int = 10) -> Float[Tensor, "m 3"]:
    """`normals` of the points in a tree, in the order in which they were given to it."""
    k = min(k, len(cloud.points))
    if k < 3:
        raise ValueError(f"a normal needs three points or more, not {k}")
    with torch.no_grad():
        place, _ = search(cloud.leaves, cloud, k, bound(cloud.leaves, cloud, k))
        near = rows(cloud.points, rows(place.flatten(0, 1), cloud.slot)) - cloud.points[:, None]
        x, y, z = (line.double() for line in near.unbind(-1))
        x, y, z = (line - line.mean(1, keepdim=True) for line in (x, y, z))
        moments = [(a * b).sum(1) for a, b in ((x, x), (x, y), (x, z), (y, y), (y, z), (z, z))]
        M = torch.stack([moments[k] for k in (0, 1, 2, 1, 3, 4, 2, 4, 5)], -1).unflatten(-1, (3, 3))
        return rows(least_axis(M).to(cloud.points), inverse(cloud.order))


def map_normals(
    points: Float[Tensor, "*b 3 h w"], valid: Bool[Tensor, "*b 1 h w"]
) -> tuple[Float[Tensor, "*b 3 h w"], Bool[Tensor, "*b 1 h w"]]:
    """Unit normals of an organised cloud (a depth map unprojected), toward the camera, by the points to the left,
    right, above and below; and where there is one: those four are valid and span a plane. Elsewhere it is zero."""
    with torch.no_grad():
        inner = torch.zeros_like(valid)
        inner[..., 1:-1, 1:-1] = (valid[..., 1:-1, 2:] & valid[..., 1:-1, :-2] & valid[..., 2:, 1:-1]
                                  & valid[..., :-2, 1:-1] & valid[..., 1:-1, 1:-1])
        across = points.roll(-1, -1) - points.roll(1, -1)
        down = points.roll(-1, -2) - points.roll(1, -2)
        normal = torch.linalg.cross(down, across, dim=-3)  # x right, y down: toward the camera
        length = normal.norm(dim=-3, keepdim=True)
        inner = inner & (length > 0)
        return torch.where(inner, normal / torch.where(inner, length, 1), 0), inner


def voxel_means(points: Float[Tensor, "n 3"], size: float) -> Float[Tensor, "m 3"]:
    """The mean of the points in each occupied cell of a grid with this edge. Differentiable."""
    cell = (points.detach() / size).floor().long()
    _, voxel, count = torch.unique(cell, dim=0, return_inverse=True, return_counts=True)
    return torch.zeros(len(count), 3).to(points).index_add(0, voxel, points) / count[:, None]


def least_axis(M: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Unit eigenvector of a symmetric positive matrix's smallest eigenvalue; of several equal ones, any.

    The eigenvalue in closed form (Smith 1961); its vector as the longest cross product of two rows of M - l I."""
    tiny, eye = torch.finfo(M.dtype).tiny ** 0.5, torch.eye(3).to(M)
    M = M / torch.diagonal(M, dim1=-2, dim2=-1).sum(-1)[..., None, None].clamp(min=tiny)
    mean = torch.diagonal(M, dim1=-2, dim2=-1).mean(-1)
    B = M - mean[..., None, None] * eye
    p = (B.square().sum((-2, -1)) / 6).sqrt().clamp(min=tiny)
    one, two, three = (B / p[..., None, None]).unbind(-2)
    half = ((one * torch.linalg.cross(two, three)).sum(-1) / 2).clamp(-1, 1)  # of the determinant
    least = mean + 2 * p * torch.cos((half.acos() + 2 * torch.pi) / 3)
    rows = M - least[..., None, None] * eye
    axis = _longest(torch.linalg.cross(rows, rows.roll(1, -2)))
    flat = _longest(rows)  # the only direction there is, where two eigenvalues are the least
    aside = _longest(torch.linalg.cross(flat[..., None, :].expand_as(rows), eye.expand_as(rows)))
    axis = torch.where(axis.norm(dim=-1, keepdim=True) > 1e-6, axis, aside)
    axis = torch.where(axis.norm(dim=-1, keepdim=True) > 1e-6, axis, eye[2])
    return torch.nn.functional.normalize(axis, dim=-1)


def _longest(rows: Tensor) -> Tensor:
    which = rows.square().sum(-1).argmax(-1)
    return rows.gather(-2, which[..., None, None].expand(*which.shape, 1, 3))[..., 0, :]
