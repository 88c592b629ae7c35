"""Rectified stereo: pixel x of the left image is seen at x - d in the right one, in the same row."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .warp import flow_warp


def disparity_flow(disparity: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 h w"]:
    """Flow (px) from the left view to the right one for the left view's disparity (px); from right to left for the
    right view's, negated."""
    return torch.cat([-disparity, torch.zeros_like(disparity)], 1)


def depth_of_disparity(
    disparity: Float[Tensor, "*b 1 h w"], K: Float[Tensor, "*b 3 3"], baseline: Float[Tensor, "*b"]
) -> Float[Tensor, "*b 1 h w"]:
    """z = f baseline / d, in the unit of the baseline, for disparities (px) above 0."""
    return (K[..., 0, 0] * baseline)[..., None, None, None] / disparity


def linearised_warp(
    right: Float[Tensor, "b c h w"], disparity: Float[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b c h w"], Bool[Tensor, "b 1 h w"]]:
    """The left view from the right one, and where the look-up falls inside: I_r(x - d0) - (d - d0) dI_r/dx(x - d0), the
    first order of its Taylor series about d0, which is the disparity itself, taken as a constant (Garg 2016, eq. 4).
    The value is the bilinear warp's, the derivative a central difference of the image."""
    d0 = disparity.detach()
    looked_up, seen = flow_warp(torch.cat([right, _slope(right)], 1), disparity_flow(d0))
    near, slope = looked_up.chunk(2, 1)
    return near - (disparity - d0) * slope, seen


def _slope(image: Tensor) -> Tensor:
    """Central difference along x; the border is repeated outwards."""
    wide = torch.cat([image[..., :1], image, image[..., -1:]], -1)
    return (wide[..., 2:] - wide[..., :-2]) / 2
