"""Camera pose from world points and the pixels that see them: linear start, refinement, gradient at the solution."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .align import nearest_rotation
from .camera import NEAR
from .homogeneous import calibrate, enough, homogeneous, inverse_length, least_vector, length, moved_by, normalising
from .homography import homography
from .motion import hat, se3, se3_exp

IN_FRONT = torch.eye(4, dtype=torch.float64)[:3].flatten() / math.sqrt(3)
START_DAMPING = 1e-3
ROUNDING = 1e-10   # by which a step may seem to raise the cost: near the minimum the cost is flat, the step still right


def pnp_dlt(
    points: Float[Tensor, "*b n 3"], image: Float[Tensor, "*b n 2"], weight: Float[Tensor, "*b n"]
) -> Float[Tensor, "*b 4 4"]:
    """T_camera_world from n >= 6 world points, not in one plane, and where the camera sees them on its plane z = 1, by
    the direct linear transform (Hartley & Zisserman, 7.1), its left part brought to the nearest rotation.

    What the points leave open (a plane, a line) gives a pose that need not see them. ValueError for fewer than 6.
    """
    enough(points, 6, "a pose from linear equations")
    X, x, w = points.double(), image.double(), weight.double()
    U, V = normalising(X, w), normalising(x, w)
    Y, y = homogeneous(moved_by(U, X)), moved_by(V, x)
    o = torch.zeros_like(Y)
    rows = torch.stack([torch.cat([Y, o, -y[..., :1] * Y], -1), torch.cat([o, Y, -y[..., 1:] * Y], -1)], -2)
    M = torch.einsum("...nij,...n,...nik->...jk", rows, w, rows)
    P = torch.linalg.inv(V) @ least_vector(M, IN_FRONT).unflatten(-1, (3, 4)) @ U
    P = P * torch.where(torch.linalg.det(P[..., :3].detach()) < 0, -1.0, 1.0).to(P)[..., None, None]
    R = nearest_rotation(P[..., :3])
    scale = (R * P[..., :3]).sum((-2, -1)) / 3  # mean singular value
    return se3(R, P[..., 3] / torch.where(scale > 0, scale, torch.ones_like(scale))[..., None]).to(points.dtype)


def pnp_plane(
    points: Float[Tensor, "*b n 3"], image: Float[Tensor, "*b n 2"], weight: Float[Tensor, "*b n"]
) -> Float[Tensor, "*b 4 4"]:
    """T_camera_world from n >= 4 world points in (or near) one plane, and where the camera sees them on its plane
    z = 1: the homography H ~ [r1 r2 t] from plane to image (Zhang 2000, section 3.1). ValueError for fewer than 4."""
    enough(points, 4, "a pose from a plane")
    X, x, w = points.double(), image.double(), weight.double()
    total = w.sum(-1, keepdim=True)
    share = (w / torch.where(total > 0, total, torch.ones_like(total)))[..., None]
    centre = (share * X).sum(-2, keepdim=True)
    axes = _plane_axes((X - centre).mT @ (share * (X - centre)))
    H = homography(((X - centre) @ axes)[..., :2], x, w)
    H = H * torch.where(H[..., 2, 2] < 0, -1.0, 1.0).to(H)[..., None, None]  # the centre lies in front
    r1, r2, t = H.unbind(-1)
    size = (length(r1) * length(r2)).sqrt()[..., None]
    r1, r2 = r1 * inverse_length(r1)[..., None], r2 * inverse_length(r2)[..., None]
    R = nearest_rotation(torch.stack([r1, r2, torch.linalg.cross(r1, r2)], -1)) @ axes.mT
    t = t / torch.where(size > 0, size, torch.ones_like(size))
    return se3(R, t - (R @ centre.mT)[..., 0]).to(points.dtype)


def _plane_axes(covariance: Tensor) -> Tensor:
    """A right-handed frame whose last axis is the normal of a cloud of points. How the others turn about it is free:
    they follow the coordinate axis that is farthest from the normal, not the cloud's, which may have equal spreads."""
    normal = least_vector(covariance, torch.tensor([0.0, 0, 1]))
    far = torch.nn.functional.one_hot(normal.detach().abs().argmin(-1), 3).to(normal)
    across = torch.linalg.cross(normal, far)
    across = across * inverse_length(across)[..., None]
    return torch.stack([torch.linalg.cross(across, normal), across, normal], -1)


def reprojection(
    T_camera_world: Float[Tensor, "*b 4 4"],
    points: Float[Tensor, "*b n 3"],
    pixels: Float[Tensor, "*b n 2"],
    K: Float[Tensor, "*b 3 3"],
) -> tuple[Float[Tensor, "*b n 2"], Bool[Tensor, "*b n"], Float[Tensor, "*b n 2 6"]]:
    """Where the camera sees the points less `pixels`, which points lie in front of it (z > NEAR), and the Jacobian by a
    twist from the left. Points that do not lie in front have finite values of no meaning."""
    camera = moved_by(T_camera_world, points)
    front = camera[..., 2] > NEAR
    z = torch.where(front, camera[..., 2], torch.ones_like(camera[..., 2]))[..., None]
    uv = (camera @ K[..., :2, :].mT) / z
    by_point = (K[..., None, :2, :] - uv[..., None] * torch.tensor([0.0, 0, 1]).to(K)) / z[..., None]
    return uv - pixels, front, torch.cat([by_point, -by_point @ hat(camera)], -1)


