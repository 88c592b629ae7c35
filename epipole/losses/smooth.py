"""Smoothness of depth or disparity. Unreduced: one map per direction of the derivative; the loss is the sum of their
means."""

import torch
from jaxtyping import Float
from torch import Tensor


def _dx(x: Tensor) -> Tensor:
    return x[..., :, 1:] - x[..., :, :-1]


def _dy(x: Tensor) -> Tensor:
    return x[..., 1:, :] - x[..., :-1, :]


def edge_aware(
    d: Float[Tensor, "*b 1 h w"], image: Float[Tensor, "*b c h w"]
) -> tuple[Float[Tensor, "*b 1 h x"], Float[Tensor, "*b 1 y w"]]:
    """|dx d| exp(-|dx I|) and |dy d| exp(-|dy I|), |dI| the mean over channels (Godard 2017, eq. 3)."""
    weight_x = torch.exp(-_dx(image).abs().mean(-3, keepdim=True))
    weight_y = torch.exp(-_dy(image).abs().mean(-3, keepdim=True))
    return _dx(d).abs() * weight_x, _dy(d).abs() * weight_y


def mean_normalised(d: Float[Tensor, "*b 1 h w"]) -> Float[Tensor, "*b 1 h w"]:
    """d / mean(d) of each image: smoothness of it cannot be bought by shrinking d (Wang 2018)."""
    return d / d.mean((-2, -1), keepdim=True).clamp(min=1e-7)


def second_order(d: Float[Tensor, "*b 1 h w"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """|dxx d|, |dxy d|, |dyx d|, |dyy d|: zero on every plane's inverse depth (Zhou 2017)."""
    dx, dy = _dx(d), _dy(d)
    return _dx(dx).abs(), _dy(dx).abs(), _dx(dy).abs(), _dy(dy).abs()
