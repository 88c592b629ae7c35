"""Depth scores against hand-made cases and a naive twin."""

import math
import statistics

import cv2
import numpy as np
import pytest

from epipole.judges.depth import CROPS, DepthFrame, DepthProtocol, judge_depth, look_up, mean_depth
from epipole.types.errors import InputError


def dense(prediction, truth) -> DepthFrame:
    height, width = truth.shape
    y, x = np.nonzero(truth > 0)
    return DepthFrame(prediction, np.stack([x, y], 1).astype(float), truth[y, x].astype(np.float64), width, height)


def values(frames, *arguments, **options) -> dict[str, float]:
    return {s.name: s.value for s in judge_depth(frames, *arguments, **options)}


@pytest.fixture
def truth() -> np.ndarray:
    depth = np.random.default_rng(0).uniform(1, 9, (30, 40))
    depth[:3, :5] = 0  # unknown
    return depth


def test_the_truth_itself_scores_perfectly(truth):
    scores = values([dense(np.maximum(truth, 1), truth)], DepthProtocol("none"))
    for name in ("abs_rel", "sq_rel", "rmse", "rmse_log"):
        assert scores[name] == pytest.approx(0, abs=1e-12)
    for name in ("delta_1", "delta_2", "delta_3"):
        assert scores[name] == 1


def test_median_scaling_forgives_one_factor_an_image(truth):
    frames = [dense(k * np.maximum(truth, 1), truth) for k in (0.1, 0.2, 0.3)]
    scores = values(frames)
    assert scores["abs_rel"] == pytest.approx(0, abs=1e-12)
    ratios = np.array([10, 5, 10 / 3])
    assert scores["scale_spread"] == pytest.approx(ratios.std() / ratios.mean())


def test_a_median_between_two_surfaces_moves_the_scale_by_medians_but_not_by_ratios():
    """Half of the picture lies at 1 m, half at 2 m, and a few pixels at the edge are taken for the wrong half."""
    frames = []
    for wrong in (3, -3):
        truth = np.where(np.arange(100) < 50, 1.0, 2.0)[None].repeat(20, 0)
        frames.append(dense(np.where(np.arange(100) < 50 + wrong, 1.0, 2.0)[None].repeat(20, 0), truth))
    by_medians, by_ratios = (values(frames, DepthProtocol(scaling)) for scaling in ("median", "ratio"))
    assert by_medians["scale_spread"] > 0.1
    assert by_ratios["scale_spread"] == 0
    assert by_ratios["abs_rel"] < by_medians["abs_rel"]


def test_global_scaling_forgives_one_factor_for_all(truth):
    p = np.maximum(truth, 1)
    assert values([dense(3 * p, truth)] * 3, DepthProtocol("global"))["abs_rel"] == pytest.approx(0, abs=1e-12)
    drifting = values([dense(k * p, truth) for k in (2, 3, 4)], DepthProtocol("global"))
    assert drifting["abs_rel"] == pytest.approx((1 / 3 + 0 + 1 / 3) / 3)


def test_no_scaling_forgives_nothing(truth):
    scores = judge_depth([dense(1.1 * np.maximum(truth, 1), truth)], DepthProtocol("none"))
    assert scores[0].name == "abs_rel"
    assert scores[0].value == pytest.approx(0.1)
    assert scores[0].baselines == {}  # a constant has no scale of its own


def test_every_number_equals_its_formula(truth):
    generator = np.random.default_rng(1)
    p = np.maximum(truth, 1) * np.exp(generator.normal(0, 0.4, truth.shape))
    seen = [(float(g), float(q)) for g, q in zip(truth.ravel(), p.ravel(), strict=True) if g > 0]
    scale = np.median([g for g, _ in seen]) / np.median([q for _, q in seen])
    seen = [(g, q * scale) for g, q in seen]
    n = len(seen)
    expected = {
        "abs_rel": sum(abs(g - q) / g for g, q in seen) / n,
        "sq_rel": sum((g - q) ** 2 / g for g, q in seen) / n,
        "rmse": math.sqrt(sum((g - q) ** 2 for g, q in seen) / n),
        "rmse_log": math.sqrt(sum((math.log(g) - math.log(q)) ** 2 for g, q in seen) / n),
        "log10": sum(abs(math.log10(g) - math.log10(q)) for g, q in seen) / n,
        "silog": statistics.pstdev(math.log(q / g) for g, q in seen),
        **{f"delta_{k}": sum(max(g / q, q / g) < 1.25**k for g, q in seen) / n for k in (1, 2, 3)},
    }
    scores = values([dense(p, truth)])
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=1e-9), name


