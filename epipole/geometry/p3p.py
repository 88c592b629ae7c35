"""Pose from three points: the perspective three-point problem, batched."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .homogeneous import inverse_length
from .motion import se3
from .pencil import cofactor, singular_members

PAIRS = ((0, 1), (0, 2), (1, 2))
EXACT = 1e-7      # of the squared distances: worse than this after refinement is no solution


def p3p(
    points: Float[Tensor, "*b 3 3"], rays: Float[Tensor, "*b 3 3"]
) -> tuple[Float[Tensor, "*b 4 4 4"], Bool[Tensor, "*b 4"]]:
    """Up to four T_camera_world that put three world points on three rays of the camera (any length), in front of it,
    and which of the four are solutions. One row is a point, a ray.

    The lengths L along the unit rays satisfy L^T M_ij L = |X_i - X_j|^2. Two combinations of these are conics through
    the solutions; their pencil has a singular member, a pair of planes, which meets the pencil in at most four lines
    (Persson & Nordberg 2018, "Lambda Twist"). Collinear points have no solution. Computed in float64, without gradient:
    `refine_pose` has one.
    """
    with torch.no_grad():
        X, y = points.double(), rays.double()
        y = y * inverse_length(y)[..., None]
        squared = torch.stack([(X[..., i, :] - X[..., j, :]).square().sum(-1) for i, j in PAIRS], -1)
        total = squared.sum(-1, keepdim=True)
        unit = torch.where(total > 0, total, torch.ones_like(total))
        forms = _distance_forms(y)
        lengths, solved = _refine(*_lines(forms, squared / unit), forms, squared / unit)
        camera = (lengths * unit[..., None].sqrt())[..., None] * y[..., None, :, :]
        T, spread = _frames(X[..., None, :, :].expand_as(camera), camera)
        return T.to(points.dtype), solved & spread


def _distance_forms(y: Tensor) -> Tensor:
    """The symmetric M_ij with L^T M_ij L = |L_i y_i - L_j y_j|^2, one of each pair [*b 3 3 3]."""
    forms = torch.zeros(*y.shape[:-2], 3, 3, 3).to(y)
    for k, (i, j) in enumerate(PAIRS):
        cosine = (y[..., i, :] * y[..., j, :]).sum(-1)
        forms[..., k, i, i] = forms[..., k, j, j] = 1
        forms[..., k, i, j] = forms[..., k, j, i] = -cosine
    return forms


def _lines(forms: Tensor, squared: Tensor) -> tuple[Tensor, Tensor]:
    """Directions of L [*b 4 3], and which are real: where the two planes of a singular conic meet another conic."""
    last = squared[..., 2, None, None]
    A = forms[..., 0, :, :] * last - forms[..., 2, :, :] * squared[..., 0, None, None]
    B = forms[..., 1, :, :] * last - forms[..., 2, :, :] * squared[..., 1, None, None]
    A, B = (M * inverse_length(M.flatten(-2))[..., None, None] for M in (A, B))
    ab = singular_members(A, B)[0][..., 0, :, None, None]
    singular, other = ab[..., 0, :, :] * A + ab[..., 1, :, :] * B, ab[..., 0, :, :] * B - ab[..., 1, :, :] * A
    values, V = torch.linalg.eigh(singular)
    low, axis, high = V.unbind(-1)
    minus, plus = (-values[..., :1]).clamp(min=0).sqrt(), values[..., 2:].clamp(min=0).sqrt()
    across = torch.stack([low * plus + high * minus, low * plus - high * minus], -2)  # within each plane, off the axis
    across, axis = across * inverse_length(across)[..., None], axis[..., None, :]
    C = other[..., None, :, :]
    aa, ac, cc = (torch.einsum("...i,...ij,...j->...", u, C.expand(*u.shape[:-1], 3, 3), v)
                  for u, v in ((axis.expand_as(across), axis.expand_as(across)), (axis.expand_as(across), across),
                               (across, across)))
    inside = ac**2 - aa * cc  # s axis + t across with aa s^2 + 2 ac s t + cc t^2 = 0
    z = -(ac + torch.where(ac < 0, -1.0, 1.0).to(ac) * inside.clamp(min=0).sqrt())
    z, aa, cc = z[..., None], aa[..., None], cc[..., None]
    lines = torch.stack([z * axis + aa * across, cc * axis + z * across], -2).flatten(-3, -2)
    return lines, (inside > -1e-9).repeat_interleave(2, -1)


def _refine(lines: Tensor, real: Tensor, forms: Tensor, squared: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths along the rays from their direction, polished by Newton, and which are exact and in front."""
    forms, squared = forms[..., None, :, :, :], squared[..., None, :]
    value = torch.einsum("...i,...kij,...j->...k", lines, forms.expand(*lines.shape[:-1], 3, 3, 3), lines)
    size = value.sum(-1, keepdim=True)
    L = lines * torch.where(size > 0, size, torch.ones_like(size)).rsqrt()
    L = L * torch.where(L.sum(-1, keepdim=True) < 0, -1.0, 1.0).to(L)
    miss = _miss(L, forms, squared)
    for _ in range(3):
        J = 2 * (forms @ L[..., None, :, None])[..., 0]
        determinant = torch.linalg.det(J)[..., None]
        inverse = cofactor(J).mT / torch.where(determinant == 0, torch.ones_like(determinant), determinant)[..., None]
        step = L - (inverse @ miss[..., None])[..., 0]
        new = _miss(step, forms, squared)
        better = (new.abs().amax(-1, keepdim=True) < miss.abs().amax(-1, keepdim=True)) & (determinant != 0)
        L, miss = torch.where(better, step, L), torch.where(better, new, miss)
    return L, real & (miss.abs().amax(-1) < EXACT) & (L > 0).all(-1)


def _miss(L: Tensor, forms: Tensor, squared: Tensor) -> Tensor:
    return torch.einsum("...i,...kij,...j->...k", L, forms.expand(*L.shape[:-1], 3, 3, 3), L) - squared


def _frames(world: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
    """The rigid motion between two congruent triangles, by an orthonormal frame on each, and where there is one."""
    (A, spread), (B, also) = _frame(world), _frame(camera)
    R = B @ A.mT
    t = (camera - world @ R.mT).mean(-2)
    return se3(R, t), spread & also


def _frame(triangle: Tensor) -> tuple[Tensor, Tensor]:
    """Columns: along the first side, within the plane, its normal; identity where the corners are collinear."""
    a, b = triangle[..., 1, :] - triangle[..., 0, :], triangle[..., 2, :] - triangle[..., 0, :]
    normal = torch.linalg.cross(a, b)
    spread = normal.norm(dim=-1) > 1e-7 * (a.norm(dim=-1) * b.norm(dim=-1)).clamp(min=torch.finfo(a.dtype).tiny)
    x, z = a * inverse_length(a)[..., None], normal * inverse_length(normal)[..., None]
    frame = torch.stack([x, torch.linalg.cross(z, x), z], -1)
    return torch.where(spread[..., None, None], frame, torch.eye(3).to(a)), spread
