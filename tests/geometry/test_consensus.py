"""Sampling and testing."""

import math

import pytest
import torch

from epipole.geometry.consensus import FUNDAMENTAL, HOMOGRAPHY, POSE, consensus, draw, samples_needed
from epipole.geometry.epipolar import fundamental, sampson_distance
from epipole.geometry.homogeneous import calibrate
from epipole.geometry.homography import transfer_distance
from epipole.geometry.motion import angle
from epipole.geometry.scores import Lmeds, Magsac, Mlesac, Ransac
from tests.geometry.two_views import F64, two_views, with_outliers

SCORES = {"ransac": Ransac(1.5), "lmeds": Lmeds(), "mlesac": Mlesac(0.5, 640.0), "magsac": Magsac()}
SHARES = [(name, share) for name in SCORES for share in (0.3, 0.5, 0.7) if (name, share) not in
          (("lmeds", 0.5), ("lmeds", 0.7))]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_samples_have_no_repeats_and_every_index_is_as_likely():
    drawn = draw(9, 4, 20000, generator())
    assert drawn.shape == (20000, 4)
    assert (drawn.sort(-1).values.diff(dim=-1) > 0).all()
    counts = drawn.flatten().bincount(minlength=9) / (20000 * 4 / 9)
    assert (counts - 1).abs().max() < 0.05
    assert draw(5, 5, 10, generator()).sort(-1).values.tolist() == [[0, 1, 2, 3, 4]] * 10


def test_samples_needed():
    assert samples_needed(0.5, 7, 0.99) == pytest.approx(587, abs=1)  # the field's table: 4.3 of Hartley & Zisserman
    assert samples_needed(0.8, 4, 0.99) == pytest.approx(9, abs=1)
    assert samples_needed(1.0, 7, 0.99) == 0
    assert samples_needed(0.0, 7, 0.99) == math.inf


@pytest.mark.parametrize(("name", "share"), SHARES)
def test_planted_fundamental_matrix_is_recovered(name, share):
    s = two_views(n=200, seed=3)
    found = consensus(with_outliers(s, share, 0.5), FUNDAMENTAL, SCORES[name], generator(), most=20000)
    error = sampson_distance(found.model, s.first, s.second).abs().median()
    assert error < 0.5
    k = int(share * 200)
    assert found.inliers[k:].double().mean() > 0.8
    assert found.inliers[:k].double().mean() < 0.1  # a wrong match may lie on its line by chance


@pytest.mark.parametrize("name", list(SCORES))
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_planted_homography_is_recovered(name, share):
    if name == "lmeds" and share == 0.7:
        pytest.skip("breaks down above one half")
    s = two_views(n=200, seed=4, flat=True)
    score = Lmeds(4) if name == "lmeds" else SCORES[name]
    found = consensus(with_outliers(s, share, 0.5), HOMOGRAPHY, score, generator())
    assert transfer_distance(found.model, s.first, s.second).max() < 1.0


def test_planted_pose_is_recovered():
    s = two_views(n=100, seed=5)
    seen = calibrate(with_outliers(s, 0.6, 0.5)[:, 2:], s.K)
    found = consensus(torch.cat([s.points, seen], -1), POSE, Ransac(2 / 500), generator())
    exact = torch.cat([s.points, calibrate(s.second, s.K)], -1)
    assert POSE.residual(found.model[None], exact[None]).max() < 1 / 500
    assert angle(found.model[:3, :3].T @ s.T_second_first[:3, :3]) < 5e-3
    assert found.inliers[60:].double().mean() > 0.9


def test_breakdown():
    """Least squares fail at 5 % outliers, the least median of squares above one half, sampling at 70 % does not."""
    s = two_views(n=200, seed=6)

    def error(F):
        return float(sampson_distance(F, s.first, s.second).abs().median())

    few = with_outliers(s, 0.05, 0.5)
    assert error(fundamental(few[:, :2], few[:, 2:], s.weight)) > 1.0
    many = with_outliers(s, 0.7, 0.5)
    assert error(consensus(many, FUNDAMENTAL, Lmeds(), generator()).model) > 2.0
    assert error(consensus(many, FUNDAMENTAL, Ransac(1.5), generator(), most=20000).model) < 0.6


def test_equal_seeds_give_equal_results_and_other_seeds_other_samples():
    data = with_outliers(two_views(n=60), 0.4, 0.5)
    a, b, c = (consensus(data, FUNDAMENTAL, Magsac(), generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(a.model, b.model)
    assert torch.equal(a.inliers, b.inliers)
    assert not torch.equal(a.model, c.model)


def test_order_of_the_data_does_not_matter_beyond_the_samples():
    s = two_views(n=150, seed=7)
    data = with_outliers(s, 0.3, 0.3)
    order = torch.randperm(150, generator=generator())
    for d in (data, data[order]):
        found = consensus(d, FUNDAMENTAL, Magsac(), generator())
        assert sampson_distance(found.model, s.first, s.second).abs().median() < 0.3


def test_float32_data_give_float32_models():
    s = two_views(n=60)
    found = consensus(with_outliers(s, 0.3, 0.1).float(), FUNDAMENTAL, Ransac(), generator())
    assert found.model.dtype == torch.float32
    assert sampson_distance(found.model.double(), s.first, s.second).abs().median() < 0.2


@pytest.mark.parametrize("score", [Ransac(), Lmeds(), Mlesac(), Magsac()])
def test_data_that_show_no_model_are_survived(score):
    coincident = torch.ones(20, 4, dtype=F64)
    line = torch.arange(20, dtype=F64)[:, None] * torch.tensor([1.0, 2, 3, 1])
    noise = 100 * torch.rand(20, 4, generator=generator(), dtype=F64)
    for data in (coincident, line, noise):
        for problem in (FUNDAMENTAL, HOMOGRAPHY):
            found = consensus(data, problem, score, generator(), most=256)
            assert torch.isfinite(found.model).all()
            assert found.inliers.shape == (20,)
    on_a_line = torch.cat([line[:, :1] * torch.ones(3), line[:, 2:]], -1)
    found = consensus(on_a_line, POSE, score, generator(), most=256)  # collinear points have no P3P solution
    assert found.cost == math.inf
    assert not found.inliers.any()


def test_fewer_data_than_needed_are_refused():
    with pytest.raises(ValueError, match="more than 7 data, got 7"):
        consensus(torch.rand(7, 4), FUNDAMENTAL, Ransac(), generator())
