"""Bilinear look-up: the only caller of grid_sample."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def sample(
    image: Float[Tensor, "b c h w"], pixels: Float[Tensor, "b 2 y x"], mode: str = "bilinear"
) -> tuple[Float[Tensor, "b c y x"], Bool[Tensor, "b 1 y x"]]:
    """Look-up at pixel coordinates, and where all four neighbours lay inside: the principled mask of Mahjourian 2018
    (their x0 >= 0, x0 + 1 <= W - 1), except that a look-up right on the last pixel counts as inside."""
    h, w = image.shape[-2:]
    size = torch.tensor([max(w - 1, 1), max(h - 1, 1)]).to(pixels)[:, None, None]
    x, y = pixels.split(1, 1)
    inside = (x >= 0) & (x <= size[0]) & (y >= 0) & (y <= size[1])
    # at NaN grid_sample has no gradient, or brings the process down
    return _look_up(image, 2 * pixels.nan_to_num(-1, torch.inf, -torch.inf) / size - 1, mode), inside


def sample_share(
    image: Float[Tensor, "b c h w"], at: Float[Tensor, "b 2 y x"]
) -> tuple[Float[Tensor, "b c y x"], Bool[Tensor, "b 1 y x"]]:
    """The same at shares of the image, from -1 in the centre of its first pixel to 1 in that of its last one. None may
    be NaN."""
    x, y = at.detach().abs().split(1, 1)
    return _look_up(image, at), torch.maximum(x, y) <= 1


def pixels_to_share(height: int, width: int, like: Tensor) -> Float[Tensor, "3 3"]:
    """What makes shares (see `sample_share`) of homogeneous pixels: multiplied to intrinsics, it saves a step."""
    x, y = max(width - 1, 1), max(height - 1, 1)
    return torch.tensor([[2 / x, 0, -1], [0, 2 / y, -1], [0, 0, 1]], dtype=like.dtype, device=like.device)


def _look_up(image: Tensor, at: Tensor, mode: str = "bilinear") -> Tensor:
    return F.grid_sample(image, at.movedim(1, -1), mode=mode, align_corners=True, padding_mode="border")


def sample_volume(
    volume: Float[Tensor, "b c d h w"], points: Float[Tensor, "b 3 z y x"], mode: str = "bilinear"
) -> Float[Tensor, "b c z y x"]:
    """Trilinear look-up at points (x, y, z) where voxel centres are whole numbers; beyond them it fades to 0 within a
    voxel; an axis of a single voxel has no outside. Points that are not finite give 0."""
    size = torch.tensor([max(n - 1, 1) for n in reversed(volume.shape[-3:])]).to(points)
    known = points.isfinite()
    at = 2 * torch.where(known, points, -2).movedim(1, -1) / size - 1
    # far points are brought near: grid_sample's whole numbers overflow
    return F.grid_sample(volume, at.clamp(-3, 3), mode=mode, align_corners=True, padding_mode="zeros")