def test_images_are_averaged_not_pixels():
    small, large = np.full((2, 5), 4.0), np.full((10, 10), 4.0)
    frames = [dense(2 * small, small), dense(large, large)]  # the small one is wrong by 100 %
    assert values(frames, DepthProtocol("none"))["abs_rel"] == pytest.approx(0.5)  # pooled it would be 10 / 110


def test_pooled_pixels_are_averaged_not_images():
    small, large = np.full((2, 5), 4.0), np.full((10, 10), 4.0)
    frames = [dense(2 * small, small), dense(large, large)]
    scores = values(frames, DepthProtocol("none", average="pixels"))
    assert scores["abs_rel"] == pytest.approx(10 / 110)
    assert scores["rmse"] == pytest.approx(math.sqrt(10 * 16 / 110))
    assert scores["silog"] == pytest.approx(np.std([math.log(2)] * 10 + [0.0] * 100))


def test_one_bad_image_of_ten_pulls_both_means_differently():
    good, bad = np.full((4, 5), 5.0), np.full((20, 20), 5.0)
    frames = [dense(good, good)] * 9 + [dense(3 * bad, bad)]
    assert values(frames, DepthProtocol("none"))["abs_rel"] == pytest.approx(2 / 10)
    assert values(frames, DepthProtocol("none", average="pixels"))["abs_rel"] == pytest.approx(2 * 400 / 580)


@pytest.mark.parametrize("scaling", ["none", "median", "ratio", "global", "least_squares", "affine", "affine_inverse"])
def test_each_scaling_forgives_what_it_names_and_no_more(truth, scaling):
    true = np.maximum(truth, 1)
    spoilt = {"nothing": true, "scale": 3 * true, "shift": 2 * true + 1, "inverse": 1 / (0.5 / true + 0.2)}
    forgiven = {"none": {"nothing"}, "affine": {"nothing", "scale", "shift"},
                "affine_inverse": {"nothing", "scale", "inverse"}}.get(scaling, {"nothing", "scale"})
    for name, prediction in spoilt.items():
        error = values([dense(prediction, truth)], DepthProtocol(scaling))["abs_rel"]
        assert (error < 1e-9) == (name in forgiven), name


def test_least_squares_scale_is_polyfits(truth):
    p = np.maximum(truth, 1) * np.exp(np.random.default_rng(1).normal(0, 0.4, truth.shape))
    known = truth > 0
    s = np.linalg.lstsq(p[known][:, None], truth[known], rcond=None)[0]
    line = np.polyfit(p[known], truth[known], 1)
    for scaling, scaled in (("least_squares", s * p), ("affine", np.polyval(line, p))):
        expected = math.sqrt(np.mean((np.clip(scaled, 1e-3, None) - truth)[known] ** 2))
        assert values([dense(p, truth)], DepthProtocol(scaling))["rmse"] == pytest.approx(expected), scaling


def test_negative_inverse_depth_after_a_shift_is_a_far_point_and_finite():
    truth = np.array([[1.0, 2.0, 40.0, 50.0]])
    prediction = np.array([[1.0, 1.2, 9.0, 1e5]])
    s, t = np.polyfit(1 / prediction[0], 1 / truth[0], 1)
    inverse = s / prediction + t
    assert inverse[0, 3] < 0
    inverse[0, 3] = 1 / 80  # as far as the cap allows
    scores = values([dense(prediction, truth)], DepthProtocol("affine_inverse", cap=80.0))
    assert scores["abs_rel"] == pytest.approx(np.mean(np.abs(np.clip(1 / inverse, 0, 80) - truth) / truth))


def test_a_training_sets_means_stand_beside(truth):
    slope = np.broadcast_to(np.linspace(2, 8, 64)[:, None], (64, 48)).copy()
    train = mean_depth([dense(slope, slope), dense(slope, 3 * slope)])
    assert train.mean == pytest.approx(2 * slope.mean())
    np.testing.assert_allclose(train.rows, 2 * slope[:, 0])
    plain = judge_depth([dense(slope, slope)], DepthProtocol("none"), train=train)[0].baselines
    assert plain == {"train-set mean": pytest.approx(np.mean(np.abs(2 * slope.mean() - slope) / slope)),
                     "mean per row": pytest.approx(1)}
    scaled = judge_depth([dense(slope, slope)] * 2, DepthProtocol("global"), train=train)[0].baselines
    assert scaled["mean per row"] == pytest.approx(0, abs=1e-12)
    assert scaled["constant depth"] == pytest.approx(np.mean(np.abs(np.median(slope) - slope) / slope))


def test_rows_that_no_truth_knows_are_filled_from_their_neighbours():
    truth = np.zeros((64, 4))
    truth[10], truth[20] = 2.0, 4.0
    rows = mean_depth([dense(np.ones_like(truth), truth)]).rows
    np.testing.assert_allclose(rows[[0, 10, 15, 20, 63]], [2, 2, 3, 4, 4])
    with pytest.raises(InputError):
        mean_depth([dense(truth, np.zeros_like(truth))])


