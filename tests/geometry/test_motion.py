import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from epipole.geometry.motion import (
    angle,
    angle_series,
    euler_to_rotation,
    hat,
    pose_vector_to_motion,
    quaternion_to_rotation,
    rotation_to_euler,
    rotation_to_quaternion,
    se3,
    se3_adjoint,
    se3_exp,
    se3_interpolate,
    se3_inverse,
    se3_left_jacobian,
    se3_left_jacobian_inverse,
    se3_log,
    so3_exp,
    so3_interpolate,
    so3_left_jacobian,
    so3_left_jacobian_inverse,
    so3_log,
)
from tests.geometry.series import matrix_series

ANGLES = [0.0, 1e-8, 1e-4, 0.0999, 0.1, 0.1001, 1.0, 2.5, math.pi - 1e-6, math.pi]
INNER = ANGLES[:-2]  # angles at which every map is smooth
AXES = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, -1], [1, 2, 3], [-1, 1e-3, 0.5], [1, 1, 1]], dtype=torch.float64)
AXES = AXES / AXES.norm(dim=1, keepdim=True)
TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-13}

every_angle = pytest.mark.parametrize("theta", ANGLES)
inner_angle = pytest.mark.parametrize("theta", INNER)
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def oracle(w: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(Rotation.from_rotvec(w.double().numpy()).as_matrix())


def same_rotation_vector(a: torch.Tensor, b: torch.Tensor, atol: float) -> bool:
    """At pi the two signs of a rotation vector are the same rotation."""
    apart = torch.minimum((a - b).norm(dim=-1), (a + b).norm(dim=-1) + (math.pi - b.norm(dim=-1)).abs())
    return bool((apart <= atol).all())


@every_angle
@both_types
def test_exp_is_the_rotation(theta, dtype):
    w = (theta * AXES).to(dtype)
    R = so3_exp(w)
    assert R.dtype == dtype
    assert torch.allclose(R.double(), oracle(w), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("theta", [4.0, 2 * math.pi, 30.0])
def test_exp_beyond_pi(theta):
    assert torch.allclose(so3_exp(theta * AXES), oracle(theta * AXES), rtol=0, atol=1e-12)


@every_angle
@both_types
def test_log_undoes_exp(theta, dtype):
    w = theta * AXES
    back = so3_log(oracle(w).to(dtype)).double()
    assert same_rotation_vector(back, w, {torch.float32: 1e-5, torch.float64: 1e-9}[dtype])


@both_types
def test_log_of_a_small_rotation_has_full_relative_precision(dtype):
    w = (1e-5 * AXES).to(dtype)
    assert torch.allclose(so3_log(so3_exp(w)), w, rtol=1e-4, atol=0)


@inner_angle
def test_exp_gradient(theta):
    w = (theta * AXES).requires_grad_()
    assert gradcheck(so3_exp, w)


@inner_angle
def test_log_gradient(theta):
    w = (theta * AXES).requires_grad_()
    assert gradcheck(lambda w: so3_log(so3_exp(w)), w)


@inner_angle
def test_gradient_of_log_after_exp_is_the_identity(theta):
    w = (theta * AXES).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(lambda w: so3_log(so3_exp(w)).sum(0), w)  # 3 x 6 x 3
    assert torch.allclose(jacobian, torch.eye(3, dtype=torch.float64)[:, None].expand(3, 6, 3), atol=1e-7)


@every_angle
@both_types
@pytest.mark.parametrize("f", [so3_exp, lambda w: so3_log(so3_exp(w)), lambda w: angle(so3_exp(w)),
                               lambda w: rotation_to_quaternion(so3_exp(w)),
                               lambda w: se3_log(se3_exp(torch.cat([w + 1, w], -1)))],
                         ids=["exp", "log", "angle", "quaternion", "se3"])
def test_gradients_are_finite_everywhere(theta, dtype, f):
    w = (theta * AXES).to(dtype).requires_grad_()
    f(w).sum().backward()
    assert w.grad.isfinite().all()


@every_angle
@both_types
def test_angle(theta, dtype):
    measured = angle(oracle(theta * AXES).to(dtype)).double()
    assert torch.allclose(measured, torch.tensor(theta).double(), rtol=1e-6, atol={torch.float32: 1e-6,
                                                                                     torch.float64: 1e-9}[dtype])


@pytest.mark.parametrize("theta", [1e-4, 0.1, 1.0, 2.5])
def test_angle_gradient(theta):
    R = oracle(theta * AXES).requires_grad_()
    assert gradcheck(angle, R)
    w = (theta * AXES).requires_grad_()
    angle(so3_exp(w)).sum().backward()
    assert torch.allclose(w.grad, AXES, atol=1e-6)  # the angle grows along the axis, at rate one


@every_angle
@both_types
def test_quaternion_agrees_with_scipy(theta, dtype):
    R = oracle(theta * AXES)
    q = rotation_to_quaternion(R.to(dtype)).double()
    expected = torch.from_numpy(Rotation.from_matrix(R.numpy()).as_quat())
    apart = torch.minimum((q - expected).norm(dim=1), (q + expected).norm(dim=1))
    assert apart.max() < 1e-6
    assert (q[:, 3] >= 0).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: sum(x * x for x in q) > 1e-4))
