"""Penalties that large errors dominate less, or more, than their absolute value would."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def charbonnier(square: Float[Tensor, "*s"], epsilon: float = 1e-3, power: float = 0.5) -> Float[Tensor, "*s"]:
    """(square + epsilon^2)^power - epsilon^(2 power) of a squared error or a squared length: 0 at 0, smooth there, and
    from about epsilon on the 2 power-th power of the error (power 0.5: its absolute value; 0.45: Sun 2010, UnFlow)."""
    return (square + epsilon**2) ** power - epsilon ** (2 * power)


def berhu(
    error: Float[Tensor, "*s"], valid: Bool[Tensor, "*s"], share: float = 0.2
) -> Float[Tensor, "*s"]:
    """|x| up to c, (x^2 + c^2) / 2c above, c = share * the largest |x| among all valid entries of the batch (Laina
    2016). c is a constant to the gradient. Invalid entries, which may be NaN, give 0."""
    x = torch.where(valid, error, 0).abs()
    c = share * x.detach().amax() if x.numel() else x.new_zeros(())
    squared = (x.square() + c.square()) / (2 * c).clamp(min=torch.finfo(x.dtype).tiny)
    return torch.where(x <= c, x, squared)
