import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from epipole.geometry.motion import (
    angle,
    hat,
    pose_vector_to_motion,
    quaternion_to_rotation,
    rotation_to_quaternion,
    se3,
    se3_exp,
    se3_inverse,
    se3_log,
    so3_exp,
    so3_log,
)

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
