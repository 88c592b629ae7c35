"""Pose scores by hand, against numerical integration and OpenCV's angles."""

import cv2
import numpy as np
import pytest

from epipole.judges.pose import PoseFrame, PoseProtocol, auc, judge_pose, judge_relative_pose
from epipole.types.errors import InputError


def pose(degrees: float = 0.0, *t: float, axis=(0.0, 0.0, 1.0)) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = cv2.Rodrigues(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis))[0]
    T[:3, 3] = t or (0, 0, 0)
    return T


def values(frames, *arguments, **options) -> dict[str, float]:
    return {s.name: s.value for s in judge_pose(frames, *arguments, **options)}


def test_medians_and_share_by_hand():
    truth = pose(30, 1, 2, 3, axis=(1, 2, 3))
    frames = [PoseFrame(truth @ pose(d, axis=(3, 1, 2)) + pose(0, x, 0, 0) - np.eye(4), truth)
              for d, x in ((1, 0.01), (4.9, 0.04), (4, 0.06), (6, 0.02), (90, 3))]
    assert values(frames) == pytest.approx(
        {"median_translation": 0.04, "median_rotation": 4.9, "share_right": 40, "failed": 0})
    assert values(frames, PoseProtocol(0.1, 10.0))["share_right"] == 80


def test_right_means_below_both_thresholds():
    frames = [PoseFrame(pose(d, x, 0, 0), pose()) for d, x in ((0, 1.0), (0, np.nextafter(1.0, 0)), (60, 0.5))]
    assert values(frames, PoseProtocol(1.0, 90.0))["share_right"] == pytest.approx(200 / 3)
    assert values(frames, PoseProtocol(2.0, 59.0))["share_right"] == pytest.approx(200 / 3)


def test_the_same_rotation_by_the_other_quaternion_is_no_error():
    q = np.array([0.1, 0.5, -0.3, 0.8]) / np.linalg.norm([0.1, 0.5, -0.3, 0.8])
    turned = [cv2.Rodrigues(2 * np.arctan2(np.linalg.norm(v), w) * v / np.linalg.norm(v))[0]
              for v, w in ((q[:3], q[3]), (-q[:3], -q[3]))]
    estimate, truth = np.eye(4), np.eye(4)
    estimate[:3, :3], truth[:3, :3] = turned
    assert values([PoseFrame(estimate, truth)])["median_rotation"] == pytest.approx(0, abs=1e-6)


def test_failed_poses_are_wrong_and_counted():
    good = PoseFrame(pose(), pose())
    broken = pose()
    broken[0, 3] = np.nan
    scores = values([good, good, good, PoseFrame(None, pose()), PoseFrame(broken, pose())])
    assert scores == {"median_translation": 0, "median_rotation": 0, "share_right": 60, "failed": 40}
    assert values([good, PoseFrame(None, pose())]) == {"share_right": 50, "failed": 50}
    for judge in (judge_pose, judge_relative_pose):
        with pytest.raises(InputError):
            judge([])


def test_one_pose_for_all_stands_beside():
    frames = [PoseFrame(pose(0, x, 0, 0), pose(0, x, 0, 0)) for x in (0.0, 0.02, 1.0)]
    beside = {s.name: s.baselines["one pose"] for s in judge_pose(frames, mean=pose())}
    assert beside == pytest.approx(
        {"median_translation": 0.02, "median_rotation": 0, "share_right": 200 / 3, "failed": 0})


def test_auc_is_the_area_under_the_share():
    errors = np.append(np.random.default_rng(0).exponential(8, 50), np.inf)
    x = np.linspace(0, 10, 200001)
    share = (errors[None] <= x[::100, None]).mean(1)
    assert auc(errors, 10.0) == pytest.approx(np.trapezoid(share, x[::100]) / 10, abs=1e-4)
    assert auc(np.zeros(3), 5.0) == 1
    assert auc(np.full(3, np.inf), 5.0) == 0


@pytest.mark.parametrize(("estimate", "error"), [
    (pose(4, 0, 0, 7), 4), (pose(0, 0, 0, 1e-3), 0), (pose(0, 0, 0, -1), 180), (pose(0, 1, 0, 1), 45), (pose(), 180)])
def test_relative_poses_know_no_length_but_a_sense(estimate, error):
    scores = {s.name: s.value for s in judge_relative_pose([PoseFrame(estimate, pose(0, 0, 0, 1))])}
    for degrees in (5, 10, 20):
        assert scores[f"auc_{degrees}"] == pytest.approx(100 * max(0, 1 - error / degrees))


def test_without_a_true_translation_rotation_alone_counts():
    scores = judge_relative_pose([PoseFrame(pose(2, 1, 0, 0), pose()), PoseFrame(None, pose())])
    assert scores[0].value == pytest.approx(100 * (1 - 2 / 5) / 2)
    assert scores[0].baselines["no motion"] == 100
