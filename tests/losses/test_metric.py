"""Metric learning."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from epipole.losses.metric import contrastive, correspondence_contrastive, hardest_in_batch, hinge
from epipole.losses.photometric import masked_mean

F64 = torch.float64


def unit(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=generator, dtype=F64), dim=-1)


# ---- contrastive

def test_contrastive_is_the_formula(generator):
    a, b = unit(generator, 2, 20, 8)
    same = torch.rand(20, generator=generator) < 0.5
    d = (a - b).square().sum(-1).sqrt()
    expected = [float(x**2 / 2 if s else max(0, 1.2 - x) ** 2 / 2) for x, s in zip(d, same, strict=True)]
    assert contrastive(a, b, same, 1.2).tolist() == pytest.approx(expected)


@settings(deadline=None, max_examples=50)
@given(distance=st.just(0.0) | st.floats(1e-3, 3), margin=st.floats(0.1, 2))
def test_contrastive_pulls_pairs_and_pushes_strangers_up_to_the_margin(distance, margin):
    a = torch.zeros(2, 3, dtype=F64)
    b = torch.tensor([[distance, 0, 0]] * 2, dtype=F64, requires_grad=True)
    value = contrastive(a, b, torch.tensor([True, False]), margin)
    slope = torch.autograd.grad(value.sum(), b)[0][:, 0]
    push = distance - margin if 0 < distance < margin else 0
    assert value.tolist() == pytest.approx([distance**2 / 2, max(0, margin - distance) ** 2 / 2])
    assert slope.tolist() == pytest.approx([distance, push], abs=1e-9)


def test_equal_descriptors_have_finite_gradients_whether_they_belong_together_or_not():
    a = torch.ones(2, 4, requires_grad=True)
    contrastive(a, torch.ones(2, 4), torch.tensor([True, False])).sum().backward()
    assert torch.equal(a.grad, torch.zeros(2, 4))


# ---- hinge

def test_hinge_is_the_formula_and_rests_beyond_its_margins():
    s = torch.tensor([1.0, 0.9, -0.5, 0.2, 0.5, -1.0], dtype=F64, requires_grad=True)
    same = torch.tensor([True, True, True, False, False, False])
    value = hinge(s, same, 1.0, 0.2, 250.0)
    assert value.tolist() == pytest.approx([0, 25, 375, 0, 0.3, 0])
    slope, = torch.autograd.grad(value.sum(), s)
    assert slope[[1, 2, 4, 5]].tolist() == [-250, -250, 1, 0]


# ---- hardest in batch

def test_hardest_in_batch_is_a_double_loop(generator):
    a, p = unit(generator, 2, 3, 7, 5)
    positive, negative = hardest_in_batch(a, p)
    for b in range(3):
        for i in range(7):
            wrong = [(a[b, i] - p[b, j]).norm() for j in range(7) if j != i]
            wrong += [(a[b, j] - p[b, i]).norm() for j in range(7) if j != i]
            torch.testing.assert_close(negative[b, i], torch.stack(wrong).min())
            torch.testing.assert_close(positive[b, i], (a[b, i] - p[b, i]).norm())


def test_hardest_in_batch_is_symmetric_and_follows_a_permutation(generator):
    a, p = unit(generator, 2, 7, 5)
    order = torch.randperm(7, generator=generator)
    for mine, swapped, shuffled in zip(
        hardest_in_batch(a, p), hardest_in_batch(p, a), hardest_in_batch(a[order], p[order]), strict=True
    ):
        torch.testing.assert_close(mine, swapped)
        torch.testing.assert_close(mine[order], shuffled)


def test_of_many_pairs_one_negative_is_as_hard_as_any_triplet(generator):
    """With a single other pair, the margin form is torch's own triplet loss at its hardest choice."""
    a, p = unit(generator, 2, 2, 5)
    positive, negative = hardest_in_batch(a, p)
    theirs = [F.triplet_margin_loss(x, y, z, 1.0, eps=0.0, reduction="none")
              for x, y, z in ((a, p, p.flip(0)), (p, a, a.flip(0)))]
    torch.testing.assert_close(F.relu(1 + positive - negative), torch.maximum(*theirs))


def test_a_lone_pair_and_equal_descriptors_cost_finitely_with_finite_gradients():
    for pairs in (1, 4):
        a = torch.ones(pairs, 3, requires_grad=True)
        positive, negative = hardest_in_batch(a, torch.ones(pairs, 3))
        (F.relu(1 + positive - negative) + F.softplus(positive - negative)).sum().backward()
        assert torch.isfinite(a.grad).all()
        assert bool(negative.isinf().all()) == (pairs == 1)


@pytest.mark.parametrize("form", ["margin", "soft"])
def test_descent_on_hard_triplets_tells_pairs_apart(generator, form):
    """Descriptors that all start near each other end nearer to their own than to any other's."""
    a, p = (torch.ones(6, 4, dtype=F64) + 0.01 * torch.randn(6, 4, generator=generator, dtype=F64) for _ in range(2))
    a, p = a.requires_grad_(), p.requires_grad_()
    optimiser = torch.optim.Adam([a, p], 0.05)
    for _ in range(100):
        optimiser.zero_grad()
        positive, negative = hardest_in_batch(F.normalize(a, dim=-1), F.normalize(p, dim=-1))
        loss = F.relu(0.5 + positive - negative) if form == "margin" else F.softplus(positive - negative)
        loss.mean().backward()
        optimiser.step()
    positive, negative = hardest_in_batch(F.normalize(a, dim=-1), F.normalize(p, dim=-1))
    assert positive.max() + 0.4 < negative.min()


