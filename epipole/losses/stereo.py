"""Left-right consistency of the disparities of a rectified pair."""

from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.rectified import disparity_flow
from ..geometry.warp import flow_warp

Consistency = tuple[Float[Tensor, "b 1 h w"], Bool[Tensor, "b 1 h w"]]


def left_right(left: Float[Tensor, "b 1 h w"], right: Float[Tensor, "b 1 h w"]) -> tuple[Consistency, Consistency]:
    """|d_l(x) - d_r(x - d_l(x))| and |d_r(x) - d_l(x + d_r(x))| in pixels, for disparities in pixels (pixel x of the
    left image is seen at x - d_l in the right one), each with where the look-up fell inside (Godard 2017)."""
    return _across(left, right, 1), _across(right, left, -1)


def _across(disparity: Tensor, other: Tensor, sign: int) -> Consistency:
    found, inside = flow_warp(other, disparity_flow(sign * disparity))
    return (disparity - found).abs(), inside
