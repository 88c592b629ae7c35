"""Scores of the RANSAC family."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import chi

from epipole.geometry.scores import QUANTILE, Lmeds, Magsac, Mlesac, Ransac

F64 = torch.float64
RESIDUAL = torch.tensor([[0.1, 0.9, 1.1, 40.0, 0.0], [2.0, 3.0, 4.0, 5.0, 6.0]], dtype=F64)


def test_ransac_counts():
    score = Ransac(1.0)
    assert score.cost(RESIDUAL).tolist() == [-3, 0]
    assert score.inliers(RESIDUAL)[0].tolist() == [True, True, False, False, True]
    assert torch.equal(score.weight(RESIDUAL), score.inliers(RESIDUAL).double())


def test_lmeds_is_the_median_of_squares_and_its_scale(generator):
    assert Lmeds().cost(RESIDUAL).tolist() == pytest.approx([0.81, 16])
    r = (2.0 * torch.randn(1, 5001, generator=generator, dtype=F64)).abs()
    share = Lmeds().inliers(r).double().mean()
    assert float(share) == pytest.approx(2 * 0.9938 - 1, abs=0.005)  # of a Gaussian within 2.5 sigma, whatever sigma is


def test_mlesac_finds_the_share_of_inliers_and_its_likelihood(generator):
    score = Mlesac(sigma=0.5, window=100.0)
    inside = 0.5 * torch.randn(700, generator=generator, dtype=F64)
    r = torch.cat([inside.abs(), 100 * torch.rand(300, generator=generator, dtype=F64)])[None]
    gaussian = np.exp(-0.5 * (r[0].numpy() / 0.5) ** 2) / (math.sqrt(2 * math.pi) * 0.5)
    best = minimize_scalar(lambda g: -np.log(g * gaussian + (1 - g) / 100).sum(), bounds=(0, 1), method="bounded")
    assert float(score.cost(r)[0]) == pytest.approx(best.fun, rel=1e-4)
    assert float(score.weight(r).mean()) == pytest.approx(best.x, abs=1e-3)
    assert torch.isfinite(score.cost(torch.full((1, 9), torch.inf, dtype=F64))).all()


def test_quantile():
    assert chi(4).ppf(0.99) == pytest.approx(QUANTILE, abs=1e-4)


@pytest.mark.parametrize("r", [0.3, 1.0, 2.5, 3.6])
def test_magsac_weight_is_the_marginal_likelihood_of_a_radius(r):
    """The density of chi_4, C s^-4 r^3 exp(-r^2 / 2 s^2), cut at its quantile, averaged over s uniform up to the
    largest."""
    def marginal(r):
        return quad(lambda s: (r / s) ** 3 / s * math.exp(-0.5 * (r / s) ** 2), r / QUANTILE, 1.0)[0]

    weight = Magsac(QUANTILE).weight(torch.tensor([r, 1.0], dtype=F64))
    assert marginal(r) / marginal(1.0) == pytest.approx(float(weight[0] / weight[1]), rel=1e-5)


@pytest.mark.parametrize("r", [0.2, 1.0, 4.0, 4.9, 5.0, 80.0])
def test_magsac_cost_is_the_integral_of_its_weight(r):
    """rho(r) = integral of x w(x), scaled to 1 beyond the threshold."""
    score = Magsac(5.0)

    def slope(x):
        return x * float(score.weight(torch.tensor([[x]], dtype=F64)))

    whole = quad(slope, 0, 5)[0]
    cost = float(score.cost(torch.tensor([[r]], dtype=F64)))
    assert cost == pytest.approx(quad(slope, 0, min(r, 5))[0] / whole, rel=1e-6)


@pytest.mark.parametrize("score", [Ransac(), Lmeds(), Mlesac(), Magsac()])
def test_smaller_residuals_never_cost_more_and_never_weigh_less(score, generator):
    r = 10 * torch.rand(50, 40, generator=generator, dtype=F64)
    r[:, ::2] /= 20  # without any inlier five steps of expectation maximisation do not reach the best share
    assert (score.cost(0.8 * r) <= score.cost(r)).all()
    order = r.sort(-1).values
    assert (score.weight(order).diff(dim=-1) <= 1e-12).all()
    assert (score.weight(r)[score.inliers(r)] > 0).all()
    far = torch.full((2, 8), torch.inf, dtype=F64)
    assert not torch.isnan(score.cost(far)).any()
    assert not torch.isnan(score.weight(far)).any()
