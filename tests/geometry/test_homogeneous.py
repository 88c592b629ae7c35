"""Homogeneous coordinates and least squares."""

import pytest
import torch

from epipole.geometry.homogeneous import (
    calibrate,
    dehomogenise,
    homogeneous,
    inverse_length,
    least_vector,
    length,
    moved_by,
    normalising,
)

F64 = torch.float64


def test_homogeneous_and_back(generator):
    x = torch.randn(4, 5, 3, generator=generator)
    there, finite = dehomogenise(3 * homogeneous(x))
    torch.testing.assert_close(there, x)
    assert finite.all()


def test_points_at_infinity_are_told_and_harmless():
    x = torch.tensor([[1.0, 2, 0], [3, 4, 1e-12], [5, 6, -2]], requires_grad=True)
    points, finite = dehomogenise(x)
    assert finite.tolist() == [False, False, True]
    points.sum().backward()
    assert torch.isfinite(points).all()
    assert torch.isfinite(x.grad).all()


def test_length_has_a_gradient_of_zero_at_zero():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    (length(x).sum() + inverse_length(x).sum()).backward()
    assert length(x).tolist() == [5, 0]
    assert inverse_length(x)[1] == 0
    torch.testing.assert_close(x.grad, torch.tensor([[0.6, 0.8], [0, 0]]) * (1 - 1 / 25))


def test_calibrated_points_lie_on_the_plane_z_1():
    K = torch.tensor([[100.0, 3, 50], [0, 90, 40], [0, 0, 1]])
    x = calibrate(torch.tensor([[50.0, 40], [150, 40], [53, 130]]), K)
    torch.testing.assert_close(x, torch.tensor([[0.0, 0], [1, 0], [0, 1]]))


@pytest.mark.parametrize("d", [2, 3])
def test_normalised_points_are_centred_with_unit_spread_an_axis(generator, d):
    points, weight = 5 + 3 * torch.randn(4, 20, d, generator=generator), torch.rand(4, 20, generator=generator)
    moved = moved_by(normalising(points, weight), points)
    share = (weight / weight.sum(-1, keepdim=True))[..., None]
    torch.testing.assert_close((share * moved).sum(-2), torch.zeros(4, d), atol=1e-5, rtol=0)
    torch.testing.assert_close((share * moved.square()).sum((-2, -1)), torch.full((4,), float(d)))


def test_coincident_points_and_points_without_weight_are_not_scaled():
    T = normalising(torch.full((6, 2), 7.0), torch.ones(6))
    torch.testing.assert_close(T, torch.tensor([[1.0, 0, -7], [0, 1, -7], [0, 0, 1]]))
    torch.testing.assert_close(normalising(torch.rand(6, 2), torch.zeros(6)), torch.eye(3))


def test_least_vector_is_the_last_right_singular_vector(generator):
    A, like = torch.randn(5, 12, 6, generator=generator, dtype=F64), torch.eye(6, dtype=F64)[0]
    x = least_vector(A.mT @ A, like)
    v = torch.linalg.svd(A).Vh[..., -1, :]
    torch.testing.assert_close(x, v * v[..., :1].sign())
    assert torch.autograd.gradcheck(lambda A: least_vector(A.mT @ A, like), (A.requires_grad_(),))


def test_ties_go_to_the_preferred_side_and_do_not_blow_up():
    like = torch.tensor([0.6, 0.8, 0.0], dtype=F64)
    for M, expected in ((torch.zeros(3, 3), like), (torch.eye(3), like),
                        (torch.diag(torch.tensor([1.0, 0, 0])), torch.tensor([0, 1.0, 0])),
                        (1e-25 * torch.diag(torch.tensor([0.0, 1, 1])), torch.tensor([1.0, 0, 0]))):
        M = M.to(F64).requires_grad_()
        x = least_vector(M, like)
        torch.testing.assert_close(x, expected.to(F64), atol=1e-6, rtol=0)
        x.sum().backward()
        assert M.grad.abs().max() < 1e10 / max(float(M.detach().trace()), 1e-25)
        assert torch.isfinite(M.grad).all()
