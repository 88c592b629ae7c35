"""The run's own judgement: true depth beats a constant one, and what went wrong is said."""

import numpy as np
import pytest
import torch

from epipole.judges.score import Score
from epipole.recipes.learn_video.predict import Predicted
from epipole.recipes.learn_video.selfcheck import FLAT, PROTOCOL, check, warnings
from epipole.recipes.learn_video.teach import Lessons

N = 20
EVEN = np.ones(N)


def checked(exact, depth: torch.Tensor, scale: np.ndarray = EVEN) -> tuple[dict[str, Score], list[str]]:
    lessons = Lessons(exact.keys, [exact.store], exact.solution, 0)
    scores, said = check(lambda k: Predicted(depth[k].numpy(), np.zeros_like(depth[k].numpy())), lessons, scale)
    return {score.name: score for score in scores}, said


def test_true_depth_explains_what_is_seen(exact):
    scores, said = checked(exact, exact.depth)
    reprojection, photometric = scores["self_reprojection"], scores["self_photometric"]
    assert reprojection.value < 0.01  # half floats
    assert reprojection.baselines["no motion"] > 5
    assert 0.2 < reprojection.baselines["constant depth"] < reprojection.baselines["no motion"]
    assert photometric.value < 0.5 * photometric.baselines["constant depth"]
    assert said == []


def test_the_same_twice(exact):
    assert checked(exact, exact.depth * 1.05) == checked(exact, exact.depth * 1.05)


def test_collapsed_depth_is_said_and_is_no_better_than_constant(exact):
    flat = torch.full_like(exact.depth, float(exact.depth.median()))
    scores, said = checked(exact, flat)
    for score in scores.values():
        assert score.value == pytest.approx(score.baselines["constant depth"], rel=1e-5)
    assert "collapsed" in said[0]
    assert sum("constant depth" in sentence for sentence in said) == 2


def test_depth_turned_inside_out_is_worse_than_constant(exact):
    scores, said = checked(exact, 1 / exact.depth)
    assert scores["self_reprojection"].value > scores["self_reprojection"].baselines["constant depth"]
    assert not any("collapsed" in sentence for sentence in said)
    assert any("do not trust" in sentence for sentence in said)


@pytest.mark.parametrize(("last", "said"), [(1.05, 0), (1.25, 1), (0.8, 1)])
def test_drift_of_scale_is_said(last, said):
    good = Score("self_reprojection", 0.5, "px", "lower", PROTOCOL, {"constant depth": 2.0})
    found = warnings(0.4, [good], np.linspace(1, last, 50))
    assert len(found) == said
    assert all("%" in sentence for sentence in found)


@pytest.mark.parametrize(("spread", "collapsed"), [(FLAT / 2, True), (2 * FLAT, False)])
def test_collapse_is_a_matter_of_spread(spread, collapsed):
    assert bool(warnings(spread, [], EVEN)) == collapsed


def test_a_score_that_is_no_number_is_said():
    lost = Score("self_reprojection", float("nan"), "px", "lower", PROTOCOL, {"constant depth": 2.0})
    assert "could not be computed" in warnings(0.4, [lost], EVEN)[0]
