"""Disparity scores against a naive twin and cases known by hand."""

import numpy as np
import pytest

from epipole.judges.disparity import DisparityFrame, DisparityProtocol, judge_disparity
from epipole.types.errors import InputError


def values(frames, *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_disparity(frames, *arguments)}


def flat(prediction: float, truth: float, size=(3, 4)) -> DisparityFrame:
    return DisparityFrame(np.full(size, float(prediction)), np.full(size, float(truth)), np.ones(size, bool))


def random_frames() -> list[DisparityFrame]:
    r = np.random.default_rng(0)
    frames = []
    for size in ((6, 7), (3, 9), (5, 5)):
        truth = r.uniform(1, 120, size)
        frames.append(DisparityFrame(truth + r.normal(0, 4, size), truth, r.random(size) < 0.7, r.random(size) < 0.4))
    return frames


@pytest.mark.parametrize("average", ["pixels", "images"])
def test_every_number_equals_its_naive_twin(average):
    expected: dict[str, list[list[float]]] = {}
    for n, (p, g, valid, occluded) in enumerate(random_frames()):
        for a, b, known, hidden in zip(p.flat, g.flat, valid.flat, occluded.flat, strict=True):
            if known:
                e = abs(a - b)
                errors = {"epe": e, "d1": 100.0 * (e > 3 and e / b > 0.05),
                          **{f"bad_{k}": 100.0 * (e > float(k)) for k in ("0.5", "1", "2", "3", "4")}}
                errors |= {} if hidden else {f"{name}_seen": value for name, value in errors.items()}
                for name, value in errors.items():
                    expected.setdefault(name, [[], [], []])[n].append(value)
    found = values(random_frames(), DisparityProtocol(average))
    assert set(found) == set(expected)
    for name, errors in expected.items():
        mean = np.mean(np.concatenate(errors)) if average == "pixels" else np.mean([np.mean(e) for e in errors])
        assert found[name] == pytest.approx(mean), name


def test_four_pixels_are_an_outlier_near_and_not_far():
    assert values([flat(104, 100)])["d1"] == 0  # 4 %
    assert values([flat(14, 10)])["d1"] == 100
    assert values([flat(13, 10)])["d1"] == 0  # 3 px are not more than 3 px
    assert values([flat(104, 100)])["bad_3"] == 100
    assert values([flat(104, 100)])["bad_4"] == 0


def test_one_constant_disparity_stands_beside():
    truth = np.array([[10.0, 20.0, 60.0]])
    scores = judge_disparity([DisparityFrame(truth, truth, np.ones_like(truth, bool))])
    assert scores[0].value == 0
    assert scores[0].baselines == {"constant disparity": pytest.approx(50 / 3)}
    assert {s.unit for s in scores[1:]} == {"%"}


def test_unknown_disparity_does_not_count():
    frame = flat(12, 10)
    frame.valid[0] = False
    frame.prediction[0] = np.nan
    assert values([frame, frame._replace(valid=np.zeros_like(frame.valid))])["epe"] == 2


def test_what_cannot_be_judged_is_refused_in_words():
    for frames, why in (([], "no pixel"), ([flat(np.nan, 1)], "12 values of the predicted"),
                        ([flat(1, np.nan)], "true disparity"),
                        ([flat(1, 1)._replace(prediction=np.ones((2, 2)))], "2x2 and the true one 3x4")):
        with pytest.raises(InputError, match=why):
            judge_disparity(frames)
