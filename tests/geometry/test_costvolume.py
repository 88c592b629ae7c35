"""Cost volumes against loops that say what they mean."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epipole.geometry.costvolume import (
    concatenation_volume,
    correlation_1d,
    correlation_2d,
    difference_volume,
    soft_argmin,
)

F64 = torch.float64


def features(b=2, c=3, h=4, w=9, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    one, two = torch.randn(2, b, c, h, w, dtype=F64, generator=g)
    return one.requires_grad_(), two.requires_grad_()


def at(x: torch.Tensor, v: int, u: int) -> torch.Tensor:
    """Column [b c] of a map, zeros outside."""
    inside = 0 <= v < x.shape[2] and 0 <= u < x.shape[3]
    return x[:, :, v, u] if inside else torch.zeros_like(x[:, :, 0, 0])


def naive_stereo(left, right, disparities, join):
    rows = [[[join(at(left, y, x), at(right, y, x - d)) if x >= d else 0 * join(at(left, y, x), at(right, y, x))
              for x in range(left.shape[3])] for y in range(left.shape[2])] for d in range(disparities)]
    return torch.stack([torch.stack([torch.stack(row, -1) for row in plane], -2) for plane in rows], 2)


def naive_flow(first, second, reach, stride):
    m = reach // stride
    planes = []
    for j in range(-m, m + 1):
        for i in range(-m, m + 1):
            planes.append(torch.stack([torch.stack([
                (at(first, y, x) * at(second, y + j * stride, x + i * stride)).mean(1)
                for x in range(first.shape[3])], -1) for y in range(first.shape[2])], -2))
    return torch.stack(planes, 1)


def assert_same(fast, slow, inputs, seed=1):
    """Values, and the gradients of a random weighting of them."""
    torch.testing.assert_close(fast, slow)
    weight = torch.randn(slow.shape, dtype=F64, generator=torch.Generator().manual_seed(seed))
    for a, b in zip(torch.autograd.grad((fast * weight).sum(), inputs),
                    torch.autograd.grad((slow * weight).sum(), inputs), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("w", [1, 9, 16, 35])
@pytest.mark.parametrize("disparities", [1, 4, 20])
def test_correlation_along_the_row(w, disparities):
    left, right = features(w=w, h=2)
    slow = naive_stereo(left, right, disparities, lambda a, b: (a * b).mean(1, keepdim=True))[:, 0]
    assert_same(correlation_1d(left, right, disparities), slow, (left, right))


SIZES = [(3, 5, 2, 1), (6, 9, 4, 2), (4, 19, 3, 2), (1, 1, 2, 1), (5, 7, 0, 1), (3, 37, 6, 3)]


@pytest.mark.parametrize(("h", "w", "reach", "stride"), SIZES)
def test_correlation_over_a_grid_of_displacements(h, w, reach, stride):
    first, second = features(h=h, w=w)
    assert_same(correlation_2d(first, second, reach, stride), naive_flow(first, second, reach, stride), (first, second))


def test_concatenation_and_difference():
    left, right = features()
    assert_same(concatenation_volume(left, right, 4), naive_stereo(left, right, 4, lambda a, b: torch.cat([a, b], 1)),
                (left, right))
    assert_same(difference_volume(left, right, 4), naive_stereo(left, right, 4, lambda a, b: a - b), (left, right))


def test_gradcheck():
    one, two = features(b=1, c=2, h=2, w=4)
    assert torch.autograd.gradcheck(lambda a, b: correlation_1d(a, b, 3), (one, two))
    assert torch.autograd.gradcheck(lambda a, b: correlation_2d(a, b, 2, 1), (one, two))
    assert torch.autograd.gradcheck(lambda a, b: concatenation_volume(a, b, 3), (one, two))


@settings(max_examples=20, deadline=None)
@given(st.integers(-3, 3), st.integers(-3, 3))
def test_a_shifted_map_fits_best_at_its_shift(i, j):
    """FlowNetC: of x and x moved by (2 i, 2 j), channel (j + 10) 21 + i + 10 is the largest."""
    x = torch.randn(1, 64, 24, 24, generator=torch.Generator().manual_seed(0))
    volume = correlation_2d(x, x.roll((2 * j, 2 * i), (2, 3)))
    assert volume.shape[1] == 441
    assert int(volume[0, :, 12, 12].argmax()) == (j + 10) * 21 + i + 10


def test_the_volume_holds_the_right_features_themselves():
    left, right = features(w=12)
    volume = concatenation_volume(left, right, 8)
    for d in range(8):
        assert torch.equal(volume[:, 3:, d, :, d:], right[..., : 12 - d])
        assert (volume[:, :, d, :, :d] == 0).all()


def test_mirrored_and_swapped_it_is_the_other_views_volume():
    left, right = features(w=12)
    forward = correlation_1d(left, right, 5)
    other = correlation_1d(right.flip(-1), left.flip(-1), 5).flip(-1)  # of the right view: right(x) left(x + d)
    for d in range(5):
        torch.testing.assert_close(forward[:, d, :, d:], other[:, d, :, : 12 - d])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("correlation", [partial(correlation_1d, disparities=4), partial(correlation_2d, reach=4)])
def test_lower_precision(correlation, dtype):
    left, right = features(c=16)
    fast = correlation(left.to(dtype), right.to(dtype))
    assert fast.dtype == dtype
    torch.testing.assert_close(fast.to(F64), correlation(left, right), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("correlation", [partial(correlation_1d, disparities=20), partial(correlation_2d, reach=4)])
def test_the_layout_in_memory_does_not_matter_and_is_kept_by_gradients(correlation):
    plain = features(w=37)
    last = [x.detach().to(memory_format=torch.channels_last).requires_grad_() for x in plain]
    one, other = correlation(*plain), correlation(*last)
    torch.testing.assert_close(one, other)
    weight = torch.randn(one.shape, dtype=F64, generator=torch.Generator().manual_seed(2))
    for a, b in zip(torch.autograd.grad((one * weight).sum(), plain),
                    torch.autograd.grad((other * weight).sum(), last), strict=True):
        torch.testing.assert_close(a, b)
        assert b.is_contiguous(memory_format=torch.channels_last)


def test_soft_argmin_equals_its_naive_twin_and_gradcheck(generator):
    cost = torch.randn(2, 7, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    mean, variance = soft_argmin(cost)
    for b, y, x in ((b, y, x) for b in range(2) for y in range(3) for x in range(4)):
        weights = [math.exp(-float(c)) for c in cost[b, :, y, x].detach()]
        expected = sum(d * w for d, w in enumerate(weights)) / sum(weights)
        spread = sum((d - expected) ** 2 * w for d, w in enumerate(weights)) / sum(weights)
        assert float(mean[b, 0, y, x].detach()) == pytest.approx(expected)
        assert float(variance[b, 0, y, x].detach()) == pytest.approx(spread)
    assert torch.autograd.gradcheck(soft_argmin, cost)


def test_soft_argmin_finds_the_least_cost_and_stands_between_two():
    cost = torch.zeros(1, 16, 1, 2)
    cost[0, 7, 0, 0] = cost[0, 6, 0, 1] = cost[0, 8, 0, 1] = -100
    mean, variance = soft_argmin(cost)
    torch.testing.assert_close(mean.flatten(), torch.tensor([7.0, 7.0]))
    torch.testing.assert_close(variance.flatten(), torch.tensor([0.0, 1.0]))
