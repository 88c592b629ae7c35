"""Voxel grids: what a camera sees of them, which voxels a ray crosses, which voxels hold points.

A grid is a tensor [..., z, y, x]. In grid coordinates voxel (i, j, k) along x, y, z fills the cube from (i, j, k) to
(i + 1, j + 1, k + 1); points are (x, y, z).
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .camera import normalise, pixel_grid, transform
from .sample import sample_volume


class Crossing(NamedTuple):
    """The voxels that rays cross, in order; meaningless where not `inside`."""

    voxel: Int[Tensor, "n s 3"]      # x, y, z
    enter: Float[Tensor, "n s"]      # in lengths of the ray's direction
    leave: Float[Tensor, "n s"]
    inside: Bool[Tensor, "n s"]


class Hit(NamedTuple):
    """The first occupied voxel of every ray; meaningless where not `hit`."""

    voxel: Int[Tensor, "n 3"]        # x, y, z
    enter: Float[Tensor, "n"]        # in lengths of the ray's direction; 0 where the ray begins in the voxel
    hit: Bool[Tensor, "n"]


def perspective_transform(
    volume: Float[Tensor, "b c z y x"],
    T_grid_camera: Float[Tensor, "b 4 4"],
    K: Float[Tensor, "b 3 3"],
    depths: Float[Tensor, "d"],
    size: tuple[int, int],
) -> Float[Tensor, "b c d h w"]:
    """The grid resampled to the camera's frustum, trilinear, 0 outside: the perspective transformer of Yan 2016 (eq. 1,
    2), whose maximum over depth is the silhouette. Ray (u, v) at depth `depths[d]` looks up the point
    T_grid_camera (depth K^-1 [u, v, 1]) in grid coordinates; the frame of T holds the scale of a voxel."""
    h, w = size
    rays = normalise(K, pixel_grid(h, w, volume).expand(len(K), 2, h, w))
    points = rays[:, :, None] * depths.to(volume)[:, None, None]
    there = transform(T_grid_camera, points.flatten(2, 3))
    return sample_volume(volume, there.unflatten(2, (len(depths), h)) - 0.5)


def silhouette(frustum: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c h w"]:
    """Maximum over depth (Yan 2016, eq. 3); of equal voxels each gets its share of the gradient."""
    return frustum.amax(2)


def ray_box(
    origin: Float[Tensor, "*b 3"],
    direction: Float[Tensor, "*b 3"],
    low: Float[Tensor, "*#b 3"],
    high: Float[Tensor, "*#b 3"],
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"], Bool[Tensor, "*b"]]:
    """Where rays enter and leave a box, in lengths of `direction`, and whether they meet it at all (slabs: Kay and
    Kajiya 1986). A ray that begins inside enters at 0. Where there is no meeting both numbers are 0.

    A ray within a face's plane meets the box; one of zero length meets it if it begins inside, and leaves at infinity.
    """
    still = direction == 0
    slope = torch.where(still, torch.ones_like(direction), direction)
    one, two = (low - origin) / slope, (high - origin) / slope
    within = (low <= origin) & (origin <= high)
    infinite = torch.full_like(one, torch.inf)
    enter = torch.where(still, -infinite, torch.minimum(one, two)).amax(-1).clamp(min=0)
    leave = torch.where(still, infinite, torch.maximum(one, two)).amin(-1)
    hit = (within | ~still).all(-1) & (enter <= leave)
    zero = torch.zeros_like(enter)
    return torch.where(hit, enter, zero), torch.where(hit, leave, zero), hit


def traverse(
    origin: Float[Tensor, "n 3"], direction: Float[Tensor, "n 3"], shape: tuple[int, int, int], most: int | None = None
) -> Crossing:
    """All voxels of a grid of `shape` (z, y, x) that rays cross, at most `most` of them, by 3-D DDA (Amanatides and
    Woo 1987); everything in grid coordinates. The search has no gradient, `enter` and `leave` neither."""
    steps = list(_walk(origin, direction, shape, most))
    if not steps:
        none = origin.new_zeros(len(origin), 0)
        return Crossing(none.new_zeros(len(origin), 0, 3, dtype=torch.long), none, none, none.bool())
    return Crossing(*(torch.stack(column, 1) for column in zip(*steps, strict=True)))


def first_hit(
    occupied: Bool[Tensor, "z y x"], origin: Float[Tensor, "n 3"], direction: Float[Tensor, "n 3"]
) -> Hit:
    """The first occupied voxel that each ray enters, in grid coordinates; only as many steps are made as it takes."""
    shape = (occupied.shape[0], occupied.shape[1], occupied.shape[2])
    where = origin.new_zeros(len(origin), 3, dtype=torch.long)
    when, hit = origin.new_zeros(len(origin)), origin.new_zeros(len(origin), dtype=torch.bool)
    for voxel, enter, _, inside in _walk(origin, direction, shape):
        x, y, z = torch.where(inside[:, None], voxel, 0).unbind(1)
        new = inside & ~hit & occupied[z, y, x]
        where, when, hit = torch.where(new[:, None], voxel, where), torch.where(new, enter, when), hit | new
        if bool((hit | ~inside).all()):
            break
    return Hit(where, when, hit)


@torch.no_grad()
def _walk(
    origin: Tensor, direction: Tensor, shape: tuple[int, int, int], most: int | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Step by step (voxel, enter, leave, inside) of all rays at once, until the last one has left the grid."""
    size = torch.tensor(shape[::-1], device=origin.device)
    enter, _, inside = ray_box(origin, direction, torch.zeros_like(origin), size.to(origin).expand_as(origin))
    voxel = (origin + enter[:, None] * direction).floor().long().clamp(min=0).minimum(size - 1)
    forward, still = direction > 0, direction == 0
    step = torch.where(still, 0, torch.where(forward, 1, -1))
    slope = torch.where(still, torch.ones_like(direction), direction)
    for _ in range(sum(shape) if most is None else most):
        if not bool(inside.any()):
            return
        ahead = (voxel + forward - origin) / slope  # from the voxel's own wall, so that errors do not add up
        ahead = torch.where(still, torch.inf, ahead)
        leave, axis = ahead.min(1)
        leave = leave.maximum(enter)
        yield voxel, enter, leave, inside
        there = torch.nn.functional.one_hot(axis, 3) * step
        voxel = voxel + there
        inside = inside & (there != 0).any(1) & ((voxel >= 0) & (voxel < size)).all(1)
        enter = leave


def occupancy(points: Float[Tensor, "*b n 3"], shape: tuple[int, int, int]) -> Int[Tensor, "*b z y x"]:
    """How many points, in grid coordinates, lie in every voxel of a grid of `shape` (z, y, x); those outside, and those
    that are not finite, count nowhere."""
    d, h, w = shape
    size = torch.tensor([w, h, d], device=points.device)
    cell = points.floor()
    inside = ((cell >= 0) & (cell < size)).all(-1)
    x, y, z = torch.where(inside[..., None], cell, 0).long().unbind(-1)
    counts = torch.zeros(*points.shape[:-2], d * h * w, dtype=torch.long, device=points.device)
    return counts.scatter_add_(-1, (z * h + y) * w + x, inside.long()).unflatten(-1, shape)
