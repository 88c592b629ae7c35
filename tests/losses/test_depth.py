"""Depth consistency, the scale-invariant losses, and the ordinal one."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from epipole.geometry.motion import se3_inverse
from epipole.losses.depth import depth_consistency, depth_difference, ordinal, scale_invariant, scale_invariant_gradient
from epipole.losses.photometric import masked_mean
from tests.scene import plane_clip

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


# ---- depth consistency of two views

def two_views() -> tuple[torch.Tensor, ...]:
    """depth, other's depth, T_other_this, K, K_other of a slanted plane, exact."""
    views = plane_clip(2, 2, 24, 32)
    T = se3_inverse(views.T_world_camera[:, 1]) @ views.T_world_camera[:, 0]
    return tuple(x.to(F64) for x in (views.depth[:, 0], views.depth[:, 1], T, views.K[:, 0], views.K[:, 1]))


def test_two_exact_views_of_a_plane_agree_and_a_wrong_scale_of_one_shows():
    depth, other, T, K, K_other = two_views()
    difference, valid = depth_consistency(depth, other, T, K, K_other)
    assert valid.float().mean() > 0.7
    assert difference[valid].max() < 1e-3  # depth of a plane is not linear between pixels
    wrong, _ = depth_consistency(depth, 1.1 * other, T, K, K_other)
    torch.testing.assert_close(wrong[valid].mean(), torch.tensor(0.1 / 2.1, dtype=F64), atol=1e-3, rtol=0)


def test_consistency_is_blind_to_a_common_scale_of_depths_and_translation():
    depth, other, T, K, K_other = two_views()
    scaled = T.clone()
    scaled[:, :3, 3] *= 7
    wrong = 1.1 * other
    difference, valid = depth_consistency(depth, wrong, T, K, K_other)
    again, valid_again = depth_consistency(7 * depth, 7 * wrong, scaled, K, K_other)
    assert torch.equal(valid, valid_again)
    torch.testing.assert_close(again, difference)


def test_descent_on_consistency_brings_the_scales_together():
    depth, other, T, K, K_other = two_views()
    for scale in (0.9, 1.1):
        s = torch.tensor(scale, dtype=F64, requires_grad=True)
        slope, = torch.autograd.grad(masked_mean(*depth_consistency(depth, s * other, T, K, K_other)), s)
        assert slope * (scale - 1) > 0


def test_what_lies_behind_the_other_camera_is_not_seen_and_has_no_gradient():
    depth, other, T, K, K_other = two_views()
    behind = T.clone()
    behind[:, 2, 3] -= 10
    depth = depth.requires_grad_()
    difference, valid = depth_consistency(depth, other, behind, K, K_other)
    assert not valid.any()
    assert 0 <= difference.min() <= difference.max() < 1
    difference.sum().backward()
    assert torch.isfinite(depth.grad).all()


BAD = [0.0, -1.0, math.inf, -math.inf]


@pytest.mark.parametrize("bad", BAD)
def test_a_depth_that_cannot_be_is_as_different_as_can_be(bad):
    a, b = (torch.tensor([[[[x]]]], requires_grad=True) for x in (bad, 2.0))
    for difference in (depth_difference(a, b), depth_difference(b, a)):
        assert float(difference.detach()) == pytest.approx(1)
        difference.sum().backward()
        assert a.grad.isfinite().all()
        assert b.grad.isfinite().all()
    assert float(depth_difference(a, a).detach()) == 0


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_valid_depth_without_a_logarithm_costs_much_and_has_no_gradient(bad, dtype):
    depth = torch.tensor([[[[1.0, bad, 3.0]]]], dtype=dtype, requires_grad=True)
    truth, every = torch.ones(1, 1, 1, 3, dtype=dtype), torch.ones(1, 1, 1, 3, dtype=torch.bool)
    value = scale_invariant(depth, truth, every)
    assert 1e3 < value < 1e6
    value.sum().backward()
    assert depth.grad.isfinite().all()
    assert depth.grad[0, 0, 0, 1] == 0
    assert scale_invariant(truth, depth.detach(), every).isfinite().all()


