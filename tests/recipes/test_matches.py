import numpy as np
import pytest
import torch

from epipole.recipes.learn_video import matches
from epipole.recipes.learn_video.flow import both_ways
from epipole.recipes.learn_video.matches import (
    features,
    homography_flow,
    homography_guess,
    homography_guesses,
    matched_pairs,
    mutual,
    pieces,
)
from epipole.sources.video import open_footage
from tests.recipes.textures import FoxTruth, seen, shift, turn

SIZE = (192, 144)


def pan(places: list[float]) -> list[np.ndarray]:
    """Images of a wall from these places along it; a width apart, they share nothing."""
    return [seen(shift(192 * place, 0), SIZE) for place in places]


def test_descriptors_are_square_roots_of_distributions():
    found = features(seen(np.eye(3), SIZE))
    assert 100 < len(found.points) <= matches.FEATURES
    assert found.words.shape == (len(found.points), 128)
    assert torch.allclose(found.words.square().sum(1), torch.ones(len(found.words)), atol=1e-4)


def test_an_empty_image_has_no_features_and_no_guess():
    found = features(np.full((144, 192), 128, np.uint8))
    assert (len(found.points), len(found.words)) == (0, 0)
    assert homography_guess(found, features(seen(np.eye(3), SIZE))) is None


def test_mutual_matches_equal_a_loop():
    words = torch.randn(2, 60, 16, generator=torch.Generator().manual_seed(0))
    words[1, :30] = words[0, torch.randperm(60, generator=torch.Generator().manual_seed(1))[:30]] + 0.3 * words[1, :30]
    x, y = torch.nn.functional.normalize(words, dim=-1)
    column, kept = mutual(x @ y.T)
    distance = torch.cdist(x, y)
    for i in range(60):
        order = distance[i].argsort()
        expected = distance[i, order[0]] < 0.8 * distance[i, order[1]] and distance[:, order[0]].argmin() == i
        assert bool(kept[i]) == bool(expected)
        assert column[i] == order[0]
    assert 15 < kept.sum() < 40


@pytest.mark.parametrize("H", [shift(40, -12), turn(30, (96, 72), 1.2), turn(170, (100, 70)),
                               np.array([[1.1, 0.05, 9], [-0.04, 0.95, 6], [4e-4, -2e-4, 1]])])  # fmt: skip
def test_the_guess_finds_a_planted_plane(H):
    found = homography_guess(features(seen(np.eye(3), SIZE)), features(seen(np.linalg.inv(H), SIZE)))
    assert found is not None
    error = homography_flow(found, SIZE) - homography_flow(H, SIZE)
    assert np.median(np.linalg.norm(error, axis=-1)) < 1.0  # pixels; a loose plane is all that is wanted


def test_different_places_give_no_guess():
    assert homography_guess(*(features(seen(np.eye(3), SIZE, seed)) for seed in (0, 1))) is None


def test_homography_flow_is_the_motion_of_pixels():
    H = np.array([[1.1, 0.1, -3], [0.0, 0.9, 5], [1e-3, 0, 1]])
    flow = homography_flow(H, (20, 10))
    x, y, z = H @ [7, 4, 1]
    assert flow.shape == (10, 20, 2)
    assert np.allclose(flow[4, 7], [x / z - 7, y / z - 4], atol=1e-5)
    assert np.abs(homography_flow(np.diag([1, 1, 1e-9]), (20, 10))).max() == 20


def test_a_plane_seen_edge_on_is_guessed_by_a_similarity():
    x = np.random.default_rng(0).uniform(0, 100, (60, 2))
    folding = np.c_[x, np.ones(60)] @ np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1.0]]).T  # z = 0 at u = 50
    y = folding[:, :2] / folding[:, 2:]
    near = np.abs(folding[:, 2]) > 0.2
    H = matches._plane(x[near], y[near])
    assert np.allclose(H[2], [0, 0, 1])
    turned = x @ turn(20, (0, 0), 1.1)[:2, :2].T + (5, -3)
    assert np.allclose(matches._plane(x, turned), np.vstack([np.c_[turn(20, (0, 0), 1.1)[:2, :2], (5, -3)], [0, 0, 1]]),
                       atol=1e-3)  # fmt: skip


def test_pieces_are_the_connected_components():
    names = pieces(7, [(0, 1), (5, 4), (1, 3), (4, 6)])
    groups = sorted(np.flatnonzero(names == name).tolist() for name in set(names.tolist()))
    assert groups == [[0, 1, 3], [2], [4, 5, 6]]


