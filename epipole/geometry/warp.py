"""Where the pixels of the target lie in the source, and the source looked up there: by depth and motion, by a
homography, by flow.

`T_source_target` maps points of the target camera into the source camera: p_s ~ K_s T_source_target D_t(p_t) K_t^-1 p_t
(Zhou 2017, eq. 2). Every warp gives the target view synthesised from the source, and the principled mask: seen inside
the source image and in front of its camera. The mask has no gradient and does not know occlusion, see `visibility`.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import NEAR, pixel_grid
from .sample import pixels_to_share, sample, sample_share


def reproject(
    depth: Float[Tensor, "*b 1 h w"],
    T_source_target: Float[Tensor, "*b 4 4"],
    K_target: Float[Tensor, "*b 3 3"],
    K_source: Float[Tensor, "*b 3 3"],
) -> tuple[Float[Tensor, "*b 2 h w"], Float[Tensor, "*b 1 h w"], Bool[Tensor, "*b 1 h w"]]:
    """Where every target pixel lies in the source view (px), how deep (z, unit of depth), and if it is in front; the
    pixels of the others are finite but meaningless. A depth that is not finite is nowhere. Differentiable twice."""
    A = K_source @ T_source_target[..., :3, :3] @ torch.linalg.inv_ex(K_target).inverse
    c = K_source @ T_source_target[..., :3, 3:]
    b, (h, w) = depth.shape[:-3], depth.shape[-2:]
    out = _Reprojection.apply(depth.reshape(-1, h, w), A.reshape(-1, 3, 3), c.reshape(-1, 3))
    pixels, z, front = (x.reshape(*b, -1, h, w) for x in out)
    return pixels, z, front


def inverse_warp(
    source: Float[Tensor, "b c h w"],
    depth: Float[Tensor, "b 1 y x"],
    T_source_target: Float[Tensor, "b 4 4"],
    K_target: Float[Tensor, "b 3 3"],
    K_source: Float[Tensor, "b 3 3"],
) -> tuple[Float[Tensor, "b c y x"], Bool[Tensor, "b 1 y x"]]:
    """The target view from the target's depth and the motion, and the principled mask."""
    to_share = pixels_to_share(source.shape[-2], source.shape[-1], K_source)
    at, _, front = reproject(depth, T_source_target, K_target, to_share @ K_source)
    synthetic, inside = sample_share(source, at)
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


def homography_warp(
    source: Float[Tensor, "b c h w"], H_source_target: Float[Tensor, "b 3 3"], height: int, width: int
) -> tuple[Float[Tensor, "b c {height} {width}"], Bool[Tensor, "b 1 {height} {width}"]]:
    """The target view of this size by p_s ~ H p_t, and the principled mask.

    The third coordinate of H p_t is positive for what is seen, as in the homography K_s (R + t n^T / d) K_t^-1 of the
    plane n X = d (Hartley & Zisserman, eq. 13.2): H and -H are not the same here.
    """
    u, v = pixel_grid(height, width, H_source_target)
    p = H_source_target @ torch.stack([u, v, torch.ones_like(u)]).flatten(1)
    x, y, z = p.unflatten(-1, (height, width)).split(1, 1)
    front = z > NEAR
    pixels = torch.cat([x, y], 1) / torch.where(front, z, 1)
    synthetic, inside = sample(source, pixels)
    return synthetic, inside & front


def flow_warp(
    source: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 y x"]
) -> tuple[Float[Tensor, "b c y x"], Bool[Tensor, "b 1 y x"]]:
    """The target view from the flow (px) of target to source, I_s(p + flow(p)), and where it ends inside the source."""
    return sample(source, pixel_grid(flow.shape[-2], flow.shape[-1], flow) + flow)


class _Reprojection(torch.autograd.Function):
    """(x, y, z) = depth A (u, v, 1) + c of every pixel, to x / z, y / z, z and whether z > NEAR, with the derivative
    written out: autograd reads and writes three times as many maps."""

    @staticmethod
    def forward(ctx: Any, depth: Tensor, A: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        known = depth.nan_to_num(0, 0, 0)
        x, y, z = (ray.mul_(known).add_(c[:, k, None, None]) for k, ray in enumerate(_rays(A, depth)))
        front = (z > NEAR) & (depth == known)
        pixels, over = depth.new_empty(len(depth), 2, *depth.shape[1:]), z.clamp(min=NEAR).reciprocal_()
        torch.mul(x, over, out=pixels[:, 0])
        torch.mul(y, over, out=pixels[:, 1])
        ctx.save_for_backward(depth, A, pixels, z, front)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(front)
        return pixels, z, front

    @staticmethod
    def backward(ctx: Any, by_pixels: Tensor | None, by_z: Tensor | None, _: None) -> tuple[Tensor, Tensor, Tensor]:
        depth, A, pixels, z, front = ctx.saved_tensors
        by_pixels = torch.zeros_like(pixels) if by_pixels is None else by_pixels
        over = z.clamp(min=NEAR).reciprocal_()
        gx, gy = by_pixels[:, 0] * over, by_pixels[:, 1] * over
        gz = (gx * pixels[:, 0]).addcmul_(gy, pixels[:, 1]).neg_().mul_(front)
        g = (gx, gy, gz if by_z is None else gz.add_(by_z))
        x, y, z = _rays(A, depth)
        known = depth.nan_to_num(0, 0, 0)
        by_depth = x.mul_(g[0]).addcmul_(y, g[1]).addcmul_(z, g[2])
        return by_depth, torch.stack([_moments(k * known) for k in g], 1), torch.stack([k.sum((1, 2)) for k in g], 1)


def _axes(like: Float[Tensor, "b h w"]) -> tuple[Float[Tensor, "w"], Float[Tensor, "h"]]:
    u, v = (torch.arange(n, dtype=like.dtype, device=like.device) for n in (like.shape[2], like.shape[1]))
    return u, v


def _rays(A: Float[Tensor, "b 3 3"], like: Float[Tensor, "b h w"]) -> list[Float[Tensor, "b h w"]]:
    """The three rows of A (u, v, 1) at every pixel."""
    u, v = _axes(like)
    along, down = A[..., :1] * u, A[..., 1:2] * v + A[..., 2:]
    return [along[:, k, None] + down[:, k, :, None] for k in range(3)]


def _moments(x: Float[Tensor, "b h w"]) -> Float[Tensor, "b 3"]:
    """Sums of x u, x v and x over the pixels."""
    u, v = _axes(x)
    down = x.sum(2)
    return torch.stack([x.sum(1) @ u, down @ v, down.sum(1)], 1)
