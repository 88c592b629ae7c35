"""Points from rays that should meet: in closed form along one ray, or by the direct linear transform."""

import torch
from jaxtyping import Float
from torch import Tensor

from .camera import normalise, pixel_grid
from .homogeneous import enough, least_vector


def inverse_depth_along_ray(
    ray: Float[Tensor, "*b n 3"],
    seen: Float[Tensor, "*b v n 3"],
    T_target_source: Float[Tensor, "*b v 4 4"],
    weight: Float[Tensor, "*b v n"],
) -> tuple[Float[Tensor, "*b n"], Float[Tensor, "*b n"]]:
    """Inverse depth q (1 / unit of the motion) of points on rays (z = 1) of a source camera, from rays m on which v
    target cameras see them: (R ray + q t) x m = 0, least squares in q over the views.

    Also the parallax sum_v w |t x m|^2, the curvature of that least squares problem. Without parallax q is 0, a point
    at infinity; behind the source camera it is negative.
    """
    turned = torch.einsum("...vab,...nb->...vna", T_target_source[..., :3, :3], ray)
    a = torch.linalg.cross(turned, seen)
    b = torch.linalg.cross(T_target_source[..., None, :3, 3].expand_as(seen), seen)
    top, parallax = -(weight * (a * b).sum(-1)).sum(-2), (weight * b.square().sum(-1)).sum(-2)
    some = parallax > torch.finfo(parallax.dtype).tiny
    q = top / torch.where(some, parallax, torch.ones_like(parallax))
    return torch.where(some, q, torch.zeros_like(q)), parallax


def inverse_depth_of_flow(
    flow: Float[Tensor, "b 2 h w"],
    T_target_source: Float[Tensor, "b 4 4"],
    K_source: Float[Tensor, "b 3 3"],
    K_target: Float[Tensor, "b 3 3"],
) -> Float[Tensor, "b 1 h w"]:
    """`inverse_depth_along_ray` of every pixel, seen again where the flow (px) leads: undoes `warp.rigid_flow`."""
    here = pixel_grid(flow.shape[-2], flow.shape[-1], flow).expand_as(flow)
    ray, seen = normalise(K_source, here).flatten(2).mT, normalise(K_target, here + flow).flatten(2).mT
    q, _ = inverse_depth_along_ray(ray, seen[:, None], T_target_source[:, None], torch.ones_like(seen[:, None, :, 0]))
    return q.unflatten(-1, flow.shape[-2:])[:, None]


def triangulate_dlt(
    P: Float[Tensor, "*b v 3 4"], pixels: Float[Tensor, "*b v n 2"], weight: Float[Tensor, "*b v n"]
) -> Float[Tensor, "*b n 4"]:
    """Unit homogeneous points from the pixels at which v >= 2 cameras with matrices P = K [R | t] see them: the direct
    linear transform (Hartley & Zisserman, 12.2), least squares over w_k |u p3 - p1, v p3 - p2|^2.

    Rays that are parallel meet at infinity, with last coordinate 0. What stays open (one camera centre, no weight) goes
    to infinity along z. ValueError for fewer than 2 views.
    """
    enough(pixels[..., :, 0, :], 2, "triangulation (views are the points here)")
    P, uv, w = P.double(), pixels.double(), weight.double()
    rows = uv[..., None] * P[..., None, 2:, :] - P[..., None, :2, :]  # [*b v n 2 4]
    M = torch.einsum("...vnij,...vn,...vnik->...njk", rows, w, rows)
    return least_vector(M, torch.tensor([0.0, 0, 1, 0])).to(pixels.dtype)


def sensitivity(
    cloud: Float[Tensor, "b 3 h w"], T_b_a: Float[Tensor, "b 4 4"], K: Float[Tensor, "b 3 3"]
) -> Float[Tensor, "b 1 h w"]:
    """How far a pixel of b moves per unit of log depth in a, |d pi(R D ray + t) / d log D| in px, for the cloud in b.
    Divided by it, an error in pixels is one of log depth."""
    z, t = cloud[:, 2:].clamp(min=1e-3), T_b_a[:, :3, 3, None, None]
    focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], 1)[..., None, None]
    moved = focal * (t[:, 2:] * cloud[:, :2] / z - t[:, :2]) / z
    return moved.square().sum(1, keepdim=True).sqrt()  # not norm(dim=1): ten times slower across channels