def test_a_pan_there_and_back_closes_and_nothing_else_matches():
    places = [0.25 * i for i in range(8)] + [1.75 - 0.25 * i for i in range(8)]
    found = matched_pairs(pan(places), chain_gap=3)
    assert all(m.b - m.a > 3 for m in found)
    assert all(abs(places[m.a] - places[m.b]) < 0.8 for m in found)
    assert {(i, 15 - i) for i in range(6)} <= {(m.a, m.b) for m in found}  # the same place, twice
    for m in found:
        moved = 192 * (places[m.a] - places[m.b])
        assert np.abs(m.H_b_a @ [96, 72, 1] - [96 + moved, 72, 1]).max() < 3
        assert m.inliers >= 25
    assert np.bincount([f for m in found for f in (m.a, m.b)]).max() <= matches.AT_MOST_OF_FEW


def test_pieces_are_joined_whatever_the_distance_in_time():
    images = pan([0, 0.2, 0.4, 0.6, 0.8, 5])
    chain = [(0, 1), (1, 2), (3, 4), (4, 5)]
    assert matched_pairs(images, chain_gap=5) == []
    (joined,) = matched_pairs(images, chain_gap=5, links=chain)
    assert (joined.a, joined.b) == (2, 3)
    loose = matched_pairs(images, chain_gap=5, links=[])
    assert [(m.a, m.b) for m in sorted(loose)] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    again = matched_pairs(images, chain_gap=5, links=[])
    assert all(np.array_equal(m.H_b_a, n.H_b_a) and m[3] == n[3] for m, n in zip(loose, again, strict=True))


def test_with_many_frames_matches_keep_apart(monkeypatch):
    monkeypatch.setattr(matches, "FEW_FRAMES", 10)
    places = [0.1 * i for i in range(12)] + [1.1 - 0.1 * i for i in range(12)]
    found = matched_pairs(pan(places), chain_gap=4)
    pairs = [(m.a, m.b) for m in found]
    assert 3 <= len(pairs) <= 30
    assert np.bincount(np.ravel(pairs)).max() <= matches.AT_MOST
    for k, (a, b) in enumerate(pairs):
        assert all(max(abs(a - c), abs(b - d)) > matches.NEAR for c, d in pairs[:k])


def test_of_very_many_frames_every_few_are_compared(monkeypatch):
    monkeypatch.setattr(matches, "MOST_FRAMES", 8)
    places = [0.1 * i for i in range(12)] + [1.1 - 0.1 * i for i in range(12)]
    found = matched_pairs(pan(places), chain_gap=4)
    assert found
    assert {f % 3 for m in found for f in (m.a, m.b)} == {0}


def test_guesses_are_both_ways_and_only_for_long_motion():
    images = pan([0, 0.03, 0.3, 6])
    guess = homography_guesses(images)
    assert guess((0, 1)) is None  # 3 % of the width
    assert guess((0, 3)) is None  # nothing shared
    there, back = guess((0, 2))
    assert np.abs(np.median(there, (0, 1)) - [-57.6, 0]).max() < 0.5
    assert np.abs(np.median(back, (0, 1)) - [57.6, 0]).max() < 0.5
    known = matches.Match(0, 3, shift(31, 0), 99)
    assert np.allclose(homography_guesses(images, [known])((0, 3))[0], (31, 0), atol=1e-4)


def test_a_thing_that_stands_twice_is_no_match():
    """Two views of different places with the same poster: perfect matches on it, and nothing around it agrees."""
    places = [seen(np.eye(3), SIZE, seed) for seed in (1, 2)]
    poster = seen(np.eye(3), (64, 64), seed=3)
    places[0][10:74, 10:74] = poster
    places[1][60:124, 100:164] = poster
    verified = matches._verified(features(places[0]), features(places[1]))
    assert verified is not None
    assert np.abs(verified[0] @ [40, 40, 1] - [130, 90, 1]).max() < 1
    assert matched_pairs(places, chain_gap=1, links=[]) == []


def test_matches_between_phone_photos_lead_flow_along_the_true_epipolar_lines(shared_data):
    """The wallpaper behind the fox repeats its roses."""
    numbers = list(range(0, 50, 3))
    footage = open_footage(shared_data / "fox/images")
    images = [f.image[..., 1].copy() for f in footage.read(192, 320, only=set(numbers))]
    truth, found = FoxTruth(shared_data / "fox"), matched_pairs(images, chain_gap=2)
    assert len(found) > 15
    guess = homography_guesses(images, found)
    for m in found:
        moved, valid = both_ways(images[m.a], images[m.b], guess((m.a, m.b)))
        v, u = np.nonzero(valid[0])
        x = np.stack([u, v], -1)
        error = truth.epipolar_error(numbers[m.a], numbers[m.b], x, x + moved[0][v, u], (96, 160))
        assert np.median(error) < 0.2, m