def test_constant_depth_is_judged_beside(truth):
    score = judge_depth([dense(np.maximum(truth, 1), truth)])[0]
    known = truth[truth > 0]
    expected = np.mean(np.abs(np.median(known) - known) / known)
    assert score.baselines == {"constant depth": pytest.approx(expected)}


def test_higher_is_better_for_shares_alone(truth):
    scores = judge_depth([dense(np.maximum(truth, 1), truth)] * 2)
    assert {s.name for s in scores if s.better == "higher"} == {"delta_1", "delta_2", "delta_3"}
    assert {s.name: s.unit for s in scores if s.unit} == {"sq_rel": "m", "rmse": "m"}


def test_smaller_predictions_are_read_as_opencv_resizes_inverse_depth(truth):
    prediction = np.random.default_rng(2).uniform(1, 9, (15, 10))
    resized = 1 / cv2.resize(1 / prediction, (40, 30), interpolation=cv2.INTER_LINEAR)
    frame = dense(prediction, truth)
    x, y = frame.pixels.astype(int).T
    np.testing.assert_allclose(look_up(frame), resized[y, x], rtol=1e-6)


def test_sparse_truth_is_looked_up_between_pixels():
    prediction = 1 / np.array([[1.0, 2.0], [3.0, 4.0]])
    frame = DepthFrame(prediction, np.array([[0.5, 0.5], [0.25, 0.0], [1.0, 1.0]]), np.ones(3), 2, 2)
    np.testing.assert_allclose(1 / look_up(frame), [2.5, 1.25, 4.0])


@pytest.mark.parametrize(("size", "rows", "columns"), [
    ((375, 1242), (153, 371), (44, 1197)), ((370, 1224), (151, 366), (43, 1180)),
    ((370, 1226), (151, 366), (44, 1181)), ((376, 1241), (153, 372), (44, 1196))])
def test_gargs_crop_cuts_the_published_rows_and_columns(size, rows, columns):
    truth = np.full(size, 10.0)
    wrong = np.full(size, 20.0)
    wrong[slice(*rows), slice(*columns)] = 10.0  # wrong everywhere but inside the crop
    assert values([dense(wrong, truth)], DepthProtocol("none", crop="garg"))["abs_rel"] == pytest.approx(0)
    wrong[rows[1] - 1, columns[1] - 1] = 20.0
    assert values([dense(wrong, truth)], DepthProtocol("none", crop="garg"))["abs_rel"] > 0


def test_eigens_rows():
    assert [int(share * size) for share, size in zip(CROPS["nyu"], (480, 480, 640, 640), strict=True)] == [
        45, 471, 41, 601]
    assert int(CROPS["eigen"][0] * 370) == 122
    assert int(CROPS["eigen"][1] * 370) == 337


def test_the_cap_leaves_out_far_truth_and_lowers_far_predictions():
    truth = np.array([[10.0, 20.0, 100.0, 30.0]])
    prediction = np.array([[10.0, 500.0, 7.0, 30.0]])
    scores = values([dense(prediction, truth)], DepthProtocol("none", cap=40.0))
    assert scores["abs_rel"] == pytest.approx((40 - 20) / 20 / 3)


def test_truth_at_a_border_of_the_range_does_not_count():
    truth = np.array([[1.0, 2.0, 40.0, np.nextafter(40.0, 0), np.nextafter(1.0, 2)]])
    scores = judge_depth([dense(np.ones_like(truth), truth)], DepthProtocol("none", near=1.0, cap=40.0))
    abs_rel = next(s.value for s in scores if s.name == "abs_rel")
    assert abs_rel == pytest.approx((0.5 + 39 / 40 + 0) / 3)


def test_images_without_known_depth_are_left_out(truth):
    p = np.maximum(truth, 1)
    nothing = dense(p, np.zeros_like(truth))
    assert values([dense(1.2 * p, truth), nothing], DepthProtocol("none"))["abs_rel"] == pytest.approx(0.2)
    with pytest.raises(InputError):
        judge_depth([nothing])


def test_depth_that_is_no_number_is_refused(truth):
    broken = np.maximum(truth, 1)
    broken[5, 5] = np.nan
    with pytest.raises(InputError):
        judge_depth([dense(broken, truth)])


def test_frames_are_read_one_at_a_time(truth):
    alive = []

    def stream():
        for _ in range(4):
            alive.append(1)
            assert len(alive) == 1
            yield dense(np.maximum(truth, 1), truth)
            alive.pop()

    assert values(stream())["abs_rel"] == pytest.approx(0, abs=1e-12)
