"""Forth and back: how far two motions are from undoing each other (Gordon 2019)."""

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-12


def rotation_cycle(R_1: Float[Tensor, "b 3 3"], R_2: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b"]:
    """|R_2 R_1 - I|^2 / (|R_1 - I|^2 + |R_2 - I|^2): forth and back, whatever the angle."""
    round_trip, one, two = ((R - torch.eye(3).to(R)).square().sum((-2, -1)) for R in (R_2 @ R_1, R_1, R_2))
    return round_trip / (one + two + EPSILON)


def translation_cycle(
    R_2: Float[Tensor, "b 3 3"], t_1: Float[Tensor, "b 3 h w"], t_2: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """|R_2 t_1 + t_2|^2 / (|t_1|^2 + |t_2|^2)."""
    round_trip = torch.einsum("bij,bjhw->bihw", R_2, t_1) + t_2
    left, one, two = (t.square().sum(1, keepdim=True) for t in (round_trip, t_1, t_2))
    return left / (one + two + EPSILON)
