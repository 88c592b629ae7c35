"""What a rigid motion and depth do to pixels: reprojection, inverse warp, rigid flow.

`T_source_target` maps points of the target camera into the source camera: p_s ~ K_s T_source_target D_t(p_t) K_t^-1 p_t
(Zhou 2017, eq. 2).
"""

from jaxtyping import Bool, Float
from torch import Tensor

from .camera import pixel_grid, project, transform, unproject
from .sample import sample


def reproject(
    depth: Float[Tensor, "*b 1 h w"],
    T_source_target: Float[Tensor, "*b 4 4"],
    K_target: Float[Tensor, "*b 3 3"],
    K_source: Float[Tensor, "*b 3 3"],
) -> tuple[Float[Tensor, "*b 2 h w"], Float[Tensor, "*b 1 h w"], Bool[Tensor, "*b 1 h w"]]:
    """Where every target pixel lies in the source view (px), how deep (z, unit of depth), and if it is in front."""
    points = transform(T_source_target, unproject(depth, K_target))
    pixels, front = project(points, K_source)
    return pixels, points[..., 2:, :, :], front


def inverse_warp(
    source: Float[Tensor, "b c h w"],
    depth: Float[Tensor, "b 1 y x"],
    T_source_target: Float[Tensor, "b 4 4"],
    K_target: Float[Tensor, "b 3 3"],
    K_source: Float[Tensor, "b 3 3"],
) -> tuple[Float[Tensor, "b c y x"], Bool[Tensor, "b 1 y x"]]:
    """The target view synthesised from the source image and the target's depth, and the principled mask: seen inside
    the source image and in front of its camera. The mask has no gradient and does not know occlusion."""
    pixels, _, front = reproject(depth, T_source_target, K_target, K_source)
    synthetic, inside = sample(source, pixels)
    return synthetic, inside & front


def rigid_flow(
    depth: Float[Tensor, "*b 1 h w"],
    T_source_target: Float[Tensor, "*b 4 4"],
    K_target: Float[Tensor, "*b 3 3"],
    K_source: Float[Tensor, "*b 3 3"],
) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
    """Flow (px) from target to source that camera motion alone causes, and where the point stays in front."""
    pixels, _, front = reproject(depth, T_source_target, K_target, K_source)
    return pixels - pixel_grid(depth.shape[-2], depth.shape[-1], depth), front
