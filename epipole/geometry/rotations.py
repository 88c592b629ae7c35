"""Rotations that a network regresses as six numbers, and averages of many rotations.

Averages are over the last axis before the matrix; weights are >= 0, and where all are 0 the average is the identity.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from .align import nearest_rotation
from .motion import so3_exp, so3_left_jacobian_inverse, so3_log

SWEEPS = 100      # of the averages, at most
CORNER = 1e-3     # radians below which the geodesic median takes a distance for squared: what a rotation may be off by
Pull = Callable[[Tensor], tuple[Tensor, Tensor]]  # weight of a squared angle, and its derivative


def rotation_to_six(R: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 6"]:
    """The first two columns of R: a representation without jumps (Zhou et al. 2019, eq. 16)."""
    return torch.cat([R[..., 0], R[..., 1]], -1)


def six_to_rotation(six: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 3 3"]:
    """Gram-Schmidt on the two columns, the third by the cross product (Zhou et al. 2019, eq. 15).

    A first column of length 0 counts as the x axis; a second one along the first as the axis farthest from it.
    """
    x_axis, zero = torch.tensor([1.0, 0, 0]).to(six).expand_as(six[..., :3]), torch.zeros_like(six[..., 0])
    first = _unit(six[..., :3], zero, x_axis)
    farthest = one_hot(first.detach().abs().argmin(-1), 3).to(six)
    rounding = 8 * torch.finfo(six.dtype).eps * six[..., 3:].detach().norm(dim=-1)
    across = _unit(_without(farthest, first), zero, x_axis)
    second = _unit(_without(six[..., 3:], first), rounding, across)
    second = _unit(_without(second, first), zero, across)  # once more: nearly parallel columns lose digits
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def _without(v: Tensor, axis: Tensor) -> Tensor:
    """What is left of v across a unit vector."""
    return v - (axis * v).sum(-1, keepdim=True) * axis


def _unit(v: Tensor, shortest: Tensor, otherwise: Tensor) -> Tensor:
    """v / |v|, or another unit vector where |v| is not above `shortest`."""
    square = (v * v).sum(-1, keepdim=True)
    long = square > shortest[..., None] ** 2
    return torch.where(long, v / torch.where(long, square, torch.ones_like(square)).sqrt(), otherwise)


def chordal_mean(R: Float[Tensor, "*b n 3 3"], weight: Float[Tensor, "*b n"]) -> Float[Tensor, "*b 3 3"]:
    """The rotation that minimises sum w |R - R_i|_F^2: nearest to their mean (Hartley et al. 2013, sec. 5.3)."""
    return nearest_rotation((weight[..., None, None] * R).sum(-3))


def geodesic_mean(R: Float[Tensor, "*b n 3 3"], weight: Float[Tensor, "*b n"]) -> Float[Tensor, "*b 3 3"]:
    """The rotation that minimises sum w angle(R, R_i)^2 (Karcher mean), found from the chordal mean.

    It is the only minimum where all R_i lie within pi/2 of one rotation (Hartley et al. 2013, sec. 5.4).
    """
    return _geodesic_average(R, weight, lambda square: (torch.ones_like(square), torch.zeros_like(square)))


def geodesic_median(R: Float[Tensor, "*b n 3 3"], weight: Float[Tensor, "*b n"]) -> Float[Tensor, "*b 3 3"]:
    """The rotation that minimises sum w sqrt(angle(R, R_i)^2 + CORNER^2), by Weiszfeld's steps (Hartley et al. 2011).

    Wrong rotations, if fewer than half, move it little. The rounded corner of the distance gives it a gradient also
    where it falls on one of the R_i.
    """
    return _geodesic_average(R, weight, _median_pull)


def _median_pull(square: Tensor) -> tuple[Tensor, Tensor]:
    pull = (square + CORNER**2).rsqrt()
    return pull, -(pull**3) / 2


def _geodesic_average(R: Tensor, weight: Tensor, pull: Pull) -> Tensor:
    """Where sum w pull(|r|^2) r = 0 for r_i = log(mean^T R_i): iteratively reweighted means, then Newton steps, which
    make the answer exact; only the last has a gradient, and hands over the implicit one."""
    share = weight / weight.sum(-1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    with torch.no_grad():
        mean = chordal_mean(R, share)
        for _ in range(SWEEPS):
            r = so3_log(mean[..., None, :, :].mT @ R)
            w = share * pull((r * r).sum(-1))[0]
            step = (w[..., None] * r).sum(-2) / w.sum(-1, keepdim=True).clamp(min=torch.finfo(w.dtype).tiny)
            mean = mean @ so3_exp(step)
            if float(step.abs().max()) < 1e-2 * CORNER:
                break
        mean = six_to_rotation(rotation_to_six(mean))  # many products of float32 drift off the rotations
        mean = _newton(mean, R, share, pull)
    return _newton(mean, R, share, pull)


def _newton(mean: Tensor, R: Tensor, share: Tensor, pull: Pull) -> Tensor:
    """One step with a constant Hessian: sum w (pull I + 2 pull' r r^T) J^-1(r), symmetric at the solution."""
    r = so3_log(mean[..., None, :, :].mT @ R)
    force, change = pull((r * r).sum(-1))
    slope = ((share * force)[..., None] * r).sum(-2)
    with torch.no_grad():
        outer = 2 * change[..., None, None] * r[..., :, None] * r[..., None, :]
        terms = (force[..., None, None] * torch.eye(3).to(r) + outer) @ so3_left_jacobian_inverse(r)
        H = (share[..., None, None] * terms).sum(-3)
        H = H + torch.finfo(r.dtype).eps * torch.eye(3).to(r)  # opposite or unweighted rotations leave H open
    return mean @ so3_exp(torch.linalg.solve(H, slope[..., None])[..., 0])
