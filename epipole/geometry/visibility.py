"""Which pixels of the target the source sees too. The principled mask comes with every warp; these tell occlusion."""

from jaxtyping import Bool, Float
from torch import Tensor

from .sample import sample
from .warp import flow_warp, reproject


def depth_test(
    depth_target: Float[Tensor, "b 1 y x"],
    depth_source: Float[Tensor, "b 1 h w"],
    T_source_target: Float[Tensor, "b 4 4"],
    K_target: Float[Tensor, "b 3 3"],
    K_source: Float[Tensor, "b 3 3"],
    tolerance: float = 0.05,
) -> Bool[Tensor, "b 1 y x"]:
    """Where a target pixel is seen in the source image with nothing in front of it: it is no deeper there than the
    source's own depth, give or take a share `tolerance` of it (Gordon 2019, with tolerance 0)."""
    pixels, z, front = reproject(depth_target, T_source_target, K_target, K_source)
    surface, inside = sample(depth_source, pixels)
    return inside & front & (z <= surface * (1 + tolerance))


def round_trip(
    forward: Float[Tensor, "b 2 h w"], backward: Float[Tensor, "b 2 y x"]
) -> tuple[Float[Tensor, "b 2 h w"], Bool[Tensor, "b 1 h w"]]:
    """f(p) + b(p + f(p)) in px, zero where flow forth and back agree, and where p + f(p) lies inside."""
    back, inside = flow_warp(backward, forward)
    return forward + back, inside


def forward_backward(
    forward: Float[Tensor, "b 2 h w"], backward: Float[Tensor, "b 2 y x"], share: float = 0.01, constant: float = 0.5
) -> Bool[Tensor, "b 1 h w"]:
    """Where following the flow forth and back returns: |f + b'|^2 < share (|f|^2 + |b'|^2) + constant (px^2), with b'
    the backward flow where f ends (Sundaram 2010, eq. 5; numbers of Meister 2018). What leaves the image does not."""
    left, inside = round_trip(forward, backward)
    length = forward.square().sum(1, keepdim=True) + (left - forward).square().sum(1, keepdim=True)
    return inside & (left.square().sum(1, keepdim=True) < share * length + constant)
