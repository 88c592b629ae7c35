import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from epipole.geometry.motion import angle, so3_exp, so3_log
from epipole.geometry.rotations import (
    CORNER,
    chordal_mean,
    geodesic_mean,
    geodesic_median,
    rotation_to_six,
    six_to_rotation,
)

both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
averages = pytest.mark.parametrize("average", [chordal_mean, geodesic_mean, geodesic_median])
EYE = torch.eye(3, dtype=torch.float64)


def is_rotation(R: torch.Tensor) -> bool:
    atol = 20 * torch.finfo(R.dtype).eps
    eye = torch.eye(3).to(R).expand_as(R)
    return torch.allclose(R @ R.mT, eye, rtol=0, atol=atol) and bool((torch.linalg.det(R) > 0).all())


def cloud(generator, n: int = 9, spread: float = 0.7) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations about a far one, and weights."""
    about = so3_exp(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    w = spread * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return about @ so3_exp(w), torch.rand(n, generator=generator, dtype=torch.float64) + 0.1


number = st.floats(-10, 10, allow_subnormal=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(number, min_size=6, max_size=6), st.sampled_from([torch.float32, torch.float64]))
def test_any_six_numbers_are_a_rotation(six, dtype):
    x = torch.tensor(six, dtype=dtype, requires_grad=True)
    R = six_to_rotation(x)
    assert is_rotation(R)
    R.sum().backward()
    assert x.grad.isfinite().all()


@both_types
@pytest.mark.parametrize("six", [[0.0] * 6, [1, 2, 3, 0, 0, 0], [0, 0, 0, 1, 2, 3], [1, 2, 3, 2, 4, 6],
                                 [1, 1, 1, -1, -1, -1.000001], [1e-12, 0, 0, 0, 1e-12, 0], [0.3, 0.1, 0.7, 3, 1, 7]])
def test_columns_that_leave_the_rotation_open(six, dtype):
    x = torch.tensor(six, dtype=dtype, requires_grad=True)
    R = six_to_rotation(x)
    assert is_rotation(R)
    R.square().sum().backward()
    assert x.grad.isfinite().all()


def test_six_numbers_come_back_at_any_length_and_shear(generator):
    R, _ = cloud(generator)
    six = rotation_to_six(R)
    assert torch.allclose(six_to_rotation(six), R, atol=1e-14)
    sheared = torch.cat([3 * six[:, :3], 0.5 * six[:, 3:] - 2 * six[:, :3]], -1)
    assert torch.allclose(six_to_rotation(sheared), R, atol=1e-13)


def test_six_numbers_agree_with_the_qr_decomposition(generator):
    six = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    Q, U = np.linalg.qr(six.view(20, 2, 3).mT.numpy())
    Q = Q * np.sign(np.diagonal(U, axis1=1, axis2=2))[:, None, :]
    assert torch.allclose(six_to_rotation(six)[..., :2], torch.from_numpy(Q), atol=1e-12)


def test_gradient_of_six_numbers(generator):
    assert gradcheck(six_to_rotation, torch.randn(4, 6, generator=generator, dtype=torch.float64).requires_grad_())


def test_chordal_mean_agrees_with_scipy(generator):
    R, weight = cloud(generator)
    expected = Rotation.from_matrix(R.numpy()).mean(weight.numpy()).as_matrix()
    assert torch.allclose(chordal_mean(R, weight), torch.from_numpy(expected), atol=1e-12)


@pytest.mark.parametrize(("average", "cost"), [
    (geodesic_mean, lambda t: t**2), (geodesic_median, lambda t: np.sqrt(t**2 + CORNER**2)),
])
def test_geodesic_averages_minimise_their_cost(average, cost, generator):
    R, weight = cloud(generator)
    rotations = Rotation.from_matrix(R.numpy())

    def total(x):
        return (weight.numpy() * cost((Rotation.from_rotvec(x).inv() * rotations).magnitude())).sum()

    ours = so3_log(average(R, weight)).numpy()
    best = minimize(total, ours, method="BFGS", options={"gtol": 1e-10})
    assert total(ours) <= best.fun + 1e-12
    away = minimize(total, so3_log(R[0]).numpy(), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    np.testing.assert_allclose(ours, away.x, atol=2e-6)


@both_types
@averages
def test_average_of_equals(average, dtype, generator):
    R = cloud(generator)[0][:1].to(dtype).expand(5, 3, 3).clone().requires_grad_()
    weight = torch.ones(5, dtype=dtype, requires_grad=True)
    mean = average(R, weight)
    assert torch.allclose(mean, R[0], atol=300 * torch.finfo(dtype).eps)  # a tie leans to the identity by 100 eps
    mean.sum().backward()
    assert R.grad.isfinite().all()
    assert weight.grad.isfinite().all()


@averages
def test_average_turns_with_its_rotations(average, generator):
    (R, weight), turn = cloud(generator), so3_exp(torch.tensor([0.3, 2.0, -1.0], dtype=torch.float64))
    assert torch.allclose(average(turn @ R, weight), turn @ average(R, weight), atol=1e-11)
    assert torch.allclose(average(R @ turn, weight), average(R, weight) @ turn, atol=1e-11)


@averages
def test_average_gradients_are_those_of_the_minimum(average, generator):
    R, weight = cloud(generator, n=5)
    w = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
    weight.requires_grad_()
    assert gradcheck(lambda w, q: average(R @ so3_exp(w), q), (w, weight), atol=1e-6)


@both_types
@averages
@pytest.mark.parametrize("theta", [0.0, 1e-8, math.pi - 1e-6, math.pi])
def test_average_of_two_however_far_apart(average, dtype, theta):
    w = torch.tensor([[0.0, 0, 0], [0, 0, theta]], dtype=dtype, requires_grad=True)
    weight = torch.ones(2, dtype=dtype)
    mean = average(so3_exp(w), weight)
    assert is_rotation(mean)
    mean.sum().backward()
    assert w.grad.isfinite().all()
    if theta < math.pi - 1e-7 and average is geodesic_mean and dtype == torch.float64:
        assert float(angle(mean).detach()) == pytest.approx(theta / 2, abs=1e-9)


@averages
def test_no_weight_gives_the_identity(average, generator):
    R, weight = cloud(generator)
    weight = torch.zeros_like(weight).requires_grad_()
    mean = average(R, weight)
    assert torch.allclose(mean, EYE, atol=1e-12)
    mean.sum().backward()
    assert weight.grad.isfinite().all()


def test_the_median_stays_where_most_rotations_are(generator):
    R, _ = cloud(generator, n=20, spread=0.01)
    R[:6] = so3_exp(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)) @ so3_exp(
        torch.tensor([0.0, 0, 2.0], dtype=torch.float64).expand(6, 3))
    truth = so3_exp(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    weight = torch.ones(20, dtype=torch.float64)
    assert angle(truth.mT @ geodesic_median(R, weight)) < 0.02
    assert angle(truth.mT @ geodesic_mean(R, weight)) > 0.4


@averages
def test_averages_are_batched(average, generator):
    R, weight = cloud(generator, n=12)
    both = average(R.view(2, 6, 3, 3), weight.view(2, 6))
    assert torch.allclose(both[0], average(R[:6], weight[:6]), atol=1e-9)
    assert torch.allclose(both[1], average(R[6:], weight[6:]), atol=1e-9)
