"""Corner errors by hand and against OpenCV."""

import cv2
import numpy as np
import pytest

from epipole.judges.homography import HomographyFrame, apply_homography, corner_error, judge_homographies
from epipole.types.errors import InputError

SIZE = (640, 480)


def shift(x: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, 0], [0, 0, 1]])


def values(frames) -> dict[str, float]:
    return {s.name: s.value for s in judge_homographies(frames)}


def test_points_move_as_opencv_moves_them():
    H = np.array([[0.9, 0.1, 5], [-0.05, 1.05, 3], [2e-4, -1e-4, 1]])
    points = np.random.default_rng(0).uniform(0, 500, (20, 2))
    np.testing.assert_allclose(apply_homography(H, points), cv2.perspectiveTransform(points[None], H)[0])


def test_thresholds_are_inclusive_and_scale_does_not_matter():
    frames = [HomographyFrame(shift(x), 3 * np.eye(3), SIZE) for x in (0.0, 1.0, 2.0, 4.0)]
    assert values(frames) == {"corner_error": 1.5, "homography_1": 0.5, "homography_3": 0.75, "homography_5": 1}


def test_only_two_corners_moved_are_half_an_error():
    stretched = np.diag([641 / 639, 1, 1.0])  # moves the right corners by 2 px
    assert corner_error(stretched, np.eye(3), SIZE) == pytest.approx(1)


def test_failures_are_wrong_and_counted():
    frames = [HomographyFrame(None, shift(2), SIZE), HomographyFrame(shift(2), shift(2), SIZE),
              HomographyFrame(np.full((3, 3), np.nan), shift(2), SIZE),
              HomographyFrame(np.zeros((3, 3)), shift(2), SIZE)]
    scores = judge_homographies(frames)
    assert {s.name: s.value for s in scores} == {"homography_1": 0.25, "homography_3": 0.25, "homography_5": 0.25}
    assert "3 without an estimate" in scores[0].protocol
    assert [s.baselines["identity"] for s in scores] == [0, 1, 1]
    with pytest.raises(InputError):
        judge_homographies([])