def test_quaternion_round_trip(q):
    given_q = torch.tensor(q, dtype=torch.float64)
    R = quaternion_to_rotation(given_q)
    assert torch.allclose(R, torch.from_numpy(Rotation.from_quat(q).as_matrix()), atol=1e-12)
    back = rotation_to_quaternion(R)
    unit = given_q / given_q.norm()
    assert min((back - unit).norm(), (back + unit).norm()) < 1e-7


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quaternion_of_half_turns(axis):
    R = torch.diag(torch.tensor([1.0 if i == axis else -1.0 for i in range(3)]))
    q = rotation_to_quaternion(R)
    assert q.abs().tolist() == [1.0 if i == axis else 0.0 for i in range(4)]


def test_hat_is_the_cross_product():
    a, b = torch.randn(5, 3), torch.randn(5, 3)
    assert torch.allclose((hat(a) @ b[..., None])[..., 0], torch.cross(a, b, dim=-1), atol=1e-6)


@every_angle
def test_se3_exp_is_the_matrix_exponential(theta):
    v = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64).expand(6, 3)
    xi = torch.cat([v, theta * AXES], -1)
    generator = torch.zeros(6, 4, 4, dtype=torch.float64)
    generator[:, :3, :3], generator[:, :3, 3] = hat(theta * AXES), v
    assert torch.allclose(se3_exp(xi), torch.linalg.matrix_exp(generator), atol=1e-12)


@pytest.mark.parametrize("theta", ANGLES[:-1])
@both_types
def test_se3_log_undoes_exp(theta, dtype):
    xi = torch.cat([AXES.flip(0), theta * AXES], -1).to(dtype)
    near_pi = theta > 3  # where the axis hangs on the last digits
    atol = {torch.float32: 1e-2 if near_pi else 1e-5, torch.float64: 1e-6 if near_pi else 1e-9}[dtype]
    assert torch.allclose(se3_log(se3_exp(xi)), xi, atol=atol)


@inner_angle
def test_se3_gradients(theta):
    xi = torch.cat([AXES.flip(0), theta * AXES], -1).requires_grad_()
    assert gradcheck(se3_exp, xi)
    assert gradcheck(lambda x: se3_log(se3_exp(x)), xi)


def test_se3_inverse():
    T = se3_exp(torch.randn(7, 6, dtype=torch.float64))
    assert torch.allclose(se3_inverse(T) @ T, torch.eye(4, dtype=torch.float64).expand(7, 4, 4), atol=1e-12)
    assert torch.allclose(se3_inverse(T), torch.linalg.inv(T), atol=1e-12)


def test_se3_moves_a_point():
    R, t, x = so3_exp(torch.tensor([0.0, 0, math.pi / 2])), torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 0, 0, 1])
    assert torch.allclose(se3(R, t) @ x, torch.tensor([1.0, 3, 3, 1]), atol=1e-6)


def test_pose_vector_is_the_product_of_three_rotations_about_axes():
    vector = torch.tensor([1.0, 2.0, 3.0, 0.3, -0.7, 1.1], dtype=torch.float64)
    T = pose_vector_to_motion(vector)
    expected = Rotation.from_euler("XYZ", [0.3, -0.7, 1.1]).as_matrix()  # intrinsic: Rx Ry Rz
    assert torch.allclose(T[:3, :3], torch.from_numpy(expected))
    assert T[:3, 3].tolist() == [1, 2, 3]


