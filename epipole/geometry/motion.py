"""Rigid motion: SO(3) and SE(3), with values and gradients that hold at angle 0 and near pi.

A twist is (translation part, rotation vector); T_a_b maps points of frame b into frame a. The adjoint of a rotation
is the rotation itself. Formulas of Barfoot 2017, "State Estimation for Robotics", section 7.1.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def hat(w: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """The matrix W with W x = w cross x."""
    x, y, z = w.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))


def angle_series(square: Float[Tensor, "*b"], orders: Sequence[int]) -> list[Float[Tensor, "*b"]]:
    """sum_i (-t^2)^i / (2 i + n)! of t^2, for every n of `orders` (0 to 5).

    n = 0: cos t; 1: sin t / t; 2: (1 - cos t) / t^2; 3: (t - sin t) / t^3; 4: (t^2/2 - 1 + cos t) / t^4; 5: likewise.
    All are analytic in t^2; the sum is taken below t = 1, where the closed forms lose digits.
    """
    small = square < 1
    q = torch.where(small, square, torch.zeros_like(square))
    s = torch.where(small, torch.ones_like(square), square)
    closed = _closed_forms(s, max(orders))
    return [torch.where(small, _power_series(q, n), closed[n]) for n in orders]


def _power_series(q: Tensor, n: int) -> Tensor:
    """Horner's rule; the first term left out is below 1e-18 for q < 1."""
    total = torch.ones_like(q)
    for i in range(9, 0, -1):
        total = 1 - q * total / ((2 * i + n) * (2 * i + n - 1))
    return total / math.factorial(n)


def _closed_forms(square: Tensor, highest: int) -> list[Tensor]:
    """Each from the one two before: f_n = (1 / (n - 2)! - f_(n-2)) / t^2."""
    t = square.sqrt()
    forms = [t.cos(), t.sin() / t, 2 * (t / 2).sin() ** 2 / square]  # 1 - cos t without cancellation near 2 pi
    for n in range(3, highest + 1):
        forms.append((1 / math.factorial(n - 2) - forms[n - 2]) / square)
    return forms


def _square(w: Tensor) -> Tensor:
    """Squared angle, in the shape that multiplies a matrix."""
    return (w * w).sum(-1)[..., None, None]


