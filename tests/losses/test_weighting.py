"""Learned uncertainty."""

import math

import pytest
import torch
import torch.nn.functional as F

from epipole.losses.weighting import categorical, gaussian, laplace

F64 = torch.float64


def draws(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(50, generator=generator, dtype=F64) for _ in range(2))


def test_gaussian_and_laplace_are_negative_log_likelihoods_up_to_a_constant(generator):
    error, s = draws(generator)
    normal = torch.distributions.Normal(torch.zeros_like(error), (s / 2).exp())
    torch.testing.assert_close(gaussian(error.square(), s) + 0.5 * math.log(2 * math.pi), -normal.log_prob(error))
    double = torch.distributions.Laplace(torch.zeros_like(error), s.exp())
    torch.testing.assert_close(laplace(error.abs(), s) + math.log(2), -double.log_prob(error))


def test_gaussian_is_torchs_where_torchs_is_not_clamped(generator):
    error, s = draws(generator)
    theirs = F.gaussian_nll_loss(error, torch.zeros_like(error), s.exp(), reduction="none")
    torch.testing.assert_close(gaussian(error.square(), s), theirs)


@pytest.mark.parametrize("loss", [gaussian, laplace])
@pytest.mark.parametrize("size", [4.0, 0.01])
def test_learned_uncertainty_settles_at_the_logarithm_of_the_error(loss, size):
    s = torch.zeros((), dtype=F64, requires_grad=True)
    optimiser = torch.optim.LBFGS([s], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss(torch.tensor(size, dtype=F64), s)
        value.backward()
        return value

    optimiser.step(closure)
    assert s.item() == pytest.approx(math.log(size), abs=1e-4)


def test_categorical_settles_where_its_weight_times_the_cross_entropy_is_a_half():
    s = torch.linspace(-5, 5, 10001, dtype=F64)
    best = s[categorical(torch.full_like(s, 0.7), s).argmin()]
    assert float(best) == pytest.approx(math.log(2 * 0.7), abs=1e-3)


def test_categorical_of_a_variance_of_one_is_the_cross_entropy(generator):
    plain = torch.rand(20, generator=generator, dtype=F64)
    torch.testing.assert_close(categorical(plain, torch.zeros(1, dtype=F64)), plain)


def test_categorical_follows_the_cross_entropy_of_tempered_logits(generator):
    logits = torch.randn(500, 4, generator=generator, dtype=F64)
    target = torch.randint(4, (500,), generator=generator)
    plain = F.cross_entropy(logits, target, reduction="none")
    for s in torch.tensor([[-0.3], [-0.1], [0.1], [0.3]], dtype=F64):
        tempered = F.cross_entropy(logits * (-s).exp(), target, reduction="none")
        together = torch.stack([categorical(plain, s) - plain, tempered - plain])
        assert torch.corrcoef(together)[0, 1] > 0.9


def test_a_sure_network_pays_more_for_the_same_error_and_learns_more_from_it():
    sure, unsure = torch.tensor([-2.0, 2.0], dtype=F64)
    for loss in (gaussian, laplace):
        error = torch.tensor(3.0, dtype=F64, requires_grad=True)
        slopes = [torch.autograd.grad(loss(error, s), error)[0] for s in (sure, unsure)]
        assert float(slopes[0] / slopes[1]) == pytest.approx(math.exp(4))
        assert loss(error, sure) > loss(error, unsure)


def test_changing_the_unit_of_a_task_changes_no_gradient_of_the_network():
    """With s at its optimum the gradient is that of log error, whatever the unit."""
    for loss, power in ((gaussian, 2), (laplace, 1)):
        slopes = []
        for unit in (1.0, 1000.0):
            x = torch.tensor(0.3, dtype=F64, requires_grad=True)
            error = (unit * x) ** power
            slopes.append(torch.autograd.grad(loss(error, error.detach().log()), x)[0])
        torch.testing.assert_close(slopes[0], slopes[1])


def test_one_uncertainty_weighs_a_whole_map(generator):
    error, _ = draws(generator)
    s = torch.tensor([0.5], dtype=F64)
    torch.testing.assert_close(laplace(error.abs(), s), laplace(error.abs(), s.expand(50)))


def test_no_error_is_finite_with_finite_gradients():
    for loss in (gaussian, laplace, categorical):
        error, s = torch.zeros(3, requires_grad=True), torch.tensor([-10.0, 0, 10], requires_grad=True)
        loss(error, s).sum().backward()
        assert torch.isfinite(error.grad).all()
        assert torch.isfinite(s.grad).all()


def test_gradcheck(generator):
    error, s = (x[:5].requires_grad_() for x in draws(generator))
    for loss in (gaussian, laplace, categorical):
        assert torch.autograd.gradcheck(lambda e, v, f=loss: f(e.square(), v), (error, s))