LOOSE = {torch.float32: 3e-5, torch.float64: 1e-9}  # of gradients, which lose digits to differences of near equals
IDENTITY3 = torch.eye(3, dtype=torch.float64)


def se3_ad(xi: torch.Tensor) -> torch.Tensor:
    V, W = hat(xi[..., :3]), hat(xi[..., 3:])
    return torch.cat([torch.cat([W, V], -1), torch.cat([torch.zeros_like(W), W], -1)], -2)


def twists(theta: float) -> torch.Tensor:
    return torch.cat([AXES.flip(0) + 0.3, theta * AXES], -1)


def row_jacobian(f, x: torch.Tensor) -> torch.Tensor:
    """df_i / dx_i of a function of rows: n, outputs, inputs."""
    return torch.stack([torch.autograd.functional.jacobian(f, row) for row in x])


@pytest.mark.parametrize("t", [0.0, 1e-8, 1e-3, 0.5, 1 - 1e-9, 1.0, 2.0, 3.1, 6.28])
def test_series_of_the_angle(t):
    values = angle_series(torch.tensor([t * t], dtype=torch.float64), range(6))
    for n, value in enumerate(values):
        term, total = 1 / np.longdouble(math.factorial(n)), np.longdouble(0)
        for i in range(40):
            total, term = total + term, -term * np.longdouble(t) ** 2 / ((2 * i + n + 1) * (2 * i + n + 2))
        assert float(value) == pytest.approx(float(total), rel=1e-13, abs=1e-15)


@every_angle
@both_types
def test_exp_agrees_with_the_power_series(theta, dtype):
    w = (theta * AXES).to(dtype)
    assert torch.allclose(so3_exp(w).double(), matrix_series(hat(w), 0), rtol=0, atol=TOLERANCE[dtype] / 10)


@every_angle
@both_types
def test_so3_left_jacobian_agrees_with_the_power_series(theta, dtype):
    w = (theta * AXES).to(dtype)
    expected = matrix_series(hat(w), 1)
    assert torch.allclose(so3_left_jacobian(w).double(), expected, rtol=0, atol=TOLERANCE[dtype] / 5)
    inverse = so3_left_jacobian_inverse(w).double()
    assert torch.allclose(inverse, torch.linalg.inv(expected), rtol=0, atol=TOLERANCE[dtype])


@every_angle
@both_types
def test_se3_left_jacobian_agrees_with_the_power_series(theta, dtype):
    xi = twists(theta).to(dtype)
    expected = matrix_series(se3_ad(xi), 1)
    assert torch.allclose(se3_left_jacobian(xi).double(), expected, rtol=0, atol=TOLERANCE[dtype])
    inverse = se3_left_jacobian_inverse(xi).double()
    assert torch.allclose(inverse, torch.linalg.inv(expected), rtol=0, atol=5 * TOLERANCE[dtype])


@every_angle
@both_types
def test_gradient_of_exp_is_the_left_jacobian(theta, dtype):
    """dR R^T = hat(J dw), also at 0 and at pi."""
    w = (theta * AXES).to(dtype)
    dR = row_jacobian(so3_exp, w)
    for k in range(3):
        spin = dR[..., k] @ so3_exp(w).mT
        expected = hat(matrix_series(hat(w), 1)[..., k])
        assert torch.allclose(spin.double(), expected, rtol=0, atol=LOOSE[dtype] / 10)


@every_angle
@both_types
def test_gradient_of_log_is_the_inverse_left_jacobian(theta, dtype):
    """d log(exp(d) R) = J^-1(log R) dd, also at 0 and, for the half turn that log chose, at pi."""
    R = so3_exp((theta * AXES).to(dtype))
    measured = torch.stack([torch.autograd.functional.jacobian(lambda d, r=r: so3_log(so3_exp(d) @ r),
                                                               torch.zeros(3, dtype=dtype)) for r in R])
    expected = torch.linalg.inv(matrix_series(hat(so3_log(R)), 1))
    assert torch.allclose(measured.double(), expected, rtol=0, atol=LOOSE[dtype])