def so3_exp(w: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Rodrigues' formula: rotation vector (radians) to matrix."""
    a, b = angle_series(_square(w), (1, 2))
    W = hat(w)
    return torch.eye(3).to(w) + a * W + b * (W @ W)


def so3_left_jacobian(w: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """J with exp(w + d) = exp(J d) exp(w) to first order (Barfoot eq. 7.77b); the right Jacobian is that of -w."""
    b, c = angle_series(_square(w), (2, 3))
    W = hat(w)
    return torch.eye(3).to(w) + b * W + c * (W @ W)


def so3_left_jacobian_inverse(w: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """J^-1 with log(exp(d) exp(w)) = w + J^-1 d to first order (Barfoot eq. 7.76b); exists below angle 2 pi.

    The factor of W^2, 1/t^2 - (1 + cos t) / (2 t sin t), is written without a division by sin t: it is smooth at pi.
    """
    b, c, d = angle_series(_square(w), (2, 3, 4))
    W = hat(w)
    return torch.eye(3).to(w) - W / 2 + (c - 2 * d) / (2 * b) * (W @ W)


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
    """Rotation matrix of the quaternion (x, y, z, w); it need not be of unit length. Length 0 gives the identity."""
    length = q.norm(dim=-1, keepdim=True)
    x, y, z, w = (q / torch.where(length > 0, length, torch.ones_like(length))).unbind(-1)
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
    return se3(so3_exp(w), (so3_left_jacobian(w) @ v[..., None])[..., 0])


def se3_log(T: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 6"]:
    """Rigid motion to twist (v, w); inverse of se3_exp for angles below pi."""
    w = so3_log(T[..., :3, :3])
    return torch.cat([(so3_left_jacobian_inverse(w) @ T[..., :3, 3:])[..., 0], w], -1)


def se3_inverse(T: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """T_b_a of T_a_b."""
    Rt = T[..., :3, :3].mT
    return se3(Rt, -(Rt @ T[..., :3, 3:])[..., 0])


def se3_adjoint(T: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 6 6"]:
    """Ad with T exp(xi) T^-1 = exp(Ad xi)."""
    R, t = T[..., :3, :3], T[..., :3, 3]
    top = torch.cat([R, hat(t) @ R], -1)
    return torch.cat([top, torch.cat([torch.zeros_like(R), R], -1)], -2)


def _se3_coupling(xi: Tensor) -> Tensor:
    """Q: how the translation part turns with the rotation (Barfoot eq. 7.86b)."""
    V, W = hat(xi[..., :3]), hat(xi[..., 3:])
    c, d, e = angle_series(_square(xi[..., 3:]), (3, 4, 5))
    WV, VW = W @ V, V @ W
    WVW = WV @ W
    return V / 2 + c * (WV + VW + WVW) + d * (W @ WV + VW @ W - 3 * WVW) + (d - 3 * e) / 2 * (WVW @ W + W @ WVW)


def se3_left_jacobian(xi: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 6 6"]:
    """J with exp(xi + d) = exp(J d) exp(xi) to first order (Barfoot eq. 7.85); the right Jacobian is that of -xi."""
    J = so3_left_jacobian(xi[..., 3:])
    top = torch.cat([J, _se3_coupling(xi)], -1)
    return torch.cat([top, torch.cat([torch.zeros_like(J), J], -1)], -2)


def se3_left_jacobian_inverse(xi: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 6 6"]:
    """J^-1 with log(exp(d) exp(xi)) = xi + J^-1 d to first order (Barfoot eq. 7.95); exists below angle 2 pi."""
    J = so3_left_jacobian_inverse(xi[..., 3:])
    top = torch.cat([J, -J @ _se3_coupling(xi) @ J], -1)
    return torch.cat([top, torch.cat([torch.zeros_like(J), J], -1)], -2)


def so3_interpolate(
    R0: Float[Tensor, "*b 3 3"], R1: Float[Tensor, "*b 3 3"], share: Float[Tensor, "*b"]
) -> Float[Tensor, "*b 3 3"]:
    """R0 at 0, R1 at 1, at constant angular speed the short way round (Shoemake's slerp, 1985)."""
    return R0 @ so3_exp(share[..., None] * so3_log(R0.mT @ R1))


def se3_interpolate(
    T0: Float[Tensor, "*b 4 4"], T1: Float[Tensor, "*b 4 4"], share: Float[Tensor, "*b"]
) -> Float[Tensor, "*b 4 4"]:
    """T0 at 0, T1 at 1, along the screw motion between them."""
    return T0 @ se3_exp(share[..., None] * se3_log(se3_inverse(T0) @ T1))


def angle(R: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b"]:
    """Angle of a rotation in radians, exact for small ones: atan2 of sine and cosine parts."""
    skew = torch.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1)
    trace = torch.diagonal(R, dim1=-2, dim2=-1).sum(-1)
    return torch.atan2(skew.norm(dim=-1), trace - 1)


def euler_to_rotation(angles: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """R = Rx(rx) Ry(ry) Rz(rz) of (rx, ry, rz), radians: the order of SfMLearner (Zhou 2017)."""
    Rx, Ry, Rz = so3_exp(torch.diag_embed(angles)).unbind(-3)
    return Rx @ Ry @ Rz


def rotation_to_euler(R: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """(rx, ry, rz) with ry in [-pi/2, pi/2]; inverse of euler_to_rotation.

    At ry = +-pi/2, where only a sum of the other two is determined (gimbal lock), rz is 0.
    """
    square = R[..., 0, 0] ** 2 + R[..., 0, 1] ** 2
    locked = square < (16 * torch.finfo(R.dtype).eps) ** 2
    one, zero = torch.ones_like(square), torch.zeros_like(square)
    ry = torch.atan2(R[..., 0, 2], torch.where(locked, zero, torch.where(locked, one, square).sqrt()))
    rz = torch.atan2(torch.where(locked, zero, -R[..., 0, 1]), torch.where(locked, one, R[..., 0, 0]))
    rx = torch.atan2(torch.where(locked, R[..., 2, 1], -R[..., 1, 2]), torch.where(locked, R[..., 1, 1], R[..., 2, 2]))
    return torch.stack([rx, ry, rz], -1)


def pose_vector_to_motion(vector: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 4 4"]:
    """Zhou's pose vector (tx, ty, tz, rx, ry, rz) to the rigid motion with R = Rx(rx) Ry(ry) Rz(rz), radians."""
    return se3(euler_to_rotation(vector[..., 3:]), vector[..., :3])


def move(T: Float[Tensor, "*b 4 4"], points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
    """Points of frame b in frame a, for T = T_a_b; one point a row."""
    return points @ T[..., :3, :3].mT + T[..., None, :3, 3]
