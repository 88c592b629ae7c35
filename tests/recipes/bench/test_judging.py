"""Predictions before their judges, against sums done by hand."""

import cv2
import numpy as np
import pytest
import torch

from epipole.judges.depth import DepthFrame, DepthProtocol, judge_depth, mean_depth
from epipole.judges.motion import MotionProtocol, judge_motion
from epipole.methods.depth import ConstantDepth
from epipole.methods.focus import SharpestSlice
from epipole.recipes.bench.baselines import depth_baselines, focus_baselines, motion_baselines, pose_baselines
from epipole.recipes.bench.judging import (
    Looks,
    averaged,
    enlarged,
    judge_depth_maps,
    judge_flows,
    judge_pairs,
    judge_paths,
    judge_poses,
    judge_stacks,
    path_of,
)
from epipole.recipes.samples import Shape, parse_data, samples, sequences
from epipole.sources.pairs import FlowFolder, StereoFolder
from epipole.types.errors import InputError, MissingField
from epipole.types.predictions import Depth, Disparity, Flow, Motion, Pose
from epipole.types.views import Views
from tests.runs import FRAMES, true_path, write_truth
from tests.scene import plane_stack
from tests.sources.test_pair_folders import SHIFT, write_flow, write_stereo


@pytest.fixture
def truth(tmp_path):
    return write_truth(tmp_path / "truth")


def by_name(scores) -> dict[str, float]:
    return {score.name: score.value for score in scores}


def told_the_truth(views: Views) -> Motion:
    T = views.T_world_camera.double()
    return Motion(T_first_camera=torch.linalg.inv(T[:, :1]) @ T)


def in_halves(method):
    """The method on images of half the size."""
    return lambda views: method(Views(image=views.image[..., ::2, ::2]))


def test_baselines_of_depth_score_what_the_judge_says_beside_a_prediction(truth, tmp_path):
    parts = sequences(parse_data(str(truth)), Shape(), tmp_path / "cache")
    train = samples(parse_data(str(truth)), {"depth"}, Shape(frames=1, width=64), tmp_path / "cache")
    frames = [DepthFrame(np.ones((2, 2), np.float32), *known) for known in (parts[0].truth.depth[i] for i in range(12))]
    mean = mean_depth(frames)
    names = {"constant depth": "constant depth", "mean per row": "mean per row"}
    expected = {s.name: s.baselines for s in judge_depth(frames, DepthProtocol("median"), train=mean)}
    expected |= {f"{s.name} [m]": s.baselines for s in judge_depth(frames, DepthProtocol("none"), train=mean)}
    found = {b.name: by_name(judge_depth_maps(b.method, parts, Looks(None, metric=b.metric)))
             for b in depth_baselines(train, Looks(None))}
    assert found.keys() == {"constant depth", "train-set mean", "mean per row"}
    for name in names:
        for score in ("abs_rel", "rmse_log", "delta_1"):
            assert found[name][score] == pytest.approx(expected[score][name], rel=1e-5)
    for name in ("train-set mean", "mean per row"):
        assert found[name]["abs_rel [m]"] == pytest.approx(expected["abs_rel [m]"][name], rel=1e-5)
    assert "abs_rel [m]" not in found["constant depth"]


def test_without_known_depth_one_constant_is_left():
    views = [Views(image=torch.rand(2, 3, 16, 16))]
    assert [b.name for b in depth_baselines(views, Looks(None))] == ["constant depth"]
    with pytest.raises(MissingField):
        judge_depth_maps(ConstantDepth(), [views], Looks(None))
    assert [b.metric for b in motion_baselines(views, Looks(None))] == [False, False]
    assert pose_baselines(views, Looks(None)) == []


@pytest.mark.parametrize(("frames", "gap"), [(2, 1), (3, 1), (5, 1), (4, 2), (3, 5), (12, 1)])
def test_paths_of_clips_join_to_the_whole_path(truth, tmp_path, frames, gap):
    (part,) = sequences(parse_data(str(truth)), Shape(), tmp_path)
    looks = Looks(None, frames, gap)
    np.testing.assert_allclose(path_of(told_the_truth, part, looks), true_path()[::gap], atol=1e-5)
    assert by_name(judge_paths(told_the_truth, [part], looks))["ate [m]"] < 1e-5


