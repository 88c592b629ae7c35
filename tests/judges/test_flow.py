"""Flow scores against a naive twin and cases known by hand."""

import itertools
import math

import numpy as np
import pytest

from epipole.judges.flow import FlowFrame, FlowProtocol, angular_error, judge_flow
from epipole.types.errors import InputError


def uniform(u: float, v: float, size=(4, 5)) -> np.ndarray:
    return np.stack([np.full(size, float(u)), np.full(size, float(v))])


def everywhere(size=(4, 5)) -> np.ndarray:
    return np.ones(size, bool)


def values(frames, *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_flow(frames, *arguments)}


def random_frames() -> list[FlowFrame]:
    r = np.random.default_rng(0)
    frames = []
    for h, w in ((6, 7), (3, 9), (5, 5)):
        truth = r.normal(0, 30, (2, h, w))
        frames.append(FlowFrame(truth + r.normal(0, 4, (2, h, w)), truth, r.random((h, w)) < 0.7,
                                r.random((h, w)) < 0.4))
    return frames


def naive(frames) -> dict[str, list[list[float]]]:
    """Errors by name, a list for every image."""
    found: dict[str, list[list[float]]] = {}
    for n, (p, g, valid, occluded) in enumerate(frames):
        for y, x in itertools.product(*map(range, valid.shape)):
            if not valid[y, x]:
                continue
            a, b, u, v = *p[:, y, x], *g[:, y, x]
            error, length = math.hypot(a - u, b - v), math.hypot(u, v)
            cos = (a * u + b * v + 1) / math.sqrt((a * a + b * b + 1) * (u * u + v * v + 1))
            outlier = 100.0 * (error > 3 and error > 0.05 * length)
            where = "occluded" if occluded[y, x] else "seen"
            speed = "0-10" if length < 10 else "10-40" if length < 40 else "40+"
            for name, value in (("aee", error), ("aae", math.degrees(math.acos(cos))), ("fl_all", outlier),
                                (f"aee_{where}", error), (f"fl_{where}", outlier), (f"aee_s{speed}", error)):
                found.setdefault(name, [[] for _ in frames])[n].append(value)
    return found


def test_every_number_equals_its_naive_twin():
    expected = naive(random_frames())
    pooled, images = values(random_frames()), values(random_frames(), FlowProtocol("images"))
    assert set(pooled) == set(expected)
    for name, errors in expected.items():
        assert pooled[name] == pytest.approx(np.mean(np.concatenate(errors))), name
        assert images[name] == pytest.approx(np.mean([np.mean(e) for e in errors if e])), name


def test_the_truth_itself_scores_perfectly():
    frame = FlowFrame(uniform(3, 4), uniform(3, 4), everywhere())
    scores = judge_flow([frame])
    assert {s.name: s.value for s in scores} == {"aee": 0, "aae": 0, "fl_all": 0, "aee_s0-10": 0}
    assert {s.name: s.unit for s in scores} == {"aee": "px", "aae": "deg", "fl_all": "%", "aee_s0-10": "px"}


def test_no_flow_stands_beside():
    frame = FlowFrame(uniform(9, 9), uniform(3, 4), everywhere())
    beside = {s.name: s.baselines["no flow"] for s in judge_flow([frame])}
    assert beside["aee"] == pytest.approx(5)
    assert beside["fl_all"] == 100
    assert beside["aae"] == pytest.approx(math.degrees(math.atan(5)))


@pytest.mark.parametrize(("length", "error", "outlier"), [
    (10, 3.1, True), (10, 3.0, False), (100, 4.0, False), (100, 5.1, True), (0, 2.0, False)])
def test_outliers_exceed_three_pixels_and_five_per_cent(length, error, outlier):
    frame = FlowFrame(uniform(length + error, 0), uniform(length, 0), everywhere())
    assert values([frame])["fl_all"] == 100 * outlier


@pytest.mark.parametrize(("speed", "name"), [(0, "0-10"), (9.9, "0-10"), (10, "10-40"), (40, "40+")])
def test_every_speed_has_one_class(speed, name):
    frame = FlowFrame(uniform(speed, 1), uniform(speed, 0), everywhere())
    assert {n for n in values([frame]) if n.startswith("aee_")} == {f"aee_s{name}"}


def test_small_angles_are_not_lost_to_rounding():
    a, b = np.array([[1e-9], [0.0]]), np.zeros((2, 1))
    assert angular_error(a, b)[0] == pytest.approx(math.degrees(1e-9))


def test_only_known_pixels_count_and_unknown_ones_may_be_anything():
    frame = FlowFrame(uniform(1, 0), uniform(0, 0), everywhere())
    frame.valid[0] = False
    frame.prediction[:, 0], frame.truth[:, 0] = np.nan, np.inf
    assert values([frame])["aee"] == 1


def test_what_cannot_be_judged_is_refused_in_words():
    good = FlowFrame(uniform(1, 0), uniform(0, 0), everywhere())
    broken = good._replace(prediction=uniform(np.nan, 0))
    for frames, why in (([], "no pixel"), ([good._replace(valid=~everywhere())], "no pixel"), ([broken], "20 values"),
                        ([good._replace(truth=uniform(np.inf, 0))], "true flow"),
                        ([good._replace(prediction=uniform(1, 0, (2, 3)))], "2x2x3")):
        with pytest.raises(InputError, match=why):
            judge_flow(frames)


def test_frames_are_read_one_at_a_time():
    alive = []

    def stream():
        for _ in range(4):
            alive.append(1)
            assert len(alive) == 1
            yield FlowFrame(uniform(1, 0), uniform(0, 0), everywhere())
            alive.pop()

    assert "4 pairs" in judge_flow(stream())[0].protocol
