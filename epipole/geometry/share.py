"""Flow as a share of an image's width and height: the same numbers at every size."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .warp import flow_warp, rigid_flow


def extent(like: Tensor) -> Float[Tensor, "2 1 1"]:
    """Width and height of a map, px."""
    return torch.tensor([like.shape[-1], like.shape[-2]]).to(like)[:, None, None]


def rigid_share(
    depth: Float[Tensor, "b 1 h w"],
    T_source_target: Float[Tensor, "b 4 4"],
    K_target: Float[Tensor, "b 3 3"],
    K_source: Float[Tensor, "b 3 3"],
) -> tuple[Float[Tensor, "b 2 h w"], Bool[Tensor, "b 1 h w"]]:
    """`warp.rigid_flow`, and where the point stays in front and both parts of the flow are shorter than the image."""
    flow, front = rigid_flow(depth, T_source_target, K_target, K_source)
    share = flow / extent(flow)
    return share, front & (share.abs() < 1).all(1, keepdim=True)


def share_warp(source: Float[Tensor, "b c h w"], share: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b c h w"]:
    """`warp.flow_warp`, with 0 where the flow leads out of the source."""
    synthetic, inside = flow_warp(source, share * extent(source))
    return torch.where(inside, synthetic, 0)