def pnp(
    points: Float[Tensor, "*b n 3"],
    pixels: Float[Tensor, "*b n 2"],
    K: Float[Tensor, "*b 3 3"],
    weight: Float[Tensor, "*b n"],
) -> Float[Tensor, "*b 4 4"]:
    """T_camera_world that minimises sum_k w_k |reprojection error|^2 over n >= 4 world points and the pixels that see
    them: the better of `pnp_plane` and `pnp_dlt` (n >= 6), refined. Differentiable as `refine_pose` is.

    Fewer than 6 points must lie near one plane (else use `p3p`). ValueError for fewer than 4.
    """
    with torch.no_grad():
        image = calibrate(pixels, K)
        T = pnp_plane(points, image, weight)
        if points.shape[-2] >= 6:
            other = pnp_dlt(points, image, weight)
            worse = _cost(T, points, pixels, K, weight) > _cost(other, points, pixels, K, weight)
            T = torch.where(worse[..., None, None], other, T)
    return refine_pose(T, points, pixels, K, weight)


def _cost(T: Tensor, points: Tensor, pixels: Tensor, K: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of squared errors; inf where a point that counts lies behind the camera."""
    r, front, _ = reprojection(T, points, pixels, K)
    behind = ((weight > 0) & ~front).any(-1)
    return torch.where(behind, torch.inf, (weight * r.square().sum(-1)).sum(-1))


def refine_pose(
    T_camera_world: Float[Tensor, "*b 4 4"],
    points: Float[Tensor, "*b n 3"],
    pixels: Float[Tensor, "*b n 2"],
    K: Float[Tensor, "*b 3 3"],
    weight: Float[Tensor, "*b n"],
    iterations: int = 15,
) -> Float[Tensor, "*b 4 4"]:
    """The pose of least sum_k w_k |reprojection error|^2 near a start, by Gauss-Newton with Levenberg's damping; a step
    that would put a point behind the camera is not taken, and points that begin there do not count.

    The gradient by points, pixels, K and weight is that of the solution, by the implicit function theorem with the
    exact second derivative, not of the iterations; the start has none. Directions that the points leave open (fewer
    than three, collinear) stay as they were and have gradient 0. Computed in float64.
    """
    dtype = points.dtype
    T, points, pixels, K, weight = (x.double() for x in (T_camera_world, points, pixels, K, weight))
    with torch.no_grad():
        counts = weight * reprojection(T, points, pixels, K)[1]
        cost, damping = _cost(T, points, pixels, K, counts), torch.full_like(T[..., 0, 0], START_DAMPING)
        for _ in range(iterations):
            slope, A = _normal_equations(T, points, pixels, K, counts)
            diagonal = A.diagonal(dim1=-2, dim2=-1)
            A = A + torch.diag_embed(damping[..., None] * diagonal)
            new = se3_exp(-_solve(A, slope)) @ T
            after = _cost(new, points, pixels, K, counts)
            better = after <= cost * (1 + ROUNDING)
            T, cost = torch.where(better[..., None, None], new, T), torch.where(better, after, cost)
            damping = torch.where(better, damping / 10, damping * 10).clamp(1e-12, 1e6)
    return _with_gradient(T.detach(), points, pixels, K, weight * (counts > 0)).to(dtype)


def _normal_equations(T: Tensor, points: Tensor, pixels: Tensor, K: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """J^T W r and J^T W J."""
    r, front, J = reprojection(T, points, pixels, K)
    JW = J * (weight * front)[..., None, None]
    return torch.einsum("...nij,...ni->...j", JW, r), torch.einsum("...nij,...nik->...jk", JW, J)


def _solve(A: Tensor, b: Tensor) -> Tensor:
    """A^+ b for symmetric A, eigenvalues scaled to a unit diagonal; what A leaves open within rounding stays 0."""
    d = A.diagonal(dim1=-2, dim2=-1).abs()
    d = torch.where(d > torch.finfo(d.dtype).tiny, d, torch.ones_like(d)).rsqrt()
    values, V = torch.linalg.eigh(d[..., :, None] * A * d[..., None, :])
    known = values.abs() > 1e-10 * values.abs().amax(-1, keepdim=True)
    inverse = torch.where(known, 1 / torch.where(known, values, torch.ones_like(values)), torch.zeros_like(values))
    return d * (V @ (inverse[..., None] * (V.mT @ (d * b)[..., None])))[..., 0]


def _with_gradient(T: Tensor, points: Tensor, pixels: Tensor, K: Tensor, weight: Tensor) -> Tensor:
    """T with the gradient of the solution: g(T, inputs) = J^T W r = 0 gives dT = -(dg/dT)^-1 dg/dinputs."""
    inputs = (points, pixels, K, weight)
    if not (torch.is_grad_enabled() and any(x.requires_grad for x in inputs)):
        return T
    twist = torch.zeros_like(T[..., 0, :1]).repeat_interleave(6, -1).requires_grad_()
    at_rest, _ = _normal_equations(se3_exp(twist) @ T, *(x.detach() for x in inputs))
    rows = [torch.autograd.grad(at_rest[..., k].sum(), twist, retain_graph=True)[0] for k in range(6)]
    curvature = torch.stack(rows, -2).detach()
    slope, _ = _normal_equations(T, *inputs)
    step = _solve((curvature + curvature.mT) / 2, slope)
    return se3_exp(step.detach() - step) @ T
