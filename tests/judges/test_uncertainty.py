"""Uncertainty that is right by construction scores well; naive twins and torch's likelihoods."""

import re

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.functional import gaussian_nll_loss

from epipole.judges.uncertainty import (
    UncertaintyFrame,
    UncertaintyProtocol,
    ause,
    judge_uncertainty,
    negative_log_likelihood,
    rank_correlation,
    reach,
)
from epipole.types.errors import InputError


def values(frames, *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_uncertainty(frames, *arguments)}


def honest(n: int = 20_000, shape: str = "gaussian", factor: float = 1.0, seed: int = 0) -> UncertaintyFrame:
    """Errors that are distributed as they say, but for the factor."""
    r = np.random.default_rng(seed)
    deviation = r.uniform(0.2, 2, n)
    noise = r.laplace(0, np.sqrt(0.5), n) if shape == "laplace" else r.normal(0, 1, n)
    truth = r.normal(size=n)
    return UncertaintyFrame(truth + noise * deviation, truth, factor * deviation)


@pytest.mark.parametrize("shape", ["gaussian", "laplace"])
def test_honest_deviations_are_calibrated(shape):
    scores = values([honest(shape=shape), honest(shape=shape, seed=1)], UncertaintyProtocol(shape))
    assert scores["ece"] < 0.5
    assert scores["coverage_error_50"] < 1
    assert scores["coverage_error_90"] < 1
    assert scores["nll"] < values([honest(shape=shape, factor=2.0)], UncertaintyProtocol(shape))["nll"]


@pytest.mark.parametrize(("factor", "covered"), [(0.5, 2 * stats.norm.cdf(0.5 * 1.6448536) - 1),
                                                 (2.0, 2 * stats.norm.cdf(2 * 1.6448536) - 1)])
def test_wrong_deviations_are_seen_by_coverage_and_not_by_ranking(factor, covered):
    right, wrong = (judge_uncertainty([honest(factor=f)]) for f in (1.0, factor))
    a, b = ({s.name: s for s in scores} for scores in (right, wrong))
    assert b["coverage_error_90"].value == pytest.approx(abs(100 * covered - 90), abs=1)
    told = re.search(r"([\d.]+) % covered", b["coverage_error_90"].protocol)
    assert float(told.group(1)) == pytest.approx(100 * covered, abs=1)
    assert b["ece"].value > 10
    for name in ("ause", "error_correlation"):
        assert b[name].value == pytest.approx(a[name].value)


def naive_ause(error, deviation) -> float:
    curves = []
    for order in (np.argsort(-deviation, kind="stable"), np.argsort(-error, kind="stable")):
        e = list(error[order])
        curves.append([np.mean(e[i:]) for i in range(len(e))])
    return float(np.mean(np.subtract(*curves)) / np.mean(error))


def test_ause_equals_its_naive_twin():
    r = np.random.default_rng(0)
    error, deviation = np.abs(r.normal(size=50)), r.uniform(1, 2, 50)
    assert ause(error, deviation) == pytest.approx(naive_ause(error, deviation))
    assert ause(error, error + 1) == pytest.approx(0, abs=1e-12)
    assert ause(np.zeros(5), deviation[:5]) == 0


def test_equal_deviations_are_worth_as_much_as_random_order():
    r = np.random.default_rng(0)
    error, same = np.abs(r.normal(size=200)), np.ones(200)
    shuffled = np.mean([naive_ause(error[r.permutation(200)], same) for _ in range(200)])
    assert ause(error, same) == pytest.approx(shuffled, rel=0.02)
    assert ause(np.sort(error), same) == pytest.approx(ause(error, same))


def test_one_constant_uncertainty_stands_beside():
    beside = {s.name: s.baselines["constant uncertainty"] for s in judge_uncertainty([honest()])}
    own = values([honest()])
    assert own["ause"] < 0.7 * beside["ause"]
    assert own["nll"] < beside["nll"]
    assert (own["error_correlation"] > 0.3, beside["error_correlation"]) == (True, 0)


def test_correlation_of_ranks_is_scipys():
    r = np.random.default_rng(0)
    a, b = r.integers(0, 9, 60).astype(float), r.normal(size=60)
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert rank_correlation(np.ones(4), b[:4]) == 0


def test_likelihoods_are_torchs_and_intervals_scipys():
    r = np.random.default_rng(0)
    error, deviation = np.abs(r.normal(size=30)), r.uniform(0.1, 2, 30)
    e, d = torch.from_numpy(error), torch.from_numpy(deviation)
    expected = gaussian_nll_loss(e, torch.zeros_like(e), d**2, full=True)
    assert negative_log_likelihood(error, deviation).mean() == pytest.approx(float(expected))
    laplace = -torch.distributions.Laplace(0.0, d / 2**0.5).log_prob(e)
    np.testing.assert_allclose(negative_log_likelihood(error, deviation, "laplace"), laplace)
    assert reach(0.9) == pytest.approx(1.6448536)
    assert reach(0.9, "laplace") == pytest.approx(stats.laplace.ppf(0.95, scale=np.sqrt(0.5)))


def test_an_exact_prediction_has_numbers():
    exact = UncertaintyFrame(np.ones(4), np.ones(4), np.full(4, 0.5))
    scores = values([exact])
    assert (scores["ause"], scores["error_correlation"], scores["coverage_error_90"]) == (0, 0, pytest.approx(10))


def test_what_cannot_be_judged_is_refused_in_words():
    good = honest(4)
    for frames, why in (([], "no value"), ([UncertaintyFrame(*(x[:0] for x in good))], "no value"),
                        ([good._replace(prediction=np.full(4, np.nan))], "4 values of the predictions"),
                        ([good._replace(deviation=np.array([1.0, 0, -1, 2]))], "2 deviations")):
        with pytest.raises(InputError, match=why):
            judge_uncertainty(frames)