@pytest.mark.parametrize("bad", [*BAD, math.nan])
def test_consistency_leaves_out_what_either_view_does_not_know(bad):
    depth, other, T, K, K_other = two_views()
    clean, valid = depth_consistency(depth, other, T, K, K_other)
    holed, beyond = depth.clone(), other.clone()
    holed[..., 5, 7], beyond[..., 12, 16] = bad, bad
    holed, beyond, T = holed.requires_grad_(), beyond.requires_grad_(), T.clone().requires_grad_()
    difference, seen = depth_consistency(holed, beyond, T, K, K_other)
    assert not seen[..., 5, 7].any()
    assert not (seen & ~valid).any()
    assert 1 < (valid & ~seen)[0].sum() < 12  # the hole, and what has the other one among its four neighbours
    torch.testing.assert_close(difference[seen], clean[seen])
    masked_mean(difference, seen).backward()
    for x in (holed, beyond, T):
        assert x.grad.isfinite().all()


# ---- ordinal ranking

@settings(deadline=None, max_examples=50)
@given(gap=st.floats(-30, 30), shift=st.floats(-100, 100))
def test_ordinal_is_the_formula_and_blind_to_a_constant(gap, shift):
    a, b = torch.tensor([gap] * 3, dtype=F64), torch.zeros(3, dtype=F64)
    relation = torch.tensor([1, -1, 0])
    expected = [math.log1p(math.exp(-gap)), math.log1p(math.exp(gap)), gap**2]
    assert ordinal(a, b, relation).tolist() == pytest.approx(expected, abs=1e-8)
    torch.testing.assert_close(ordinal(a + shift, b + shift, relation), ordinal(a, b, relation), atol=1e-9, rtol=1e-9)


def test_ordinal_at_equal_depths_is_log_2_or_0():
    zero = torch.zeros(3, dtype=F64, requires_grad=True)
    value = ordinal(zero, zero.detach(), torch.tensor([1, -1, 0]))
    assert value.tolist() == pytest.approx([math.log(2), math.log(2), 0])
    slope, = torch.autograd.grad(value.sum(), zero)
    assert slope.tolist() == [-0.5, 0.5, 0]  # descent lifts what is to be larger


def test_ordinal_is_torchs_soft_margin_for_ordered_pairs_and_swaps_with_the_pair(generator):
    a, b = torch.randn(2, 20, generator=generator, dtype=F64)
    relation = torch.randint(0, 2, (20,), generator=generator) * 2 - 1
    torch.testing.assert_close(ordinal(a, b, relation), F.soft_margin_loss(a - b, relation.to(F64), reduction="none"))
    torch.testing.assert_close(ordinal(b, a, -relation), ordinal(a, b, relation))


def test_order_alone_ranks_a_whole_map(generator):
    """No metric value is ever shown; descent on pairs still ranks all 30 depths, and reversed labels reverse them."""
    truth = torch.rand(30, generator=generator, dtype=F64)
    i, j = torch.randint(30, (2, 400), generator=generator)
    for sign in (1, -1):
        z = torch.zeros(30, dtype=F64, requires_grad=True)
        optimiser = torch.optim.Adam([z], 0.1)
        for _ in range(100):
            optimiser.zero_grad()
            ordinal(z[i], z[j], sign * torch.sign(truth[i] - truth[j]).long()).mean().backward()
            optimiser.step()
        ranks = torch.stack([z.detach().argsort().argsort(), truth.argsort().argsort()]).to(F64)
        assert sign * torch.corrcoef(ranks)[0, 1] > 0.98


def test_far_apart_pairs_have_finite_values_and_gradients():
    a = torch.tensor([1e30, -1e30, 1e4], requires_grad=True)
    value = ordinal(a, torch.zeros(3), torch.tensor([1, -1, 1]))
    value.sum().backward()
    assert value.tolist() == [0, 0, 0]
    assert torch.equal(a.grad, torch.zeros(3))


# ---- scale-invariant gradient

