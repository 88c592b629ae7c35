"""Images, their intrinsics and their depth at coarser sizes; images smoothed."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import resize_intrinsics


def pyramid_level(
    image: Float[Tensor, "b n c h w"], K: Float[Tensor, "b n 3 3"], size: Sequence[int]
) -> tuple[Float[Tensor, "b n c y x"], Float[Tensor, "b n 3 3"]]:
    """A clip averaged down to (height, width), and its intrinsics with the half-pixel shift.

    Raises ValueError below 3 x 3 pixels, where neither SSIM nor a second derivative exists.
    """
    if min(size) < 3:
        raise ValueError(f"a pyramid level of {size[0]} x {size[1]} px is too small: give larger images")
    return area_means(image, size), resize_intrinsics(K, size[1] / image.shape[-1], size[0] / image.shape[-2])


def area_means(x: Float[Tensor, "*b c h w"], size: Sequence[int]) -> Float[Tensor, "*b c y x"]:
    """Maps at (height, width), every pixel the mean of those that it covers."""
    same = tuple(size) == tuple(x.shape[-2:])
    return x if same else F.interpolate(x.flatten(0, -4), tuple(size), mode="area").unflatten(0, x.shape[:-3])


def halvings(size: Sequence[int], count: int, least: int) -> list[tuple[int, int]]:
    """(height, width) as it is, and halved again and again to at most `count` sizes, none with a side below `least`."""
    h, w = size
    return [(h >> s, w >> s) for s in range(count) if not s or min(h, w) >> s >= least]


def depth_level(
    depth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"], size: Sequence[int]
) -> tuple[Float[Tensor, "b 1 y x"], Bool[Tensor, "b 1 y x"]]:
    """Depth, and where it is known, at the pixels nearest to those of a map of (height, width): picked, never averaged,
    because the mean across an edge is the depth of nothing."""
    picked = [F.interpolate(x, tuple(size), mode="nearest-exact") for x in (depth, valid.to(depth))]
    return picked[0], picked[1] > 0.5


def gaussian_blur(image: Float[Tensor, "b c h w"], sigma: float) -> Float[Tensor, "b c h w"]:
    """Smoothed by a Gaussian of this standard deviation (px), cut off at three; the border is repeated outwards."""
    radius = math.ceil(3 * sigma)
    at = torch.arange(-radius, radius + 1).to(image)
    kernel = torch.softmax(-at.square() / (2 * sigma**2), 0)
    flat = F.pad(image, (radius, radius, radius, radius), "replicate").flatten(0, 1)[:, None]
    flat = F.conv2d(F.conv2d(flat, kernel[None, None, :, None]), kernel[None, None, None])
    return flat[:, 0].unflatten(0, image.shape[:2])
