import math

import pytest
import torch
from torch.autograd import gradcheck

from epipole.geometry.motion import hat, se3_exp, so3_exp
from epipole.geometry.sim3 import (
    sim3,
    sim3_adjoint,
    sim3_exp,
    sim3_interpolate,
    sim3_inverse,
    sim3_left_jacobian,
    sim3_left_jacobian_inverse,
    sim3_log,
    sim3_parts,
)
from tests.geometry.series import matrix_series

ANGLES = [0.0, 1e-8, 1e-3, 1.0, math.pi - 1e-6, math.pi]
LOG_SCALES = [0.0, 1e-8, -1e-3, 0.7]
AXES = torch.tensor([[1.0, 0, 0], [0, 0, -1], [1, 2, 3], [-1, 1e-3, 0.5]], dtype=torch.float64)
AXES = AXES / AXES.norm(dim=1, keepdim=True)

every_angle = pytest.mark.parametrize("theta", ANGLES)
inner_angle = pytest.mark.parametrize("theta", ANGLES[:-2])
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}


def tangents(theta: float) -> torch.Tensor:
    """Every log scale with its own axis and translation."""
    return torch.cat([AXES.flip(0) + 0.2, theta * AXES, torch.tensor(LOG_SCALES, dtype=torch.float64)[:, None]], -1)


def generator_of(xi: torch.Tensor) -> torch.Tensor:
    G = torch.zeros(*xi.shape[:-1], 4, 4, dtype=xi.dtype)
    G[..., :3, :3] = hat(xi[..., 3:6]) + xi[..., 6, None, None] * torch.eye(3).to(xi)
    G[..., :3, 3] = xi[..., :3]
    return G


def numerical_ad(xi: torch.Tensor) -> torch.Tensor:
    """Column k is the commutator with the k-th generator, read back as a tangent."""
    columns = []
    for k in range(7):
        G, E = generator_of(xi), generator_of(torch.eye(7, dtype=xi.dtype)[k])
        C = G @ E - E @ G
        w = torch.stack([C[..., 2, 1], C[..., 0, 2], C[..., 1, 0]], -1)
        columns.append(torch.cat([C[..., :3, 3], w, C[..., :1, 0]], -1))
    return torch.stack(columns, -1)


@every_angle
@both_types
def test_exp_agrees_with_the_power_series(theta, dtype):
    xi = tangents(theta).to(dtype)
    assert torch.allclose(sim3_exp(xi).double(), matrix_series(generator_of(xi), 0), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("theta", ANGLES[:-1])
@both_types
def test_log_undoes_exp(theta, dtype):
    if dtype == torch.float32 and theta > 3:
        theta -= 1e-3  # nearer, rounding decides about the sign of the half turn
    xi = tangents(theta).to(dtype)
    assert torch.allclose(sim3_log(sim3_exp(xi)), xi, rtol=0, atol={torch.float32: 2e-5, torch.float64: 1e-9}[dtype])


@every_angle
@both_types
def test_left_jacobian_agrees_with_the_power_series(theta, dtype):
    xi = tangents(theta).to(dtype)
    expected = matrix_series(numerical_ad(xi.double()), 1)
    assert torch.allclose(sim3_left_jacobian(xi).double(), expected, rtol=0, atol=TOLERANCE[dtype])
    inverse = sim3_left_jacobian_inverse(xi).double()
    assert torch.allclose(inverse, torch.linalg.inv(expected), rtol=0, atol=5 * TOLERANCE[dtype])


@every_angle
@both_types
def test_gradient_of_log_is_the_inverse_left_jacobian(theta, dtype):
    """d log(exp(d) S) = J^-1(log S) dd, also at 0 and, for the half turn that log chose, at pi."""
    S = sim3_exp(tangents(theta).to(dtype))
    measured = torch.stack([torch.autograd.functional.jacobian(lambda d, s=s: sim3_log(sim3_exp(d) @ s),
                                                               torch.zeros(7, dtype=dtype)) for s in S])
    expected = torch.linalg.inv(matrix_series(numerical_ad(sim3_log(S).double()), 1))
    assert torch.allclose(measured.double(), expected, rtol=0, atol={torch.float32: 1e-4, torch.float64: 1e-9}[dtype])


@every_angle
@both_types
def test_gradients_are_finite_everywhere(theta, dtype):
    xi = tangents(theta).to(dtype).requires_grad_()
    S0 = sim3_exp(xi)
    S1 = S0 @ sim3_exp(xi.detach())
    loss = sim3_interpolate(S0, S1, torch.full((4,), 0.3, dtype=dtype)).sum() + sim3_log(S0).sum()
    (loss + sim3_left_jacobian_inverse(xi).sum()).backward()
    assert xi.grad.isfinite().all()


@inner_angle
def test_gradients(theta):
    xi = tangents(theta)[2:].requires_grad_()
    assert gradcheck(sim3_exp, xi)
    assert gradcheck(lambda x: sim3_log(sim3_exp(x)), xi)


def test_adjoint_carries_a_tangent_to_the_other_frame():
    S, xi = sim3_exp(tangents(1.0)), tangents(0.5).roll(1, 0)
    moved = sim3_exp((sim3_adjoint(S) @ xi[..., None])[..., 0])
    assert torch.allclose(S @ sim3_exp(xi) @ sim3_inverse(S), moved, atol=1e-12)


def test_inverse_and_parts():
    S = sim3_exp(tangents(2.0))
    assert torch.allclose(sim3_inverse(S) @ S, torch.eye(4, dtype=torch.float64).expand(4, 4, 4), atol=1e-12)
    scale, R, t = sim3_parts(S)
    assert torch.allclose(scale, torch.tensor(LOG_SCALES, dtype=torch.float64).exp())
    assert torch.allclose(R, so3_exp(2.0 * AXES), atol=1e-12)
    assert torch.allclose(sim3(scale, R, t), S, atol=1e-15)


def test_at_scale_one_it_is_a_rigid_motion():
    xi = tangents(1.3) * torch.tensor([1.0, 1, 1, 1, 1, 1, 0])
    assert torch.allclose(sim3_exp(xi), se3_exp(xi[:, :6]), atol=1e-13)


def test_interpolation_passes_its_ends_and_the_geometric_mean_of_scales():
    S0, S1 = sim3_exp(tangents(1.0)), sim3_exp(tangents(0.4).roll(1, 0))
    at = lambda u: sim3_interpolate(S0, S1, torch.full((4,), u, dtype=torch.float64))  # noqa: E731
    assert torch.allclose(at(0.0), S0, atol=1e-12)
    assert torch.allclose(at(1.0), S1, atol=1e-12)
    expected = (sim3_parts(S0)[0] * sim3_parts(S1)[0]).sqrt()
    assert torch.allclose(sim3_parts(at(0.5))[0], expected, atol=1e-12)
