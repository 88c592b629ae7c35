"""Scenes of anchors: points given by a pixel of a key frame and an inverse depth, and where they were seen."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .motion import se3_inverse
from .triangulation import inverse_depth_along_ray

NEAR = 1e-2       # of a homogeneous point's z, whose ray has z = 1: nearer than this it counts as behind the camera
BEHIND = 9.2      # what such a point costs: log(1 + 100^2), like one 100 sigma off


class Scene(NamedTuple):
    """What is solved for. World is arbitrary; inverse depth is per anchor, in 1 / unit of the path."""

    T_camera_world: Float[Tensor, "n 4 4"]
    inverse_depth: Float[Tensor, "n m"]
    K: Float[Tensor, "3 3"]


class Edges(NamedTuple):
    """What was seen: the anchors of frame `source` at `observed` pixels of frame `target`; weight 0 = not seen."""

    source: Int[Tensor, "e"]
    target: Int[Tensor, "e"]
    observed: Float[Tensor, "e m 2"]
    weight: Float[Tensor, "e m"]

    def subset(self, keep: Tensor) -> "Edges":
        """The edges at these indices, or where this mask holds."""
        return Edges(*(field[keep] for field in self))


def rays(pixels: Float[Tensor, "*b 2"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "*b 3"]:
    """K^-1 [u, v, 1], without skew."""
    xy = (pixels - K[:2, 2]) / torch.stack([K[0, 0], K[1, 1]])
    return torch.cat([xy, torch.ones_like(xy[..., :1])], -1)


def reproject(
    scene: Scene, pixels: Float[Tensor, "m 2"], source: Int[Tensor, "*e"], target: Int[Tensor, "*e"]
) -> tuple[Float[Tensor, "*e m 3"], Float[Tensor, "*e 4 4"]]:
    """Homogeneous points Y = R ray + inverse_depth t of the anchors in the target frames, and T_target_source."""
    T = scene.T_camera_world[target] @ se3_inverse(scene.T_camera_world[source])
    q = scene.inverse_depth[source]
    moved = torch.einsum("...ab,mb->...ma", T[..., :3, :3], rays(pixels, scene.K))
    return moved + q[..., None] * T[..., None, :3, 3], T


def residuals(
    scene: Scene, edges: Edges, pixels: Float[Tensor, "m 2"]
) -> tuple[Float[Tensor, "e m 2"], Bool[Tensor, "e m"]]:
    """Reprojection error in pixels per observation, and which observations count (weighted, in front)."""
    Y, _ = reproject(scene, pixels, edges.source, edges.target)
    focal = torch.stack([scene.K[0, 0], scene.K[1, 1]])
    uv = Y[..., :2] / Y[..., 2:].clamp(min=NEAR) * focal + scene.K[:2, 2]
    return uv - edges.observed, (Y[..., 2] > NEAR) & (edges.weight > 0)


def robust_cost(scene: Scene, edges: Edges, pixels: Float[Tensor, "m 2"], sigma: float) -> float:
    """Mean of the Cauchy cost log(1 + |r|^2 / sigma^2); a point behind the camera costs like one 100 sigma off."""
    total = count = 0.0
    for part in torch.arange(len(edges.source)).split(256):
        some = edges.subset(part)
        r, front = residuals(scene, some, pixels)
        cost = torch.log1p((r / sigma).square().sum(-1))
        cost = torch.where(front, cost, torch.full_like(cost, BEHIND)) * some.weight
        total, count = total + float(cost.sum()), count + float(some.weight.sum())
    return total / max(count, 1.0)


def triangulate(
    scene: Scene, edges: Edges, pixels: Float[Tensor, "m 2"], frame: int, fallback: float
) -> Float[Tensor, "m"]:
    """Inverse depth of a frame's anchors in closed form along the ray, from all edges that leave the frame.

    With m the observed ray in the target: (R ray + q t) x m = 0, least squares in q over the edges. Anchors without
    parallax or behind the camera get `fallback`.
    """
    own = edges.subset(edges.source == frame)
    T = scene.T_camera_world[own.target] @ se3_inverse(scene.T_camera_world[frame])
    seen = rays(own.observed, scene.K)
    q, parallax = inverse_depth_along_ray(rays(pixels, scene.K), seen, T, own.weight)
    near = (parallax > 1e-10) & (q > 0.02 * fallback) & (q < 50 * fallback)
    return torch.where(near, q, torch.full_like(q, fallback))