@pytest.mark.parametrize("theta", ANGLES[:-1])
@both_types
def test_gradient_of_se3_log_after_exp_is_the_identity(theta, dtype):
    """In float32 at pi - 1e-6 the sine has one digit left, and the half turn may come out with the other sign."""
    if dtype == torch.float32 and theta > 3:
        theta -= 1e-3
    measured = row_jacobian(lambda x: se3_log(se3_exp(x)), twists(theta).to(dtype)).double()
    assert torch.allclose(measured, torch.eye(6, dtype=torch.float64).expand(6, 6, 6), rtol=0, atol=100 * LOOSE[dtype])


@inner_angle
def test_jacobian_gradients(theta):
    xi = twists(theta)[3:5].requires_grad_()
    assert gradcheck(se3_left_jacobian, xi)
    assert gradcheck(se3_left_jacobian_inverse, xi)


def test_adjoint_carries_a_twist_to_the_other_frame(generator):
    T = se3_exp(torch.randn(5, 6, generator=generator, dtype=torch.float64))
    xi = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    moved = se3_exp((se3_adjoint(T) @ xi[..., None])[..., 0])
    assert torch.allclose(T @ se3_exp(xi) @ se3_inverse(T), moved, atol=1e-12)


@every_angle
def test_interpolation_turns_at_constant_speed(theta):
    R0 = so3_exp(AXES.roll(1, 0))
    R1 = R0 @ so3_exp(theta * AXES)
    for share in (0.0, 0.3, 1.0):
        R = so3_interpolate(R0, R1, torch.full((6,), share, dtype=torch.float64))
        assert torch.allclose(angle(R0.mT @ R), torch.tensor(share * theta).double(), atol=1e-9)
        assert torch.allclose(angle(R.mT @ R1), torch.tensor((1 - share) * theta).double(), atol=1e-9)


@every_angle
@both_types
def test_interpolation_has_finite_gradients(theta, dtype):
    T0, T1 = se3_exp(twists(1.0)).to(dtype).requires_grad_(), se3_exp(twists(theta)).to(dtype)
    T1 = (T0.detach() @ T1).requires_grad_()
    share = torch.full((6,), 0.4, dtype=dtype, requires_grad=True)
    se3_interpolate(T0, T1, share).sum().backward()
    assert all(x.grad.isfinite().all() for x in (T0, T1, share))


def test_interpolation_follows_the_screw():
    T0, xi = se3_exp(twists(1.0)), twists(2.0)
    T1 = T0 @ se3_exp(xi)
    share = torch.linspace(0, 1, 6, dtype=torch.float64)
    assert torch.allclose(se3_interpolate(T0, T1, share), T0 @ se3_exp(share[:, None] * xi), atol=1e-12)
    assert torch.allclose(se3_interpolate(T0, T1, torch.ones(6).double()), T1, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-math.pi + 1e-3, math.pi - 1e-3), min_size=3, max_size=3))
def test_euler_angles_come_back(angles):
    angles[1] /= 2
    vector = torch.tensor(angles, dtype=torch.float64)
    R = euler_to_rotation(vector)
    assert torch.allclose(R, torch.from_numpy(Rotation.from_euler("XYZ", angles).as_matrix()), atol=1e-14)
    assert torch.allclose(rotation_to_euler(R), vector, atol=1e-9)


@both_types
@pytest.mark.parametrize("ry", [math.pi / 2, -math.pi / 2])
def test_euler_angles_in_gimbal_lock(dtype, ry):
    R = torch.from_numpy(Rotation.from_euler("XYZ", [0.4, ry, 0.7]).as_matrix()).to(dtype).requires_grad_()
    angles = rotation_to_euler(R)
    assert angles[2] == 0
    assert torch.allclose(euler_to_rotation(angles), R, atol=TOLERANCE[dtype])
    angles.sum().backward()
    assert R.grad.isfinite().all()


def test_euler_gradient(generator):
    angles = (torch.rand(5, 3, generator=generator, dtype=torch.float64) - 0.5).requires_grad_()
    measured = row_jacobian(lambda a: rotation_to_euler(euler_to_rotation(a)), angles)
    assert torch.allclose(measured, IDENTITY3.expand(5, 3, 3), atol=1e-12)


@both_types
def test_a_quaternion_of_length_zero_is_the_identity(dtype):
    q = torch.zeros(2, 4, dtype=dtype, requires_grad=True)
    R = quaternion_to_rotation(q)
    assert torch.equal(R, torch.eye(3, dtype=dtype).expand(2, 3, 3))
    R.sum().backward()
    assert q.grad.isfinite().all()
