"""Each weight is the slope of its cost over the residual."""

import pytest
import torch

from epipole.geometry.robust import cauchy, geman_mcclure, huber, tukey

SCALE = 0.7
COSTS = {
    huber: lambda r: torch.where(r.abs() < SCALE, r**2 / 2, SCALE * (r.abs() - SCALE / 2)),
    cauchy: lambda r: SCALE**2 / 2 * (1 + (r / SCALE) ** 2).log(),
    tukey: lambda r: SCALE**2 / 6 * (1 - (1 - (r / SCALE) ** 2).clamp(min=0) ** 3),
    geman_mcclure: lambda r: r**2 / 2 / (1 + (r / SCALE) ** 2),
}


@pytest.mark.parametrize("weight", COSTS)
def test_weight_is_slope_over_residual(weight):
    r = torch.linspace(-3, 3, 60, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(COSTS[weight](r).sum(), r)[0]
    torch.testing.assert_close(weight(r.detach(), SCALE) * r.detach(), slope)


@pytest.mark.parametrize("weight", COSTS)
def test_nothing_counts_more_than_what_is_right(weight):
    w = weight(torch.linspace(0, 100, 500), SCALE)
    assert w[0] == 1
    assert (w.diff() <= 0).all()
    assert w[-1] < 0.01
    assert (w >= 0).all()
