"""Closed-form alignment of two point sets with known correspondence: weighted Procrustes (Kabsch 1976) and
similarity (Umeyama 1991), with gradients that stay finite where the rotation is not determined."""

import torch
from jaxtyping import Float
from torch import Tensor

from .motion import hat, se3


def _moments(source: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weighted means, centred clouds' cross-covariance (eq. 38) and the source's variance; zero weight gives zeros."""
    total = weight.sum(-1, keepdim=True)
    share = (weight / torch.where(total > torch.finfo(weight.dtype).tiny, total, 1))[..., None]
    mean_source, mean_target = (share * source).sum(-2), (share * target).sum(-2)
    x, y = source - mean_source[..., None, :], target - mean_target[..., None, :]
    rounding = (8 * torch.finfo(x.dtype).eps) ** 2 * (mean_source.norm(dim=-1) * mean_target.norm(dim=-1)).detach()
    covariance = (share * y).mT @ x + rounding[..., None, None] * torch.eye(3).to(x)  # coincident points: no rotation
    return mean_source, mean_target, covariance, (share * x * x).sum((-2, -1))


def nearest_rotation(M: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3 3"]:
    """The rotation R that maximises tr(R^T M): U diag(1, 1, det U det V) V^T (Umeyama 1991, eq. 40, 43).

    Where M leaves R open (collinear or coincident points), the tie goes to the rotation nearest to the identity.
    The gradient is the implicit one of the optimality condition "R^T M is symmetric", (tr(S) I - S) w = vee(R^T dM -
    dM^T R) with S = R^T M and dR = R hat(w); unlike the derivative of the SVD it does not mind equal singular values,
    and directions that M leaves open are damped instead of dividing by zero; M = 0 gives the identity without gradient.
    """
    eps, tiny = torch.finfo(M.dtype).eps, torch.finfo(M.dtype).tiny
    with torch.no_grad():
        size = torch.linalg.matrix_norm(M)[..., None, None]
        some = size > tiny / eps
        size = torch.where(some, size, 1)
        U, s, Vt = torch.linalg.svd(M / size + 100 * eps * torch.eye(3).to(M))
        sign = torch.ones_like(s)
        sign[..., 2] = torch.linalg.det(U @ Vt).sign()
        R = (U * sign[..., None, :]) @ Vt
        m = s * sign
        stiffness = m.sum(-1, keepdim=True) - m  # eigenvalues of tr(S) I - S, in the basis V
        gain = stiffness / (stiffness**2 + eps)
        solve = torch.where(some, (Vt.mT * gain[..., None, :]) @ Vt / size, 0)
    skew = R.mT @ M - M.mT @ R
    w = (solve @ torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)[..., None])[..., 0]
    return R + R @ hat(w - w.detach())  # the value is R; only the gradient passes through w


def procrustes(
    source: Float[Tensor, "*b n 3"], target: Float[Tensor, "*b n 3"], weight: Float[Tensor, "*b n"]
) -> Float[Tensor, "*b 4 4"]:
    """The rigid T_target_source that minimises sum_k w_k |T source_k - target_k|^2 (w >= 0; never a reflection).

    All weights zero: the identity. Computed in float32 at least.
    """
    source, target, weight = (x.float() if x.dtype.itemsize < 4 else x for x in (source, target, weight))
    mean_source, mean_target, covariance, _ = _moments(source, target, weight)
    R = nearest_rotation(covariance)
    return se3(R, mean_target - (R @ mean_source[..., None])[..., 0])


def umeyama(
    source: Float[Tensor, "*b n 3"],
    target: Float[Tensor, "*b n 3"],
    with_scale: bool = True,
    weight: Float[Tensor, "*b n"] | None = None,
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b 3 3"], Float[Tensor, "*b 3"]]:
    """Scale c, rotation R and translation t that minimise sum_k w_k |c R source_k + t - target_k|^2 (Umeyama 1991),
    with w >= 0, 1 if not given.

    `with_scale=False` fixes c = 1; so do source points that all coincide, and weights that are all zero. A scale is
    never negative: 0 where no rotation brings the clouds closer than a point does.
    """
    weight = torch.ones_like(source[..., 0]) if weight is None else weight
    source, target, weight = (x.float() if x.dtype.itemsize < 4 else x for x in (source, target, weight))
    mean_source, mean_target, covariance, variance = _moments(source, target, weight)
    R = nearest_rotation(covariance)  # eq. 40
    scale = torch.ones_like(variance)
    if with_scale:
        rounding = (8 * torch.finfo(variance.dtype).eps) ** 2 * mean_source.square().sum(-1)
        spread = variance > rounding + torch.finfo(variance.dtype).tiny
        along = (R * covariance).sum((-2, -1))  # tr(D S)
        scale = torch.where(spread, along / torch.where(spread, variance, scale), scale).clamp(min=0)  # eq. 42
    return scale, R, mean_target - scale[..., None] * (R @ mean_source[..., None])[..., 0]  # eq. 41
