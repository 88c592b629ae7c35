"""Keypoint scores on points made by hand, and against a naive twin and scikit-image's matcher."""

import numpy as np
import pytest
from skimage.feature import match_descriptors

from epipole.judges.homography import apply_homography
from epipole.judges.keypoints import (
    KeypointFrame,
    KeypointProtocol,
    average_precision,
    judge_keypoints,
    mutual_matches,
)
from epipole.types.errors import InputError

SIZE = (100, 80)
SHIFT = np.array([[1.0, 0, 10], [0, 1, 0], [0, 0, 1]])


def values(frames, *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_keypoints(frames, *arguments)}


def frame(first, second, a=None, b=None, H=SHIFT) -> KeypointFrame:
    first, second = np.array(first, float).reshape(-1, 2), np.array(second, float).reshape(-1, 2)
    codes = np.eye(8)
    a = codes[: len(first)] if a is None else codes[a]
    b = codes[: len(second)] if b is None else codes[b]
    return KeypointFrame(first, second, a, b, H, SIZE, SIZE)


def scattered(n: int = 60, noise: float = 0.0, seed: int = 0) -> KeypointFrame:
    r = np.random.default_rng(seed)
    H = np.array([[0.9, 0.1, 5], [-0.05, 1.05, 3], [2e-4, -1e-4, 1]])
    first = r.uniform(0, 1, (n, 2)) * (99, 79)
    second = apply_homography(H, first)
    seen = ((second >= 0) & (second <= (99, 79))).all(1)
    first, second = first[seen], second[seen] + r.normal(0, noise, (int(seen.sum()), 2))
    codes = r.normal(0, 1, (len(first), 16))
    return KeypointFrame(first, second, codes, codes + r.normal(0, 0.1, codes.shape), H, SIZE, SIZE)


def test_three_points_by_hand():
    """One repeated exactly, one 2 px off, one lost; a fourth leaves the shared view."""
    pair = frame([[20, 20], [40, 40], [60, 60], [95, 5]], [[30, 20], [52, 40], [10, 70]], b=[0, 1, 7])
    scores = values([pair])
    assert scores["repeatability"] == pytest.approx(4 / 6)
    assert scores["localisation_error"] == pytest.approx(1)
    assert scores["matching_score"] == pytest.approx(2 / 3)
    assert values([pair], KeypointProtocol(within=1.0))["repeatability"] == pytest.approx(2 / 6)


def test_wrong_descriptors_leave_repeatability_and_spoil_matching():
    swapped = frame([[20, 20], [40, 40], [60, 60]], [[30, 20], [50, 40], [70, 60]], b=[1, 2, 0])
    scores = values([swapped])
    assert scores["repeatability"] == 1
    assert scores["matching_score"] == scores["nn_map"] == 0


def test_average_precision_by_hand():
    apart = np.array([[0.0, 9], [9, 0], [9, 9], [0, 9]])  # three rows have a counterpart
    distance = np.array([[0.1, 5], [0.2, 5], [0.3, 5], [0.4, 5]])  # right, wrong, wrong, right
    assert average_precision(distance, apart, 3.0) == pytest.approx((1 / 1 + 2 / 4) / 3)
    tied = np.array([[0.1, 5], [0.1, 5], [0.1, 5], [0.1, 5]])
    assert average_precision(tied, apart, 3.0) == pytest.approx(2 * (2 / 4) / 3)  # whatever their order
    assert average_precision(distance, np.full_like(apart, 9), 3.0) == 0


def test_the_direction_of_the_homography_matters():
    pair = frame([[20, 20], [40, 40]], [[30, 20], [50, 40]])
    assert values([pair])["repeatability"] == 1
    assert values([pair._replace(H_second_first=np.linalg.inv(SHIFT))])["repeatability"] == 0


def test_the_shared_view_ends_with_the_last_pixel():
    """The images of the last two points lie less and more than half a pixel beyond the last column's centre."""
    edge = frame([[50, 40], [89.4, 40], [89.6, 20]], [[60, 40], [99.4, 40]])
    assert values([edge])["repeatability"] == 1


def test_only_the_strongest_points_count():
    pair = frame([[20, 20], [40, 40]], [[30, 20], [90, 70]])
    assert values([pair])["repeatability"] == 0.5
    assert values([pair], KeypointProtocol(most=1))["repeatability"] == 1


def test_matches_are_scikit_images():
    r = np.random.default_rng(0)
    a, b = r.normal(size=(40, 8)), r.normal(size=(50, 8))
    distance = np.linalg.norm(a[:, None] - b[None], axis=2)
    np.testing.assert_array_equal(mutual_matches(distance), match_descriptors(a, b, cross_check=True))
    assert mutual_matches(np.zeros((0, 5))).shape == mutual_matches(np.zeros((5, 0))).shape == (0, 2)


def test_exact_points_give_the_homography():
    scores = values([scattered()])
    assert scores["repeatability"] == scores["matching_score"] == scores["nn_map"] == 1
    assert scores["homography_1"] == scores["homography_3"] == scores["homography_5"] == 1


def test_shuffled_descriptors_give_neither_matches_nor_homography():
    pair = scattered()
    order = np.random.default_rng(1).permutation(len(pair.second))
    scores = values([pair._replace(second_descriptors=pair.second_descriptors[order])])
    assert scores["repeatability"] == 1
    assert scores["matching_score"] < 0.15
    assert scores["homography_5"] == 0


def test_noise_moves_the_localisation_error():
    error = values([scattered(400, noise=0.5)])["localisation_error"]
    assert error == pytest.approx(0.5 * np.sqrt(np.pi / 2), rel=0.15)  # mean of a Rayleigh distribution


def test_pairs_without_a_shared_point_count_for_the_homography_alone():
    nothing = frame([], [])
    scores = judge_keypoints([scattered(), nothing])
    by_name = {s.name: s for s in scores}
    assert by_name["repeatability"].value == 1
    assert "1 of 2 pairs" in by_name["repeatability"].protocol
    assert by_name["homography_5"].value == 0.5
    one_sided = values([frame([[20, 20]], [])])
    assert one_sided["repeatability"] == 0
    assert "localisation_error" not in one_sided
    with pytest.raises(InputError, match="both images share"):
        judge_keypoints([nothing])


def test_points_that_are_no_numbers_are_refused():
    pair = scattered()
    pair.first[3] = np.nan
    with pytest.raises(InputError, match="2 values of the keypoints"):
        judge_keypoints([pair])