def test_a_method_that_wants_a_whole_sequence_sees_it_at_once(truth, tmp_path):
    class Whole:
        whole, lengths = True, []

        def __call__(self, views: Views) -> Motion:
            self.lengths.append(views.image.shape[1])
            return told_the_truth(views)

    (part,) = sequences(parse_data(str(truth)), Shape(), tmp_path)
    method = Whole()
    np.testing.assert_allclose(path_of(method, part, Looks(None, 3, 2)), true_path()[::2], atol=1e-5)
    assert method.lengths == [len(true_path()[::2])]


def test_a_sequence_shorter_than_a_clip_is_refused(truth, tmp_path):
    (part,) = sequences(parse_data(f"{truth}@0-3"), Shape(), tmp_path)
    with pytest.raises(InputError):
        path_of(told_the_truth, part, Looks(None, 5))


def test_scores_of_sequences_are_averaged(truth, tmp_path):
    parts = [*sequences(parse_data(f"{truth}@0-4"), Shape(), tmp_path),
             *sequences(parse_data(f"{truth}@4-11"), Shape(), tmp_path)]
    baseline, *_ = motion_baselines(samples(parse_data(str(truth)), {"T_world_camera"}, Shape(), tmp_path), Looks(None))
    both = {s.name: s for s in judge_paths(baseline.method, parts, Looks(None, 3))}
    one, two = ({s.name: s for s in judge_paths(baseline.method, [part], Looks(None, 3))} for part in parts)
    assert both["ate"].value == pytest.approx((one["ate"].value + two["ate"].value) / 2)
    assert both["ate"].baselines["constant velocity"] == pytest.approx(
        (one["ate"].baselines["constant velocity"] + two["ate"].baselines["constant velocity"]) / 2)
    path = path_of(baseline.method, parts[0], Looks(None, 3))
    (expected,) = (s for s in judge_motion(path, true_path()[:5], MotionProtocol("none", window=3)) if s.name == "ate")
    assert one["ate [m]"].value == pytest.approx(expected.value, abs=1e-6)
    assert averaged([list(one.values())]) == list(one.values())


def test_disparity_is_judged_in_pixels_of_the_truth(tmp_path):
    folder = StereoFolder(write_stereo(tmp_path))
    ramp = torch.linspace(0, 3, 20).expand(1, 1, 12, 20)
    scores = by_name(judge_pairs(in_halves(lambda views: Disparity(disparity=ramp)), [folder], Looks(None)))
    full = cv2.resize(2 * ramp[0, 0].numpy(), (40, 24), interpolation=cv2.INTER_LINEAR)[:, SHIFT:]
    assert scores["epe"] == pytest.approx(np.abs(full - SHIFT).mean(), rel=1e-5)
    assert scores["bad_3"] == pytest.approx(100 * (np.abs(full - SHIFT) > 3).mean(), abs=1e-4)
    assert "epe_seen" not in scores


def test_disparity_says_how_unsure_it_is_in_pixels_of_the_truth(tmp_path):
    folder = StereoFolder(write_stereo(tmp_path))
    off_by_one = torch.full((1, 1, 12, 20), (SHIFT + 1) / 2)

    def scores(deviation: float) -> dict[str, float]:
        unsure = Disparity(disparity=off_by_one, log_variance=torch.full_like(off_by_one, 2 * np.log(deviation)))
        return by_name(judge_pairs(in_halves(lambda views: unsure), [folder], Looks(None)))

    assert scores(0.5)["coverage_error_90"] == pytest.approx(10)   # a pixel of the truth, which 1.6 of it hold
    assert scores(0.25)["coverage_error_90"] == pytest.approx(90)
    assert scores(0.5)["ause"] == pytest.approx(0, abs=1e-6)       # all errors are one
    sure = judge_pairs(in_halves(lambda views: Disparity(disparity=off_by_one)), [folder], Looks(None))
    assert set(scores(0.5)) - set(by_name(sure)) >= {"ause", "coverage_error_90", "nll"}


def test_depth_says_how_unsure_it_is_where_it_knows(truth, tmp_path):
    parts = sequences(parse_data(str(truth)), Shape(), tmp_path / "cache")

    def unsure(views: Views) -> Depth:
        depth = ConstantDepth()(views).depth
        return Depth(depth=depth, log_variance=torch.full_like(depth, 2 * np.log(100.0)))

    told = by_name(judge_depth_maps(unsure, parts, Looks(None, metric=False)))
    silent = by_name(judge_depth_maps(ConstantDepth(), parts, Looks(None, metric=False)))
    assert told["coverage_error_90"] == pytest.approx(10)  # a hundredfold holds everything
    assert told | silent == told
    assert set(told) - set(silent) >= {"ause", "coverage_error_90"}


