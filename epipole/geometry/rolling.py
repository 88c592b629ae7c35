"""Warps between images of a rolling shutter, which exposes row after row: each row has a pose of its own.

`T_world_row` holds the camera's pose at the time of every row. A target pixel knows its row and so its pose; a point is
seen in the source on that row v at whose pose it projects to row v, which is solved for.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import project, unproject
from .motion import se3_inverse
from .sample import sample


def rolling_shutter_warp(
    source: Float[Tensor, "b c h w"],
    depth: Float[Tensor, "b 1 y x"],
    T_world_row_target: Float[Tensor, "b y 4 4"],
    T_world_row_source: Float[Tensor, "b h 4 4"],
    K_target: Float[Tensor, "b 3 3"],
    K_source: Float[Tensor, "b 3 3"],
    iterations: int = 4,
) -> tuple[Float[Tensor, "b c y x"], Bool[Tensor, "b 1 y x"]]:
    """The target view from its depth (z at the pose of each row), and the principled mask. See `rolling_reproject`."""
    T_row_world = se3_inverse(T_world_row_source)
    world = _by_row(T_world_row_target, unproject(depth, K_target))
    pixels, front = rolling_project(world, T_row_world, K_source, iterations)
    synthetic, inside = sample(source, pixels)
    return synthetic, inside & front


def rolling_project(
    points: Float[Tensor, "b 3 y x"],
    T_row_world: Float[Tensor, "b h 4 4"],
    K: Float[Tensor, "b 3 3"],
    iterations: int = 4,
) -> tuple[Float[Tensor, "b 2 y x"], Bool[Tensor, "b 1 y x"]]:
    """Pixels (px) of points of the world in an image of h rows, and which are in front of the camera.

    Solves v = v(T(v) X) by Newton's steps; T is linear between two rows and constant beyond the first and last. The
    last step carries the gradient, which is that of the solution (implicit function theorem). Where the point moves
    down about as fast as the shutter (by more than 0.9 px per row), the step is damped: there is more than one solution
    or none, and the result may be none.
    """
    v = points.new_full((len(points), 1, *points.shape[2:]), (T_row_world.shape[1] - 1) / 2)
    with torch.no_grad():
        for _ in range(iterations):
            v = _step(points, T_row_world, K, v)[0][:, 1:]
    return _step(points, T_row_world, K, v)


def _step(points: Tensor, T_row_world: Tensor, K: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """One step of Newton from row v: the pixel, and if it is in front."""
    last = T_row_world.shape[1] - 1
    row = v.detach().nan_to_num(0).clamp(0, last)
    below = row.floor().clamp(max=max(last - 1, 0))
    a, b = (_chosen(T_row_world, points, i) for i in (below, (below + 1).clamp(max=last)))
    at = a + (row - below) * (b - a)
    pixels, front = project(at, K)
    with torch.no_grad():  # how fast the point moves over the image from row to row, px per row
        z = torch.where(front, at[:, 2:], 1)
        focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], 1)[..., None, None]
        speed = focal * ((b - a)[:, :2] - at[:, :2] / z * (b - a)[:, 2:]) / z
        speed = torch.where(front & (v >= 0) & (v <= last), speed, 0)
        gain = speed / (1 - speed[:, 1:].clamp(max=0.9))
    return pixels + gain * (pixels[:, 1:] - row), front


def _by_row(T: Float[Tensor, "b y 4 4"], points: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
    return torch.einsum("byij,bjyx->biyx", T[..., :3, :3], points) + T[..., :3, 3].mT[..., None]


def _chosen(T: Float[Tensor, "b h 4 4"], points: Float[Tensor, "b 3 y x"], row: Tensor) -> Float[Tensor, "b 3 y x"]:
    """Every point by the motion of its own row."""
    flat = T[:, :, :3].flatten(2).mT                                                    # b 12 h
    index = row.long().flatten(1)[:, None].expand(-1, 12, -1)
    each = flat.gather(2, index).unflatten(2, row.shape[2:]).unflatten(1, (3, 4))       # b 3 4 y x
    return torch.einsum("bijyx,bjyx->biyx", each[:, :, :3], points) + each[:, :, 3]
