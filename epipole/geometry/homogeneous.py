"""Homogeneous coordinates, and homogeneous least squares: the unit vector that linear equations leave smallest."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

DAMPING = 1e-10   # eigenvalues this near, as a share of the trace, are not told apart by the gradient


def homogeneous(points: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d+1"]:
    """Points with a last coordinate 1."""
    return torch.cat([points, torch.ones_like(points[..., :1])], -1)


def dehomogenise(x: Float[Tensor, "*b d"]) -> tuple[Float[Tensor, "*b d-1"], Bool[Tensor, "*b"]]:
    """Points of homogeneous vectors, and which of them are finite: a last coordinate within rounding of 0 is a point at
    infinity, for which a direction of no meaning but without NaN in value and gradient is returned."""
    last = x[..., -1]
    finite = last.abs() > 4 * torch.finfo(x.dtype).eps * x[..., :-1].detach().abs().amax(-1)
    return x[..., :-1] / torch.where(finite, last, torch.ones_like(last))[..., None], finite


def inverse_root(x: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """1 / sqrt(x), and 0, without gradient, where x is 0."""
    some = x > torch.finfo(x.dtype).tiny
    return torch.where(some, torch.where(some, x, 1.0).rsqrt(), 0.0)


def inverse_length(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """1 / |x|, and 0, without gradient, for x = 0."""
    return inverse_root(x.square().sum(-1))


def length(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """|x|, with gradient 0 at x = 0."""
    return x.square().sum(-1) * inverse_length(x)


def calibrate(pixels: Float[Tensor, "*b n 2"], K: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b n 2"]:
    """Pixels as coordinates on the plane z = 1 of their camera; K may have skew."""
    return (homogeneous(pixels) @ torch.linalg.inv(K).mT)[..., :2]


def enough(points: Tensor, least: int, what: str) -> None:
    """Raises ValueError if the axis before the last holds fewer than `least` points."""
    if points.shape[-2] < least:
        raise ValueError(f"{what} needs at least {least} points, got {points.shape[-2]}")


def normalising(points: Float[Tensor, "*b n d"], weight: Float[Tensor, "*b n"]) -> Float[Tensor, "*b d+1 d+1"]:
    """The similarity, as a matrix on homogeneous points, that brings their weighted mean to 0 and their weighted
    root-mean-square distance from it to sqrt(d) (Hartley 1997). Coincident points are not scaled, points without weight
    not moved either."""
    d = points.shape[-1]
    total = weight.sum(-1, keepdim=True)
    share = (weight / torch.where(total > 0, total, torch.ones_like(total)))[..., None]
    mean = (share * points).sum(-2)
    variance = (share * (points - mean[..., None, :]).square()).sum((-2, -1))
    spread = variance > (8 * torch.finfo(points.dtype).eps) ** 2 * mean.detach().square().sum(-1)
    scale = (torch.where(spread, variance, torch.full_like(variance, d)) / d).rsqrt()[..., None, None]
    top = torch.cat([scale * torch.eye(d).to(points), -scale * mean[..., None]], -1)
    return torch.cat([top, torch.eye(d + 1)[d:].to(top).expand(*top.shape[:-2], 1, d + 1)], -2)


def moved_by(T: Float[Tensor, "*b e e"], points: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b n d"]:
    """Points through an affine map given as a matrix on homogeneous points."""
    return points @ T[..., :-1, :-1].mT + T[..., None, :-1, -1]


def least_vector(M: Float[Tensor, "*b k k"], prefer: Float[Tensor, "k"]) -> Float[Tensor, "*b k"]:
    """The unit vector x that minimises x^T M x, for M symmetric with eigenvalues >= 0: the total least squares solution
    of A x = 0 with M = A^T W A. Computed in float64, because M squares the condition of A.

    Where M leaves x open, the tie goes to the side of the unit vector `prefer`, which also decides the sign; M = 0
    gives `prefer`. The gradient is dx = -(M - lambda_0)^+ dM x (Magnus 1985); directions that M leaves open are damped
    in it instead of divided by zero. It is right once; a second derivative would not be.
    """
    eps = torch.finfo(torch.float64).eps
    A, like = M.double(), prefer.to(M.device, torch.float64)
    trace = A.detach().diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    A = A / torch.where(trace > 1e-30, trace, torch.ones_like(trace))
    with torch.no_grad():
        tie = 1e3 * eps * (torch.eye(len(like)).to(A) - like[:, None] * like)
        values, V = torch.linalg.eigh(A + tie)
        x = V[..., 0] * torch.where(V[..., 0] @ like < 0, -1.0, 1.0).to(A)[..., None]
        gap = values[..., 1:] - values[..., :1]
        others = V[..., 1:]
        inverse = (others * (gap / (gap.square() + DAMPING**2))[..., None, :]) @ others.mT
    pull = (inverse @ (A @ x[..., None]))[..., 0]
    return (x - (pull - pull.detach())).to(M.dtype)  # the value is x; only the gradient passes through the pull
