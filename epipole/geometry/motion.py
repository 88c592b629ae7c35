"""Rigid motion: SO(3) and SE(3), with values and gradients that hold at angle 0 and near pi.

A twist is (translation part, rotation vector); T_a_b maps points of frame b into frame a.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def hat(w: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """The matrix W with W x = w cross x."""
    x, y, z = w.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))


def _coefficients(square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sin(t)/t, (1 - cos t)/t^2, (t - sin t)/t^3 from t^2; series below t = 0.1, so gradients stay finite at 0."""
    small = square < 1e-2
    s = torch.where(small, torch.ones_like(square), square)
    t = s.sqrt()
    q = torch.where(small, square, torch.zeros_like(square))
    a = torch.where(small, 1 - q / 6 + q**2 / 120 - q**3 / 5040 + q**4 / 362880, t.sin() / t)
    b = torch.where(small, 0.5 - q / 24 + q**2 / 720 - q**3 / 40320 + q**4 / 3628800, (1 - t.cos()) / s)
    c = torch.where(small, 1 / 6 - q / 120 + q**2 / 5040 - q**3 / 362880 + q**4 / 39916800, (t - t.sin()) / (s * t))
    return a, b, c


def so3_exp(w: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Rodrigues' formula: rotation vector (radians) to matrix."""
    a, b, _ = _coefficients((w * w).sum(-1)[..., None, None])
    W = hat(w)
    return torch.eye(3).to(w) + a * W + b * (W @ W)


def rotation_to_quaternion(R: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """Unit quaternion (x, y, z, w) with w >= 0, by the largest of four forms (Shepperd 1978): stable at every angle."""
    m = R.flatten(-2).unbind(-1)
    xx, yy, zz = m[0], m[4], m[8]
    forms = torch.stack([  # each row is a multiple of (x, y, z, w)
        torch.stack([1 + xx - yy - zz, m[1] + m[3], m[2] + m[6], m[7] - m[5]], -1),
        torch.stack([m[1] + m[3], 1 - xx + yy - zz, m[5] + m[7], m[2] - m[6]], -1),
        torch.stack([m[2] + m[6], m[5] + m[7], 1 - xx - yy + zz, m[3] - m[1]], -1),
        torch.stack([m[7] - m[5], m[2] - m[6], m[3] - m[1], 1 + xx + yy + zz], -1),
    ], -2)
    best = torch.diagonal(forms, dim1=-2, dim2=-1).argmax(-1)
    q = forms.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    q = q / q.norm(dim=-1, keepdim=True)
    return torch.where(q[..., 3:] < 0, -q, q)


def quaternion_to_rotation(q: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrix of the quaternion (x, y, z, w); it need not be of unit length."""
    x, y, z, w = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    return torch.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ], -1).unflatten(-1, (3, 3))


def so3_log(R: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Rotation vector of R, by its quaternion: 2 atan2(|v|, w) v / |v|."""
    q = rotation_to_quaternion(R)
    v, w = q[..., :3], q[..., 3:]
    square = (v * v).sum(-1, keepdim=True)
    small = square < 1e-8
    n = torch.where(small, torch.ones_like(square), square).sqrt()
    near_one = w.clamp(min=0.5)
    series = 2 / near_one - 2 * square / (3 * near_one**3)
    scale = torch.where(small, series, 2 * torch.atan2(n, w) / n)
    return scale * v


def se3(R: Float[Tensor, "*b 3 3"], t: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 4 4"]:
    """The 4x4 matrix of x -> R x + t."""
    top = torch.cat([R, t[..., None]], -1)
    return torch.cat([top, torch.tensor([0.0, 0, 0, 1]).to(top).expand(*top.shape[:-2], 1, 4)], -2)


def se3_exp(xi: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 4 4"]:
    """Twist (v, w) to rigid motion."""
    v, w = xi[..., :3], xi[..., 3:]
    _, b, c = _coefficients((w * w).sum(-1)[..., None, None])
    W = hat(w)
    V = torch.eye(3).to(xi) + b * W + c * (W @ W)
    return se3(so3_exp(w), (V @ v[..., None])[..., 0])


def se3_log(T: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 6"]:
    """Rigid motion to twist (v, w); inverse of se3_exp for angles below pi."""
    w = so3_log(T[..., :3, :3])
    a, b, _ = _coefficients((w * w).sum(-1)[..., None, None])
    W = hat(w)
    square = (w * w).sum(-1)[..., None, None]
    small = square < 1e-2
    s = torch.where(small, torch.ones_like(square), square)
    k = torch.where(small, 1 / 12 + square / 720 + square**2 / 30240, (1 - a / (2 * b)) / s)
    inverse_V = torch.eye(3).to(T) - W / 2 + k * (W @ W)
    return torch.cat([(inverse_V @ T[..., :3, 3:])[..., 0], w], -1)


def se3_inverse(T: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """T_b_a of T_a_b."""
    Rt = T[..., :3, :3].mT
    return se3(Rt, -(Rt @ T[..., :3, 3:])[..., 0])


def angle(R: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b"]:
    """Angle of a rotation in radians, exact for small ones: atan2 of sine and cosine parts."""
    skew = torch.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1)
    trace = torch.diagonal(R, dim1=-2, dim2=-1).sum(-1)
    return torch.atan2(skew.norm(dim=-1), trace - 1)


def pose_vector_to_motion(vector: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 4 4"]:
    """Zhou's pose vector (tx, ty, tz, rx, ry, rz) to the rigid motion with R = Rx(rx) Ry(ry) Rz(rz), radians."""
    Rx, Ry, Rz = so3_exp(torch.diag_embed(vector[..., 3:])).unbind(-3)
    return se3(Rx @ Ry @ Rz, vector[..., :3])


def move(T: Float[Tensor, "*b 4 4"], points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
    """Points of frame b in frame a, for T = T_a_b; one point a row."""
    return points @ T[..., :3, :3].mT + T[..., None, :3, 3]
