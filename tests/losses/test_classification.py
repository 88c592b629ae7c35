"""Classes, ordered bins and pointers."""

import math

import pytest
import torch
import torch.nn.functional as F

from epipole.losses.classification import (
    information_gain,
    pointer,
    sampled_cross_entropy,
    sampled_softmax,
    undecided,
)

F64 = torch.float64


def predictions(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [2, 10, 3, 4] and classes [2, 3, 4]."""
    return torch.randn(2, 10, 3, 4, generator=generator, dtype=F64), torch.randint(10, (2, 3, 4), generator=generator)


# ---- information gain

def test_information_gain_is_the_double_sum(generator):
    logits, target = predictions(generator)
    result = information_gain(logits, target, 0.2)
    for n, y, x in ((0, 0, 0), (1, 2, 3)):
        log_p = (logits[n, :, y, x].exp() / logits[n, :, y, x].exp().sum()).log().tolist()
        true = int(target[n, y, x])
        expected = -sum(math.exp(-0.2 * (true - d) ** 2) * log_p[d] for d in range(10))
        assert float(result[n, y, x]) == pytest.approx(expected)


def test_information_gain_with_a_large_alpha_is_cross_entropy(generator):
    logits, target = predictions(generator)
    torch.testing.assert_close(information_gain(logits, target, 1e4), F.cross_entropy(logits, target, reduction="none"))


def test_a_near_miss_costs_less_than_a_far_one_and_cross_entropy_cannot_tell():
    guess = 5 * F.one_hot(torch.tensor([4, 8]), 10).to(F64)
    true = torch.tensor([3, 3])
    near, far = information_gain(guess, true)
    assert near < far - 1
    assert F.cross_entropy(guess, true, reduction="none").unique().numel() == 1


def test_the_best_prediction_is_the_normalised_gain():
    logits = torch.zeros(1, 10, dtype=F64, requires_grad=True)
    target = torch.tensor([3])
    gain = torch.exp(-0.2 * (torch.arange(10, dtype=F64) - 3) ** 2)
    best = (gain / gain.sum()).log()[None].requires_grad_()
    slope, = torch.autograd.grad(information_gain(best, target).sum(), best)
    assert slope.abs().max() < 1e-12
    assert information_gain(best, target) < information_gain(logits, target)


def test_undecided_pixels_are_those_below_the_threshold(generator):
    logits, target = predictions(generator)
    p = logits.softmax(1).gather(1, target[:, None])[:, 0]
    assert torch.equal(undecided(logits, target, 0.1), p < 0.1)
    assert undecided(logits, target, 1.0).all()


def test_certain_and_wrong_is_finite_with_finite_gradients():
    logits = torch.tensor([[1e4, 0, -1e4]], requires_grad=True)
    for value in (information_gain(logits, torch.tensor([2])),
                  sampled_softmax(logits, torch.zeros(1, 1), torch.tensor([2]), torch.zeros(3, 1, 3))):
        slope, = torch.autograd.grad(value.sum(), logits)
        assert torch.isfinite(value).all()
        assert torch.isfinite(slope).all()


# ---- logit sampling

def test_sampled_softmax_is_the_mean_of_probabilities_inside_the_logarithm(generator):
    logits, target = predictions(generator)
    log_variance = torch.randn(2, 1, 3, 4, generator=generator, dtype=F64)
    noise = torch.randn(7, *logits.shape, generator=generator, dtype=F64)
    draws = [(logits + (log_variance / 2).exp() * n) for n in noise]
    p = torch.stack([d.softmax(1).gather(1, target[:, None])[:, 0] for d in draws])
    torch.testing.assert_close(sampled_softmax(logits, log_variance, target, noise), -p.mean(0).log())
    average = torch.stack([F.cross_entropy(d, target, reduction="none") for d in draws]).mean(0)
    torch.testing.assert_close(sampled_cross_entropy(logits, log_variance, target, noise), average)
    assert (average >= -p.mean(0).log() - 1e-12).all()


def test_without_variance_both_are_cross_entropy(generator):
    logits, target = predictions(generator)
    noise = torch.randn(5, *logits.shape, generator=generator, dtype=F64)
    sure = torch.full((2, 1, 3, 4), -60.0, dtype=F64)
    for loss in (sampled_softmax, sampled_cross_entropy):
        torch.testing.assert_close(loss(logits, sure, target, noise), F.cross_entropy(logits, target, reduction="none"))


def test_a_wrong_label_raises_the_variance_and_a_right_one_lowers_it(generator):
    """Only with the mean inside the logarithm; the mean of cross-entropies teaches certainty for both."""
    logits = torch.tensor([[4.0, 0, 0]], dtype=F64).expand(2, 3)
    target = torch.tensor([0, 1])
    noise = torch.randn(4000, 2, 3, generator=generator, dtype=F64)
    s = torch.zeros(2, 1, dtype=F64, requires_grad=True)
    right, wrong = torch.autograd.grad(sampled_softmax(logits, s, target, noise).sum(), s)[0].flatten()
    assert right > 0
    assert wrong < 0
    assert (torch.autograd.grad(sampled_cross_entropy(logits, s, target, noise).sum(), s)[0] > 0).all()


# ---- pointer

def test_pointer_is_the_mass_on_references_of_the_same_class(generator):
    query = torch.randn(2, 5, 8, generator=generator, dtype=F64)
    reference = torch.randn(2, 12, 8, generator=generator, dtype=F64)
    target, classes = torch.randint(4, (2, 5), generator=generator), torch.randint(4, (2, 12), generator=generator)
    value, possible = pointer(query, reference, target, classes, 0.5)
    A = torch.softmax(query @ reference.mT / 0.5, -1)
    predicted = A @ F.one_hot(classes, 4).to(F64)  # the copied colours
    share = predicted.gather(-1, target[..., None])[..., 0]
    assert torch.equal(possible, share > 0)
    torch.testing.assert_close(value, torch.where(possible, -share.log(), 0))


def test_a_pointer_to_the_right_place_costs_nothing_and_names_of_classes_do_not_matter(generator):
    reference = 10 * torch.eye(6, dtype=F64)[None]
    query, classes = reference[:, [2, 4]], torch.tensor([[0, 1, 2, 0, 1, 2]])
    right, wrong = (pointer(query, reference, torch.tensor([t]), classes)[0] for t in ([2, 1], [0, 0]))
    assert right.max() < 1e-12
    assert wrong.min() > 50
    torch.testing.assert_close(pointer(query, reference, torch.tensor([[7, 6]]), classes + 5)[0], right)


def test_shuffled_references_change_nothing_and_a_low_temperature_sharpens(generator):
    query, reference = torch.randn(1, 4, 3, generator=generator), torch.randn(1, 9, 3, generator=generator)
    classes, target = torch.arange(9)[None] % 3, torch.tensor([[0, 1, 2, 0]])
    order = torch.randperm(9, generator=generator)
    once, again = (pointer(query, reference[:, o], target, classes[:, o])[0] for o in (torch.arange(9), order))
    torch.testing.assert_close(once, again)
    best = (query @ reference.mT).argmax(-1)
    sharp, _ = pointer(query, reference, classes.gather(1, best), classes, 1e-3)
    assert sharp.max() < 0.1


def test_a_class_that_no_reference_has_is_marked_and_has_no_gradient(generator):
    query = torch.randn(1, 2, 3, generator=generator, requires_grad=True)
    reference = torch.randn(1, 4, 3, generator=generator)
    value, possible = pointer(query, reference, torch.tensor([[9, 0]]), torch.zeros(1, 4, dtype=torch.long))
    value.sum().backward()
    assert possible.tolist() == [[False, True]]
    assert value.tolist() == [[0, 0]]
    assert torch.equal(query.grad, torch.zeros(1, 2, 3))


def test_gradcheck(generator):
    logits, target = predictions(generator)
    logits, target = logits[:1, :4, :1].clone().requires_grad_(), target[:1, :1] % 4
    s = torch.randn(1, 1, 1, 4, generator=generator, dtype=F64).requires_grad_()
    noise = torch.randn(3, *logits.shape, generator=generator, dtype=F64)
    assert torch.autograd.gradcheck(lambda x: information_gain(x, target), (logits,))
    for loss in (sampled_softmax, sampled_cross_entropy):
        assert torch.autograd.gradcheck(lambda x, v, f=loss: f(x, v, target, noise), (logits, s))
    query, reference = (torch.randn(1, n, 3, generator=generator, dtype=F64).requires_grad_() for n in (2, 5))
    classes = torch.tensor([[0, 1, 0, 1, 1]])
    assert torch.autograd.gradcheck(lambda x, y: pointer(x, y, classes[:, :2], classes)[0], (query, reference))
