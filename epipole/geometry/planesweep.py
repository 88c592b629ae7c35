"""Plane sweep (Collins 1996): a source view as the target camera would see it if all of it lay on one fronto-parallel
plane, for many planes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import pixel_grid, project
from .sample import sample


def inverse_depth_planes(near: float, far: float, count: int) -> Float[Tensor, "d"]:
    """Depths (float64) from near to far, uniformly spaced in inverse depth; `far` may be infinite.

    Raises ValueError unless 0 < near < far and count >= 2.
    """
    if not 0 < near < far or count < 2:
        raise ValueError(f"planes need 0 < near < far and at least two of them, not {near}, {far} and {count}")
    return 1 / torch.linspace(1 / near, 1 / far, count, dtype=torch.float64)


def plane_homographies(
    depths: Float[Tensor, "d"],
    T_source_target: Float[Tensor, "*b 4 4"],
    K_target: Float[Tensor, "*b 3 3"],
    K_source: Float[Tensor, "*b 3 3"],
) -> Float[Tensor, "*b d 3 3"]:
    """H = K_s (R + t n^T / d) K_t^-1 of the planes z = d of the target camera, n = (0, 0, 1): target pixels (u, v, 1)
    to source pixels, up to scale. Depths in the unit of t; they may be infinite."""
    R, t = T_source_target[..., None, :3, :3], T_source_target[..., None, :3, 3:]
    n = torch.tensor([[0.0, 0.0, 1.0]]).to(t)
    on_plane = R + t * n / depths.to(t)[:, None, None]
    return K_source[..., None, :, :] @ on_plane @ torch.linalg.inv(K_target)[..., None, :, :]


def plane_sweep_volume(
    source: Float[Tensor, "b c h w"],
    depths: Float[Tensor, "d"],
    T_source_target: Float[Tensor, "b 4 4"],
    K_target: Float[Tensor, "b 3 3"],
    K_source: Float[Tensor, "b 3 3"],
    size: tuple[int, int] | None = None,
) -> tuple[Float[Tensor, "b c d y x"], Bool[Tensor, "b 1 d y x"]]:
    """The source view warped to the target camera by way of every plane, and where it was seen: inside the source image
    and in front of its camera (z beyond a thousandth of the plane's depth). `size` (height, width) of the target,
    default that of the source."""
    y, x = size or (source.shape[-2], source.shape[-1])
    H = plane_homographies(depths, T_source_target, K_target, K_source)
    grid = pixel_grid(y, x, source).flatten(1)
    rays = torch.cat([grid, torch.ones_like(grid[:1])])
    there = (H @ rays).movedim(1, 2).flatten(2).unflatten(2, (-1, x))  # b 3 d*y x: one look-up serves all planes
    pixels, front = project(there, torch.eye(3).to(there).expand(len(H), 3, 3))
    synthetic, inside = sample(source, pixels)
    return synthetic.unflatten(2, (-1, y)), (inside & front).unflatten(2, (-1, y))
