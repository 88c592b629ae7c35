"""Pinhole camera. Pixel (0, 0) is the centre of the top-left pixel; depth is z."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

NEAR = 1e-3  # points nearer to the camera plane than this share of the unit of depth are not projected


def pixel_grid(height: int, width: int, like: Tensor) -> Float[Tensor, "2 h w"]:
    """Pixel coordinates (u, v) of every pixel centre."""
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([u, v]).to(like)


def normalise(K: Float[Tensor, "*b 3 3"], pixels: Float[Tensor, "*b 2 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """Rays K^-1 [u, v, 1] with z = 1 (no skew)."""
    x = (pixels[..., 0, :, :] - K[..., 0, 2, None, None]) / K[..., 0, 0, None, None]
    y = (pixels[..., 1, :, :] - K[..., 1, 2, None, None]) / K[..., 1, 1, None, None]
    return torch.stack([x, y, torch.ones_like(x)], -3)


def unproject(depth: Float[Tensor, "*b 1 h w"], K: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3 h w"]:
    """Q = D K^-1 [u, v, 1]^T: the 3-D point seen at every pixel (camera frame, unit of depth)."""
    grid = pixel_grid(depth.shape[-2], depth.shape[-1], depth)
    return depth * normalise(K, grid.expand(*depth.shape[:-3], 2, -1, -1))


def transform(T: Float[Tensor, "*b 4 4"], points: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """Points of frame b in frame a, for T = T_a_b."""
    return torch.einsum("...ij,...jhw->...ihw", T[..., :3, :3], points) + T[..., :3, 3, None, None]


def project(
    points: Float[Tensor, "*b 3 h w"], K: Float[Tensor, "*b 3 3"]
) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
    """Pixels of points, and which of the points lie in front of the camera (z > NEAR); the others' pixels are finite
    but meaningless."""
    z = points[..., 2:, :, :]
    front = z > NEAR
    xy = points[..., :2, :, :] / torch.where(front, z, torch.ones_like(z))
    focal = torch.stack([K[..., 0, 0], K[..., 1, 1]], -1)[..., None, None]
    return xy * focal + K[..., :2, 2, None, None], front


def resize_intrinsics(K: Float[Tensor, "*b 3 3"], scale_x: float, scale_y: float) -> Float[Tensor, "*b 3 3"]:
    """Intrinsics of the image resized by these factors, with the half-pixel shift c' = (c + 0.5) s - 0.5."""
    s = torch.tensor([scale_x, scale_y]).to(K)
    out = K.clone()
    out[..., 0, 0], out[..., 1, 1] = K[..., 0, 0] * s[0], K[..., 1, 1] * s[1]
    out[..., :2, 2] = (K[..., :2, 2] + 0.5) * s - 0.5
    return out


def crop_intrinsics(K: Float[Tensor, "*b 3 3"], left: float, top: float) -> Float[Tensor, "*b 3 3"]:
    """Intrinsics of the image whose top-left pixel was at (left, top)."""
    out = K.clone()
    out[..., :2, 2] = K[..., :2, 2] - torch.tensor([left, top]).to(K)
    return out


def intrinsics(fx: float, fy: float, cx: float, cy: float) -> Float[Tensor, "3 3"]:
    """The matrix K (float64)."""
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
