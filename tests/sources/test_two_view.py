"""The rotation test against exact geometry, and flow and features against planted motions."""

import cv2
import numpy as np
import pytest

from epipole.sources.two_view import (
    FOCALS,
    Correspondence,
    feature_matches,
    median_motion,
    rotation_residual,
    sampled_flow,
    two_view,
)
from tests.sources.clips import texture, turning, walking

SIZE = (320, 240)


Vector = tuple[float, float, float]


def seen_points(
    axis: Vector, translation: Vector, focal: float, flat: bool = False, count: int = 400, noise: float = 0.0
) -> Correspondence:
    """Points at depths 2 to 8 (or all 4) before and after x' = R x + t, in pixels of `SIZE`."""
    rng = np.random.default_rng(0)
    centre = (np.array(SIZE) - 1) / 2
    pixels = rng.uniform(0, 1, (count, 2)) * (np.array(SIZE) - 1)
    depth = np.full(count, 4.0) if flat else rng.uniform(2, 8, count)
    points = np.c_[(pixels - centre) / focal, np.ones(count)] * depth[:, None]
    moved = points @ cv2.Rodrigues(np.array(axis, float))[0].T + translation
    return Correspondence(pixels, centre + focal * moved[:, :2] / moved[:, 2:] + rng.normal(0, noise, (count, 2)), 1.0)


@pytest.mark.parametrize("share", FOCALS[2:6])
@pytest.mark.parametrize("axis", [(0.0, 0.05, 0.0), (0.03, 0.02, 0.05), (0.0, 0.0, 0.1)])
def test_pure_rotation_leaves_nothing(share: float, axis: Vector) -> None:
    matches = seen_points(axis, (0, 0, 0), share * SIZE[0])
    assert rotation_residual(matches.points, matches.moved, SIZE) < 1e-3
    pair = two_view(matches, 3, 5, SIZE)
    assert pair is not None
    assert not pair.parallax
    assert (pair.first, pair.second, pair.homography) == (3, 5, 1.0)
    assert pair.displacement == pytest.approx(matches.displacement / SIZE[0])


@pytest.mark.parametrize("focal", [200.0, 370.0, 700.0])
def test_rotation_is_seen_without_the_focal_length_and_through_noise_and_moving_things(focal: float) -> None:
    matches = seen_points((0.01, 12 / focal, 0.02), (0, 0, 0), focal, noise=0.1)
    matches.moved[:40] += (5.0, -3.0)
    pair = two_view(matches, 0, 1, SIZE)
    assert pair is not None
    assert not pair.parallax


@pytest.mark.parametrize("translation", [(0.2, 0, 0), (0, 0, 0.4), (0.1, 0.1, -0.2)])
@pytest.mark.parametrize("axis", [(0.0, 0.0, 0.0), (0.0, 0.04, 0.01)])
def test_translation_is_parallax_of_a_rigid_scene(translation: Vector, axis: Vector) -> None:
    pair = two_view(seen_points(axis, translation, 320.0), 0, 1, SIZE)
    assert pair is not None
    assert (pair.parallax, pair.flat, pair.fundamental) == (True, False, 1.0)
    assert pair.homography < 0.85


def test_walking_towards_a_wall_is_flat() -> None:
    pair = two_view(seen_points((0, 0, 0), (0.1, 0, -0.5), 320.0, flat=True), 0, 1, SIZE)
    assert pair is not None
    assert (pair.parallax, pair.flat) == (True, True)


def test_nothing_is_said_from_few_samples_or_none() -> None:
    assert two_view(seen_points((0, 0.1, 0), (0, 0, 0), 320.0, count=20), 0, 1, SIZE) is None
    assert two_view(Correspondence(np.zeros((0, 2)), np.zeros((0, 2)), 0.0), 0, 1, SIZE) is None
    still = np.random.default_rng(0).uniform(0, 200, (50, 2))
    assert two_view(Correspondence(still, still, 1.0), 0, 1, SIZE) is None


def test_flow_finds_a_shift_and_drops_what_leaves_the_picture() -> None:
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    wide = cv2.cvtColor(texture(0), cv2.COLOR_RGB2GRAY)
    first, second = (np.ascontiguousarray(wide[100:220, x : x + 160]) for x in (100, 106))
    matches = sampled_flow(flow, first, second)
    inner = matches.points[:, 0] > 16
    np.testing.assert_allclose((matches.moved - matches.points)[inner], [(-6.0, 0.0)] * int(inner.sum()), atol=0.35)
    assert 0.8 < matches.share < 1.0
    assert matches.points[:, 0].min() >= 4
    assert matches.displacement == pytest.approx(6.0, abs=0.2) == median_motion(flow, first, second)


def test_flow_between_different_scenes_is_lost_and_features_agree() -> None:
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    one, other = (cv2.cvtColor(walking(1, seed=s)[0], cv2.COLOR_RGB2GRAY) for s in (0, 5))
    assert sampled_flow(flow, one, other).share < 0.1
    assert feature_matches(one, other) is None
    assert feature_matches(one, np.full_like(one, 128)) is None


def test_features_connect_views_too_far_apart_for_flow() -> None:
    images = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in turning(2, 18.0)]
    matches = feature_matches(*images)
    assert matches is not None
    assert matches.displacement > 40
    assert len(matches.points) >= 20