def test_hidden_pixels_count_and_are_told_apart(tmp_path):
    pair = StereoFolder(write_stereo(tmp_path))[0]
    seen = pair.disparity_valid.clone()
    seen[0, :, :12] = False
    pair = Views(**pair.fields() | {"disparity_valid": seen})
    disparity = torch.full((1, 1, 24, 40), SHIFT + 1.0)
    disparity[:, :, :12] += 2
    scores = by_name(judge_pairs(lambda views: Disparity(disparity=disparity), [[pair]], Looks(None)))
    assert (scores["epe"], scores["epe_seen"]) == pytest.approx((2, 1))


def test_flow_is_judged_in_pixels_of_the_truth(tmp_path):
    folder = FlowFolder(write_flow(tmp_path))
    flow = torch.zeros(1, 2, 2, 12, 20)
    flow[:, 0, 0], flow[:, 0, 1] = -1.0, 2.0  # of the second view nothing counts
    flow[:, 1] = 99
    scores = by_name(judge_flows(in_halves(lambda views: Flow(flow=flow)), [folder], Looks(None)))
    assert scores["aee"] == pytest.approx(np.hypot(2 * -1 + SHIFT, 2 * 2))


def test_what_is_enlarged_points_at_the_same_places():
    flow = torch.stack([torch.full((4, 6), 3.0), torch.full((4, 6), -2.0)])[None]
    large = enlarged(flow, 12, 9)
    assert large.shape == (2, 12, 9)
    np.testing.assert_allclose(large[0], 3 * 9 / 6, rtol=1e-6)
    np.testing.assert_allclose(large[1], -2 * 12 / 4, rtol=1e-6)


def test_poses_are_judged_one_by_one(truth, tmp_path):
    parts = sequences(parse_data(str(truth)), Shape(), tmp_path)

    def late(views: Views) -> Pose:
        T = views.T_world_camera.clone()
        T[..., 0, 3] += 0.4
        return Pose(T_world_camera=T)

    scores = by_name(judge_poses(late, parts, Looks(None)))
    assert scores["median_translation"] == pytest.approx(0.4, abs=1e-5)
    assert scores["median_rotation"] == pytest.approx(0, abs=1e-3)
    train = samples(parse_data(f"{truth}@0-5"), {"T_world_camera"}, Shape(frames=1), tmp_path / "cache")
    looks, told = pose_baselines(train, Looks(None))
    path = true_path()[:, :3, 3]
    gaps = np.linalg.norm(path[:, None] - path[None, :6], axis=2).min(1)
    assert by_name(judge_poses(told.method, parts, Looks(None)))["median_translation"] == pytest.approx(
        np.median(gaps), abs=1e-5)
    assert len(gaps) == FRAMES
    assert looks.name == "most alike training image"


def test_focal_stacks_are_judged_by_depth_disparity_and_order():
    both = plane_stack(2, 5, 32, 48)
    stacks = [both.map(lambda x, k=k: x[k]) for k in range(2)]
    told = by_name(judge_stacks(lambda views: Depth(depth=1.1 * views.depth), [stacks], Looks(None)))
    assert told["abs_rel [m]"] == pytest.approx(0.1, rel=1e-4)
    assert told["abs_rel"] < 1e-5
    assert told["disparity_abs_rel"] == pytest.approx(1 - 1 / 1.1, rel=1e-4)
    assert told["rank_correlation"] == pytest.approx(1, abs=1e-5)
    half = by_name(judge_stacks(lambda views: Depth(depth=views.depth), [stacks], Looks(24)))
    assert half["disparity_abs_rel"] < 0.02
    names = {b.name: by_name(judge_stacks(b.method, [stacks], Looks(None)))
             for b in focus_baselines(stacks, Looks(None))}
    assert list(names) == ["train-set mean", "mean per row", "sharpest slice"]
    assert names["train-set mean"]["rank_correlation"] == 0
    assert names["sharpest slice"] == by_name(judge_stacks(SharpestSlice(), [stacks], Looks(None)))
    assert names["sharpest slice"]["rank_correlation"] > 0.5
