"""Robust penalties."""

import kornia
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epipole.losses.robust import berhu, charbonnier

F64 = torch.float64
REAL = st.floats(-1e3, 1e3)


def every(x: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(x, dtype=torch.bool)


# ---- Charbonnier

def test_charbonnier_with_epsilon_1_is_kornias(generator):
    a, b = torch.randn(2, 4, 5, generator=generator, dtype=F64)
    torch.testing.assert_close(charbonnier((a - b).square(), 1.0), kornia.losses.charbonnier_loss(a, b))


@settings(deadline=None, max_examples=50)
@given(x=REAL, epsilon=st.floats(1e-3, 1), power=st.floats(0.3, 0.5))
def test_charbonnier_is_zero_at_zero_even_and_grows(x, epsilon, power):
    x = torch.tensor([0, x, -x, 1.1 * x], dtype=F64)
    zero, value, mirrored, larger = charbonnier(x.square(), epsilon, power)
    assert abs(zero) < 1e-15
    assert zero <= value == mirrored <= larger


def test_charbonnier_is_a_square_at_first_and_an_absolute_value_then():
    epsilon = 0.01
    x = torch.tensor([1e-5, 10.0], dtype=F64, requires_grad=True)
    slope, = torch.autograd.grad(charbonnier(x.square(), epsilon).sum(), x)
    torch.testing.assert_close(slope, torch.tensor([1e-5 / epsilon, 1], dtype=F64), rtol=1e-5, atol=0)


def test_unflows_power_forgives_large_errors_more():
    x = torch.tensor([1.0, 32.0], dtype=F64)
    one, large = charbonnier(x.square(), 1e-3, 0.45)
    assert float(large / one) == pytest.approx(32**0.9, rel=0.01)


def test_charbonnier_of_a_length_has_a_gradient_of_zero_at_zero():
    v = torch.zeros(2, 3, requires_grad=True)
    charbonnier(v.square().sum(0)).sum().backward()
    assert torch.equal(v.grad, torch.zeros(2, 3))


def test_a_square_beyond_float32_has_a_finite_gradient():
    x = torch.tensor([1e30, -1e30], requires_grad=True)
    charbonnier(x.square()).sum().backward()
    assert torch.isfinite(x.grad).all()


# ---- berHu

def berhu_by_hand(x: float, c: float) -> float:
    return abs(x) if abs(x) <= c else (x * x + c * c) / (2 * c)


def test_berhu_is_the_formula_entry_by_entry(generator):
    x = torch.randn(2, 1, 4, 5, generator=generator, dtype=F64)
    c = 0.2 * float(x.abs().max())
    expected = [berhu_by_hand(float(e), c) for e in x.flatten()]
    assert berhu(x, every(x)).flatten().tolist() == pytest.approx(expected, abs=1e-12)
    assert (x.abs() < c).any()


@settings(deadline=None, max_examples=50)
@given(worst=st.floats(1e-3, 1e3))
def test_berhu_and_its_slope_are_continuous_at_c(worst):
    c = 0.2 * worst
    x = torch.tensor([c * (1 - 1e-9), c * (1 + 1e-9), worst], dtype=F64, requires_grad=True)
    value = berhu(x, every(x))
    slope, = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(value[:2], torch.tensor([c, c], dtype=F64), rtol=1e-8, atol=0)
    torch.testing.assert_close(slope, torch.tensor([1, 1, 5], dtype=F64))


def test_an_outlier_in_another_sample_changes_the_loss_of_the_rest():
    x = torch.tensor([[0.5, 1.0], [0.2, 1.0]], dtype=F64)
    worse = x * torch.tensor([[1], [10]], dtype=F64)
    assert float(berhu(x, every(x))[0, 1]) == pytest.approx((1 + 0.04) / 0.4)
    assert berhu(worse, every(worse))[0].tolist() == [0.5, 1.0]


def test_berhu_scales_with_its_error(generator):
    x = torch.randn(20, generator=generator, dtype=F64)
    torch.testing.assert_close(berhu(7 * x, every(x)), 7 * berhu(x, every(x)))


def test_what_is_invalid_sets_no_c_and_has_no_gradient():
    x = torch.tensor([0.1, 1.0, torch.nan, 1e9], requires_grad=True)
    valid = torch.tensor([True, True, False, False])
    value = berhu(x, valid)
    value.sum().backward()
    torch.testing.assert_close(value.detach()[:2], berhu(x.detach()[:2], valid[:2]))
    assert value[2:].tolist() == x.grad[2:].tolist() == [0, 0]
    assert x.grad[:2].tolist() == pytest.approx([1, 5])


@pytest.mark.parametrize("size", [(3,), (0,)])
def test_berhu_of_no_error_and_of_nothing_is_zero_with_zero_gradient(size):
    x = torch.zeros(size, requires_grad=True)
    value = berhu(x, every(x))
    value.sum().backward()
    assert torch.equal(value.detach(), torch.zeros(size))
    assert torch.equal(x.grad, torch.zeros(size))


def test_gradcheck(generator):
    x = torch.randn(12, generator=generator, dtype=F64).requires_grad_()
    largest = torch.tensor([9.0], dtype=F64)  # held, so that c is the constant that the gradient takes it for
    assert torch.autograd.gradcheck(lambda e: berhu(torch.cat([e, largest]), every(torch.cat([e, largest]))), (x,))
    assert torch.autograd.gradcheck(lambda e: charbonnier(e.square(), 0.1, 0.45), (x,))
