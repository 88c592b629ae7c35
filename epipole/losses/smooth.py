"""Smoothness of depth, disparity or flow. Unreduced: one map per direction of the derivative; the loss is the sum of
their means."""

import torch
from jaxtyping import Float
from torch import Tensor


def _dx(x: Tensor) -> Tensor:
    return x[..., :, 1:] - x[..., :, :-1]


def _dy(x: Tensor) -> Tensor:
    return x[..., 1:, :] - x[..., :-1, :]


def first_order(d: Float[Tensor, "*b k h w"]) -> tuple[Float[Tensor, "*b k h x"], Float[Tensor, "*b k y w"]]:
    """|dx d| and |dy d|, whatever the image shows."""
    return _dx(d).abs(), _dy(d).abs()


def edge_aware(
    d: Float[Tensor, "*b k h w"], image: Float[Tensor, "*b c h w"]
) -> tuple[Float[Tensor, "*b k h x"], Float[Tensor, "*b k y w"]]:
    """|dx d| exp(-|dx I|) and |dy d| exp(-|dy I|), |dI| the mean over channels (Godard 2017, eq. 3)."""
    return _dx(d).abs() * _calm(_dx(image)), _dy(d).abs() * _calm(_dy(image))


def edge_aware_second_order(
    d: Float[Tensor, "*b k h w"], image: Float[Tensor, "*b c h w"]
) -> tuple[Float[Tensor, "*b k h x"], Float[Tensor, "*b k y w"]]:
    """|dxx d| exp(-|I(x + 1) - I(x - 1)|), and the same along y: the contrast is taken across the three pixels of the
    second difference (Jonschkowski 2020). Zero on every plane's inverse depth and on affine flow."""
    across_x, across_y = image[..., 2:] - image[..., :-2], image[..., 2:, :] - image[..., :-2, :]
    return _dx(_dx(d)).abs() * _calm(across_x), _dy(_dy(d)).abs() * _calm(across_y)


def _calm(contrast: Tensor) -> Tensor:
    """1 where the image is even, less at its edges."""
    return torch.exp(-contrast.abs().mean(-3, keepdim=True))


def mean_normalised(d: Float[Tensor, "*b 1 h w"]) -> Float[Tensor, "*b 1 h w"]:
    """d / mean(d) of each image: smoothness of it cannot be bought by shrinking d (Wang 2018)."""
    return d / d.mean((-2, -1), keepdim=True).clamp(min=1e-7)


def second_order(d: Float[Tensor, "*b 1 h w"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """|dxx d|, |dxy d|, |dyx d|, |dyy d|: zero on every plane's inverse depth (Zhou 2017)."""
    dx, dy = _dx(d), _dy(d)
    return _dx(dx).abs(), _dy(dx).abs(), _dx(dy).abs(), _dy(dy).abs()


def second_order_directions(d: Float[Tensor, "*b k h w"]) -> Float[Tensor, "*b k 4 y x"]:
    """d(p - s) - 2 d(p) + d(p + s) for s along x, along y and along both diagonals, of all pixels but the border's:
    zero on affine flow, signed, for a robust penalty to follow (Meister 2018, eq. 4)."""
    def at(y: int, x: int) -> Tensor:
        h, w = d.shape[-2:]
        return d[..., 1 + y : h - 1 + y, 1 + x : w - 1 + x]

    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    return torch.stack([at(-y, -x) - 2 * at(0, 0) + at(y, x) for y, x in steps], -3)


def wrapped_variation(field: Float[Tensor, "*b k h w"]) -> Float[Tensor, "*b k h w"]:
    """sqrt(dx^2 + dy^2) of each component of a field divided by its root mean square length, with the right border next
    to the left one and the lower next to the upper: a slope across the image, which a rotation explains as well, does
    not pay (Gordon 2019)."""
    length = (3 * field.square().mean((-3, -2, -1), keepdim=True) + 1e-12).sqrt()
    unit = field / length
    square = (unit - unit.roll(1, -1)).square() + (unit - unit.roll(1, -2)).square()
    return (square + 1e-24).sqrt()
