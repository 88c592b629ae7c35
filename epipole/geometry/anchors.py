"""Scenes of anchors: points given by a pixel of a key frame and an inverse depth, and where they were seen."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .motion import se3_inverse
from .triangulation import inverse_depth_along_ray

NEAR = 1e-2       # of a homogeneous point's z, whose ray has z = 1: nearer than this it counts as behind the camera
BEHIND = 9.2      # what such a point costs: log(1 + 100^2), like one 100 sigma off
PINHOLE = torch.zeros(0)
NEWTON = 8        # steps, which double the digits, of what undoes a lens
STEEPEST = 0.05   # growth of the picture outwards, of the middle's, from which a lens counts as folding it


class Scene(NamedTuple):
    """What is solved for. World is arbitrary; inverse depth is per anchor, in 1 / unit of the path. `lens` is empty, or
    the k1 that bends the image plane radially: x (1 + k1 r^2) (Brown 1971; COLMAP's SIMPLE_RADIAL)."""

    T_camera_world: Float[Tensor, "n 4 4"]
    inverse_depth: Float[Tensor, "n m"]
    K: Float[Tensor, "3 3"]
    lens: Float[Tensor, "l"] = PINHOLE


class Edges(NamedTuple):
    """What was seen: the anchors of frame `source` at `observed` pixels of frame `target`; weight 0 = not seen."""

    source: Int[Tensor, "e"]
    target: Int[Tensor, "e"]
    observed: Float[Tensor, "e m 2"]
    weight: Float[Tensor, "e m"]

    def subset(self, keep: Tensor) -> "Edges":
        """The edges at these indices, or where this mask holds."""
        return Edges(*(field[keep] for field in self))


class Leaving(NamedTuple):
    """Frames, and the numbers of the edges that leave them, padded with -1."""

    frames: Int[Tensor, "c"]
    edges: Int[Tensor, "c s"]


def leaving(edges: Edges, n: int, most: int) -> list[Leaving]:
    """The frames of n that edges leave, at most so many at a time: those that as many leave stand together, so that
    little is padded."""
    count = torch.bincount(edges.source, minlength=n)
    by_source = torch.argsort(edges.source, stable=True)
    table = torch.full((n, int(count.max())), -1, dtype=torch.long)
    rank = torch.arange(len(by_source)) - torch.repeat_interleave(count.cumsum(0) - count, count)
    table[edges.source[by_source], rank] = by_source
    frames = torch.argsort(count, stable=True)
    groups = frames[count[frames] > 0].split(most)
    return [Leaving(some, table[some, : int(count[some[-1]])]) for some in groups if len(some)]


def rays(
    pixels: Float[Tensor, "*b 2"], K: Float[Tensor, "3 3"], lens: Float[Tensor, "l"] = PINHOLE
) -> Float[Tensor, "*b 3"]:
    """K^-1 [u, v, 1], without skew, straightened; beyond the fold of a barrel lens, the rays just before it."""
    xy = (pixels - K[:2, 2]) / torch.stack([K[0, 0], K[1, 1]])
    if len(lens):
        xy = _straightened(xy, lens[0])
    return torch.cat([xy, torch.ones_like(xy[..., :1])], -1)


def _straightened(bent: Float[Tensor, "*b 2"], k1: Float[Tensor, ""]) -> Float[Tensor, "*b 2"]:
    """xy with xy (1 + k1 r^2) = bent, by Newton's method along the radius."""
    radius = bent.norm(dim=-1, keepdim=True)
    fold = ((1 - STEEPEST) / (-3 * k1).clamp(min=1e-12)).sqrt()
    r = torch.minimum(radius, fold)
    for _ in range(NEWTON):
        r = torch.minimum(r - (r * (1 + k1 * r**2) - radius) / (1 + 3 * k1 * r**2).clamp(min=STEEPEST), fold)
    return bent * (r / radius.clamp(min=1e-12))


def rays_by_camera(ray: Float[Tensor, "*b 3"], lens: Float[Tensor, "l"]) -> Float[Tensor, "*b 2 1+l"]:
    """Derivatives of the x and y of fixed pixels' rays by log focal and the lens: a longer focal narrows them."""
    xy = ray[..., :2, None]
    if not len(lens):
        return -xy
    s = xy.square().sum(-2, keepdim=True)
    slope = (1 + 3 * lens * s).clamp(min=STEEPEST)
    return torch.cat([-xy * (1 + lens * s) / slope, -xy * s / slope], -1)


class Projected(NamedTuple):
    """Pixels of points in a camera's frame, from the principal point on; where they are in front and not folded; their
    derivatives by the points, and by log focal and the lens where the points stay."""

    pixels: Float[Tensor, "*b 2"]
    front: Bool[Tensor, "*b"]
    by_point: Float[Tensor, "*b 2 3"]
    by_camera: Float[Tensor, "*b 2 g"]


def project(
    Y: Float[Tensor, "*b 3"], K: Float[Tensor, "3 3"], lens: Float[Tensor, "l"] = PINHOLE
) -> tuple[Float[Tensor, "*b 2"], Bool[Tensor, "*b"]]:
    """Pixels of points, from the principal point on, and where they are in front and not beyond the lens's fold."""
    xy, front, focal = Y[..., :2] / Y[..., 2:].clamp(min=NEAR), Y[..., 2] > NEAR, torch.stack([K[0, 0], K[1, 1]])
    if not len(lens):
        return xy * focal, front
    s = xy.square().sum(-1, keepdim=True)
    return xy * (1 + lens * s) * focal, front & (1 + 3 * lens * s > STEEPEST)[..., 0]


def project_with_jacobians(
    Y: Float[Tensor, "*b 3"], K: Float[Tensor, "3 3"], lens: Float[Tensor, "l"] = PINHOLE
) -> Projected:
    """The same, and the derivatives."""
    uv, front = project(Y, K, lens)
    z = Y[..., 2].clamp(min=NEAR)
    x, y = Y[..., 0] / z, Y[..., 1] / z
    fx, fy, o = K[0, 0], K[1, 1], torch.zeros_like(x)
    J = torch.stack([torch.stack([fx / z, o, -fx * x / z], -1), torch.stack([o, fy / z, -fy * y / z], -1)], -2)
    if not len(lens):
        return Projected(uv, front, J, uv[..., None])
    xy, focal = torch.stack([x, y], -1), torch.stack([fx, fy])
    s = xy.square().sum(-1, keepdim=True)
    growth = (1 + lens * s)[..., None] * torch.eye(2).to(Y) + 2 * lens * xy[..., :, None] * xy[..., None, :]
    J = focal[:, None] * growth @ (J / focal[:, None])
    return Projected(uv, front, J, torch.stack([uv, focal * xy * s], -1))


def reproject(
    scene: Scene, pixels: Float[Tensor, "m 2"], source: Int[Tensor, "*e"], target: Int[Tensor, "*e"]
) -> tuple[Float[Tensor, "*e m 3"], Float[Tensor, "*e 4 4"]]:
    """Homogeneous points Y = R ray + inverse_depth t of the anchors in the target frames, and T_target_source."""
    T = scene.T_camera_world[target] @ se3_inverse(scene.T_camera_world[source])
    q = scene.inverse_depth[source]
    moved = torch.einsum("...ab,mb->...ma", T[..., :3, :3], rays(pixels, scene.K, scene.lens))
    return moved + q[..., None] * T[..., None, :3, 3], T


def residuals(
    scene: Scene, edges: Edges, pixels: Float[Tensor, "m 2"]
) -> tuple[Float[Tensor, "e m 2"], Bool[Tensor, "e m"]]:
    """Reprojection error in pixels per observation, and which observations count (weighted, in front)."""
    Y, _ = reproject(scene, pixels, edges.source, edges.target)
    uv, front = project(Y, scene.K, scene.lens)
    return uv + scene.K[:2, 2] - edges.observed, front & (edges.weight > 0)


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
    seen = rays(own.observed, scene.K, scene.lens)
    q, parallax = inverse_depth_along_ray(rays(pixels, scene.K, scene.lens), seen, T, own.weight)
    near = (parallax > 1e-10) & (q > 0.02 * fallback) & (q < 50 * fallback)
    return torch.where(near, q, torch.full_like(q, fallback))