# ---- correspondence contrastive

def maps(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit features of b, those of a: b's moved by (3, 1); five pixels of a, and where they are in b."""
    b = F.normalize(torch.randn(2, 6, 9, 12, generator=generator, dtype=F64), dim=1)
    a = b.roll((-1, -3), (2, 3))
    pixels = torch.tensor([[0, 0], [4, 2], [8, 7], [5, 5], [1, 6]], dtype=F64).expand(2, 5, 2)
    return a, b, pixels, pixels + torch.tensor([3, 1])


def test_perfect_features_cost_nothing_and_no_negative_is_found(generator):
    a, b, here, there = maps(generator)
    found = correspondence_contrastive(a, b, here, there, 1.5)
    assert found.positive.max() < 1e-20
    assert not found.mined.any()
    assert found.negative.max() == masked_mean(found.negative, found.mined) == 0


def test_wrong_matches_cost_and_what_looks_most_alike_is_pushed_away(generator):
    a, b, here, there = maps(generator)
    wrong = (there + torch.tensor([2, 0])).remainder(torch.tensor([12, 9]))
    found = correspondence_contrastive(a, b, here, wrong, 1.5, 0.8)
    assert found.mined.all()
    at = wrong.long()
    for n in range(2):
        for k in range(5):
            query, match = a[n, :, here[n, k, 1].long(), here[n, k, 0].long()], b[n, :, at[n, k, 1], at[n, k, 0]]
            assert float(found.positive[n, k]) == pytest.approx(float((query - match).square().sum() / 2))
    torch.testing.assert_close(found.negative, torch.full((2, 5), 0.8**2 / 2, dtype=F64))  # equal features


def test_the_negative_is_the_nearest_feature_of_the_whole_map(generator):
    """Of features of any length."""
    _, b, here, there = maps(generator)
    a, lengths = (torch.rand(2, k, 9, 12, generator=generator, dtype=F64) for k in (6, 1))
    b = b * (0.2 + 2 * lengths)
    found = correspondence_contrastive(a, b, here, there, 0.5, 2.0)
    for n in range(2):
        for k in range(5):
            query = a[n, :, here[n, k, 1].long(), here[n, k, 0].long()]
            distance = (b[n] - query[:, None, None]).norm(dim=0)
            place = divmod(int(distance.argmin()), 12)
            far = (there[n, k] - torch.tensor([place[1], place[0]])).norm() > 0.5
            assert bool(found.mined[n, k]) == bool(far)
            expected = float((2 - distance.min()).clamp(min=0).square() / 2) if far else 0
            assert float(found.negative[n, k]) == pytest.approx(expected)
    assert found.mined.any()


def test_the_radius_decides_what_is_a_false_negative(generator):
    a, b, here, there = maps(generator)
    near = there + torch.tensor([0.8, 0.6])  # labels one pixel off: perfect features are found one pixel from them
    assert not correspondence_contrastive(a, b, here, near, 1.01).mined.any()
    assert correspondence_contrastive(a, b, here, near, 0.99).mined.all()


def test_features_are_interpolated_between_pixels_with_a_gradient_to_where(generator):
    a, b, here, there = maps(generator)
    half = (there - torch.tensor([0.5, 0])).requires_grad_()
    found = correspondence_contrastive(a, b, here, half, 5.0)
    mixed = 0.5 * (b[0, :, 3, 6] + b[0, :, 3, 7])
    torch.testing.assert_close(found.positive[0, 1], (a[0, :, 2, 4] - mixed).square().sum() / 2)
    found.positive.sum().backward()
    assert half.grad.abs().sum() > 0


def test_many_queries_are_the_same_as_few(generator):
    """More than are compared at a time."""
    a, b = (F.normalize(torch.randn(1, 4, 20, 30, generator=generator, dtype=F64), dim=1) for _ in range(2))
    here = torch.rand(1, 600, 2, generator=generator, dtype=F64) * torch.tensor([29, 19])
    whole = correspondence_contrastive(a, b, here, here, 2.0)
    parts = [correspondence_contrastive(a, b, p, p, 2.0) for p in here.split(100, 1)]
    for k in range(3):
        torch.testing.assert_close(whole[k], torch.cat([p[k] for p in parts], 1))


def test_gradcheck(generator):
    a, b = (unit(generator, 6, 4).requires_grad_() for _ in range(2))
    same = torch.tensor([True, False] * 3)
    assert torch.autograd.gradcheck(lambda x, y: contrastive(x, y, same, 2.5), (a, b))
    assert torch.autograd.gradcheck(hardest_in_batch, (a, b))
    assert torch.autograd.gradcheck(lambda x, y: hinge((x * y).sum(-1), same), (a, b))
    f, g, here, there = maps(generator)
    f, g = (x[:1, :3].clone().requires_grad_() for x in (f, g))
    here, there = here[:1] + 0.3, there[:1] - 0.2
    assert torch.autograd.gradcheck(lambda x, y: correspondence_contrastive(x, y, here, there, 1.0, 2.5)[:2], (f, g))
