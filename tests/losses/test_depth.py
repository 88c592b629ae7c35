"""Depth consistency and the scale-invariant loss."""

import pytest
import torch

from epipole.losses.depth import depth_difference, scale_invariant

F64 = torch.float64


def depths(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    a, b = (0.5 + torch.rand(3, 1, 4, 5, generator=generator, dtype=F64) for _ in range(2))
    return a, b, torch.rand(3, 1, 4, 5, generator=generator) > 0.3


def test_difference_is_symmetric_bounded_and_blind_to_a_common_scale(generator):
    a, b, _ = depths(generator)
    difference = depth_difference(a, b)
    torch.testing.assert_close(difference, depth_difference(b, a))
    torch.testing.assert_close(difference, depth_difference(7 * a, 7 * b))
    assert 0 <= difference.min() <= difference.max() < 1
    assert float(depth_difference(torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 1.0))) == 0.5


def test_scale_invariant_is_the_mean_over_all_pairs(generator):
    """Balance 1: half the mean over pairs (i, j) of ((log y_i - log y_j) - (log t_i - log t_j))^2 (eq. 2)."""
    a, b, valid = depths(generator)
    result = scale_invariant(a, b, valid, 1.0)
    for k in range(3):
        e = (a[k].log() - b[k].log())[valid[k]]
        assert float(result[k]) == pytest.approx(float((e[:, None] - e).square().mean() / 2))


def test_balance_decides_how_much_a_wrong_scale_costs(generator):
    a, _, valid = depths(generator)
    assert scale_invariant(3 * a, a, valid, 1.0).abs().max() < 1e-12
    log3 = torch.tensor(3.0, dtype=F64).log()
    torch.testing.assert_close(scale_invariant(3 * a, a, valid, 0.5), (0.5 * log3**2).expand(3))
    torch.testing.assert_close(scale_invariant(3 * a, a, valid, 0.0), (log3**2).expand(3))


def test_invalid_depth_reaches_neither_value_nor_gradient(generator):
    a, b, valid = depths(generator)
    dirty_a = torch.where(valid, a, torch.tensor(0.0, dtype=F64)).requires_grad_()
    dirty_b = torch.where(valid, b, torch.tensor(torch.nan, dtype=F64))
    result = scale_invariant(dirty_a, dirty_b, valid)
    torch.testing.assert_close(result, scale_invariant(a, b, valid))
    result.sum().backward()
    assert (dirty_a.grad[~valid] == 0).all()
    assert torch.isfinite(dirty_a.grad).all()


def test_no_valid_pixel_gives_zero(generator):
    a, b, valid = depths(generator)
    assert scale_invariant(a, b, torch.zeros_like(valid)).tolist() == [0, 0, 0]


def test_gradcheck(generator):
    a, b, valid = depths(generator)
    assert torch.autograd.gradcheck(lambda x: scale_invariant(x, b, valid), (a.requires_grad_(),))
    assert torch.autograd.gradcheck(lambda x: depth_difference(x, b), (a,))
