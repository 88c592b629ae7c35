"""Similarities: rotation, translation and scale, as monocular maps that drift in scale need them (Strasdat 2012).

A tangent is (translation part, rotation vector, log scale); S_a_b maps points of frame b into frame a,
x -> s R x + t, as a 4x4 matrix with s R in its corner. Integrals of the exponential come from the matrix exponential
of a larger matrix (Van Loan 1978), which has no special case at angle 0 or scale 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .motion import hat, se3, so3_exp, so3_log


def sim3(
    scale: Float[Tensor, "*b"], R: Float[Tensor, "*b 3 3"], t: Float[Tensor, "*b 3"]
) -> Float[Tensor, "*b 4 4"]:
    """The 4x4 matrix of x -> scale R x + t."""
    return se3(scale[..., None, None] * R, t)


def sim3_parts(
    S: Float[Tensor, "*b 4 4"],
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b 3 3"], Float[Tensor, "*b 3"]]:
    """Scale (> 0), rotation and translation."""
    sR = S[..., :3, :3]
    scale = ((sR * sR).sum((-2, -1)) / 3).sqrt()
    return scale, sR / scale[..., None, None], S[..., :3, 3]


def sim3_exp(xi: Float[Tensor, "*b 7"]) -> Float[Tensor, "*b 4 4"]:
    """Tangent (v, w, log scale) to similarity."""
    v, w, log_scale = xi[..., :3], xi[..., 3:6], xi[..., 6]
    return sim3(log_scale.exp(), so3_exp(w), (_mean_exponential(_generator(w, log_scale)) @ v[..., None])[..., 0])


def sim3_log(S: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 7"]:
    """Similarity to tangent (v, w, log scale); inverse of sim3_exp for angles below pi."""
    scale, R, t = sim3_parts(S)
    w, log_scale = so3_log(R), scale.log()
    v = torch.linalg.solve(_mean_exponential(_generator(w, log_scale)), t[..., None])[..., 0]
    return torch.cat([v, w, log_scale[..., None]], -1)


def sim3_inverse(S: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """S_b_a of S_a_b."""
    scale, R, t = sim3_parts(S)
    return sim3(1 / scale, R.mT, -(R.mT @ t[..., None])[..., 0] / scale[..., None])


def sim3_adjoint(S: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 7 7"]:
    """Ad with S exp(xi) S^-1 = exp(Ad xi)."""
    scale, R, t = sim3_parts(S)
    o, one = torch.zeros_like(R), torch.ones_like(scale)
    top = torch.cat([scale[..., None, None] * R, hat(t) @ R, -t[..., None]], -1)
    middle = torch.cat([o, R, o[..., :1]], -1)
    return torch.cat([top, middle, torch.cat([o[..., 0], o[..., 0], one[..., None]], -1)[..., None, :]], -2)


def sim3_left_jacobian(xi: Float[Tensor, "*b 7"]) -> Float[Tensor, "*b 7 7"]:
    """J with exp(xi + d) = exp(J d) exp(xi) to first order: the integral of exp(u ad xi) over u in [0, 1]."""
    return _mean_exponential(_small_adjoint(xi))


def sim3_left_jacobian_inverse(xi: Float[Tensor, "*b 7"]) -> Float[Tensor, "*b 7 7"]:
    """J^-1 with log(exp(d) exp(xi)) = xi + J^-1 d to first order; exists below angle 2 pi."""
    return torch.linalg.inv(sim3_left_jacobian(xi))


def sim3_interpolate(
    S0: Float[Tensor, "*b 4 4"], S1: Float[Tensor, "*b 4 4"], share: Float[Tensor, "*b"]
) -> Float[Tensor, "*b 4 4"]:
    """S0 at 0, S1 at 1, with constant velocity in the group: scales are interpolated in their logarithm."""
    return S0 @ sim3_exp(share[..., None] * sim3_log(sim3_inverse(S0) @ S1))


def _generator(w: Tensor, log_scale: Tensor) -> Tensor:
    """The 3x3 block of the Lie algebra: hat(w) + log_scale I."""
    return hat(w) + log_scale[..., None, None] * torch.eye(3).to(w)


def _small_adjoint(xi: Tensor) -> Tensor:
    """ad with ad(x) y = [x, y]: the derivative of the adjoint at the identity."""
    v, W, o = xi[..., :3], hat(xi[..., 3:6]), torch.zeros_like(xi[..., :1])
    top = torch.cat([_generator(xi[..., 3:6], xi[..., 6]), hat(v), -v[..., None]], -1)
    middle = torch.cat([torch.zeros_like(W), W, torch.zeros_like(v)[..., None]], -1)
    return torch.cat([top, middle, o[..., None].expand(*xi.shape[:-1], 1, 7)], -2)


def _mean_exponential(A: Tensor) -> Tensor:
    """The integral of exp(u A) over u in [0, 1] = sum A^k / (k + 1)!: the upper right block of exp([A, I; 0, 0])."""
    n = A.shape[-1]
    eye = torch.eye(n).to(A).expand_as(A)
    block = torch.cat([torch.cat([A, eye], -1), torch.zeros_like(A).repeat(*(1,) * (A.ndim - 1), 2)], -2)
    return torch.linalg.matrix_exp(block)[..., :n, n:]
