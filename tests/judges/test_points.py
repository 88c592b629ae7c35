"""Distances of clouds by hand, and against brute force."""

import itertools

import numpy as np
import pytest

from epipole.judges.points import PointsFrame, PointsProtocol, earth_mover, judge_points
from epipole.types.errors import InputError


def values(frames, *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_points(frames, *arguments)}


def clouds(n: int, m: int, seed: int = 0) -> PointsFrame:
    r = np.random.default_rng(seed)
    return PointsFrame(r.normal(size=(n, 3)), r.normal(size=(m, 3)))


def test_distances_equal_brute_force():
    frames = [clouds(40, 60), clouds(30, 20, 1)]
    rows = []
    for p, g in frames:
        d = np.linalg.norm(p[:, None] - g[None], axis=2)
        there, back = d.min(1), d.min(0)
        precision, recall = (there <= 0.5).mean(), (back <= 0.5).mean()
        rows.append([there.mean() + back.mean(), (there**2).mean() + (back**2).mean(), precision, recall,
                     2 * precision * recall / (precision + recall)])
    scores = values(frames, PointsProtocol(within=0.5))
    assert [scores[n] for n in ("chamfer", "chamfer_squared", "precision", "recall", "f_score")] == pytest.approx(
        np.mean(rows, 0))


def test_earth_mover_tries_every_assignment():
    p, g = clouds(6, 6)
    best = min(np.mean([np.linalg.norm(p[i] - g[j]) for i, j in enumerate(order)])
               for order in itertools.permutations(range(6)))
    assert earth_mover(p, g) == pytest.approx(best)
    assert values([PointsFrame(p, g)])["emd"] == pytest.approx(best)


def test_only_earth_mover_sees_how_often_a_point_is_there():
    a, b = np.zeros((1, 3)), np.ones((1, 3))
    frame = PointsFrame(np.concatenate([a, a, a, b]), np.concatenate([a, b, b, b]))
    scores = values([frame])
    assert scores["chamfer"] == 0
    assert scores["emd"] == pytest.approx(2 * np.sqrt(3) / 4)


def test_order_does_not_matter_and_a_shift_moves_by_its_length():
    p = clouds(50, 1).prediction
    order = np.random.default_rng(1).permutation(50)
    assert values([PointsFrame(p, p[order])]) == pytest.approx(
        {"chamfer": 0, "chamfer_squared": 0, "emd": 0, "precision": 1, "recall": 1, "f_score": 1})
    assert values([PointsFrame(p, p[order] + [1e-3, 0, 0])])["emd"] == pytest.approx(1e-3)


def test_large_clouds_are_drawn_the_same_way_again():
    frame, few = clouds(300, 400), PointsProtocol(moved=100)
    assert values([frame], few) == values([frame], few)
    assert values([frame], few)["emd"] != values([frame], PointsProtocol(moved=100, seed=1))["emd"]
    assert few.key != PointsProtocol(moved=100, seed=1).key


def test_as_many_points_in_the_middle_stand_beside():
    truth = np.array([[-1.0, 0, 0], [1, 0, 0]])
    score = judge_points([PointsFrame(truth, truth)])[0]
    assert (score.name, score.value, score.unit) == ("chamfer", 0, "m")
    assert score.baselines == {"one point": 2}


def test_far_clouds_have_an_f_score_of_nought():
    scores = values([PointsFrame(np.zeros((3, 3)), np.full((3, 3), 9.0))])
    assert (scores["f_score"], scores["precision"], scores["recall"]) == (0, 0, 0)


def test_what_cannot_be_judged_is_refused_in_words():
    p, g = clouds(4, 5)
    broken = p.copy()
    broken[1] = np.inf
    for frames, why in (([], "no cloud"), ([PointsFrame(p[:0], g)], "a predicted cloud"),
                        ([PointsFrame(p, g[:0])], "a true cloud"), ([PointsFrame(broken, g)], "3 values")):
        with pytest.raises(InputError, match=why):
            judge_points(frames)