def test_scale_invariant_gradient_is_the_formula_pixel_by_pixel(generator):
    a, b = (torch.rand(1, 2, 6, 7, generator=generator, dtype=F64) - 0.3 for _ in range(2))
    result, _ = scale_invariant_gradient(a, b, torch.ones(1, 1, 6, 7, dtype=torch.bool), 2, 0.01)
    assert result.shape == (1, 1, 4, 5)

    def g(f, k, to):
        here, there = float(f[0, k, 1, 3]), float(f[0, k, *to])
        return (there - here) / (abs(there) + abs(here) + 0.01)

    square = sum((g(a, k, to) - g(b, k, to)) ** 2 for k in range(2) for to in ((1, 5), (3, 3)))
    assert float(result[0, 0, 1, 3]) == pytest.approx(math.sqrt(square))


@settings(deadline=None, max_examples=50)
@given(scale=st.floats(0.1, 100), step=st.sampled_from([1, 2, 4]))
def test_scale_invariant_gradient_is_zero_at_equality_and_blind_to_scale(scale, step):
    a, b, _ = depths(torch.Generator().manual_seed(1))
    every = torch.ones(3, 1, 4, 5, dtype=torch.bool)
    assert scale_invariant_gradient(a, scale * a, every, step, 1e-9)[0].abs().sum() < 1e-6
    here, there = (scale_invariant_gradient(k * a, k * b, every, step, 0.0)[0] for k in (1, scale))
    torch.testing.assert_close(here, there)


def test_scale_invariant_gradient_sees_a_missing_edge_and_not_a_smooth_error():
    truth = torch.ones(1, 1, 6, 8, dtype=F64)
    truth[..., 4:] = 3
    blurred = torch.linspace(1, 3, 8, dtype=F64).expand(1, 1, 6, 8)
    every = torch.ones(1, 1, 6, 8, dtype=torch.bool)
    assert scale_invariant_gradient(2 * truth, truth, every, 1)[0].max() < 1e-3
    assert scale_invariant_gradient(blurred, truth, every, 1)[0][..., 3].min() > 0.3


def test_invalid_depth_takes_its_neighbours_with_it_and_nothing_else(generator):
    a, b, _ = depths(generator)
    valid = torch.ones(3, 1, 4, 5, dtype=torch.bool)
    valid[0, 0, 2, 2] = False
    b[0, 0, 2, 2] = torch.nan
    a.requires_grad_()
    result, seen = scale_invariant_gradient(a, b, valid, 1)
    assert (~seen).nonzero()[:, 2:].tolist() == [[1, 2], [2, 1], [2, 2]]
    masked_mean(result, seen).backward()
    assert torch.isfinite(a.grad).all()
    assert a.grad[0, 0, 2, 2] == 0


def test_no_pixel_has_a_neighbour_that_far_in_a_small_map():
    flat = torch.zeros(1, 1, 4, 5, requires_grad=True)
    every = torch.ones(1, 1, 4, 5, dtype=torch.bool)
    assert scale_invariant_gradient(flat, flat, every, 16)[0].numel() == 0
    masked_mean(*scale_invariant_gradient(flat, torch.zeros(1, 1, 4, 5), every, 1)).backward()
    assert torch.equal(flat.grad, torch.zeros_like(flat))


def test_gradcheck(generator):
    a, b, valid = depths(generator)
    assert torch.autograd.gradcheck(lambda x: scale_invariant(x, b, valid), (a.requires_grad_(),))
    assert torch.autograd.gradcheck(lambda x: depth_difference(x, b), (a,))
    assert torch.autograd.gradcheck(lambda x: scale_invariant_gradient(x, b, valid, 1)[0], (a,))
    assert torch.autograd.gradcheck(lambda x: ordinal(x, b, valid.long()), (a,))
    depth, other, T, K, K_other = (x[:1] for x in two_views())
    small, T = depth[..., 8:12, 8:12].clone().requires_grad_(), T.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: depth_consistency(x, other, y, K, K_other)[0], (small, T))
