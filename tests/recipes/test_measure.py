"""Depth of key frames by flow along the path, and joined with the network's."""

import cv2
import numpy as np
import pytest
import torch

from epipole.recipes.learn_video.correspond import flow_leaving
from epipole.recipes.learn_video.measure import (
    DOUBT,
    FLAT,
    FLOOR,
    SHARED,
    SIGMA,
    Measured,
    evened,
    joined,
    measured,
    prior,
    texture,
)
from epipole.recipes.learn_video.predict import Predicted
from tests.recipes.exact_room import ExactRoom, store_of

TEXTURED = np.ones((64, 96), np.float32)
K = 9  # a key frame in the middle


def of_key_frame(exact: ExactRoom, k: int = K, stores=None) -> Measured:
    return measured(k, exact.solution.scene, flow_leaving(stores or [exact.store])[k], TEXTURED)


def noisy(exact: ExactRoom, folder, pairs: list[int], sigma: float, seed: int = 0):
    """Some of the room's pairs, their flow off by Gaussian noise of `sigma` px."""
    noise = np.random.default_rng(seed)
    flows = [(exact.store.flow[p] + sigma * noise.standard_normal(exact.store.flow[p].shape), exact.store.valid(p))
             for p in pairs]
    return store_of(folder, exact.store.pairs[pairs].tolist(), flows)


def pairs_from(exact: ExactRoom, k: int) -> list[int]:
    return [p for p, (a, _) in enumerate(exact.store.pairs.tolist()) if a == k]


def test_exact_flow_measures_the_exact_depth_where_it_is_seen(exact):
    found = of_key_frame(exact)
    leaving = flow_leaving([exact.store])[K]
    seen = np.any([store.valid(row)[d] for store, row, d in leaving], axis=0)
    assert seen.mean() > 0.9
    assert (found.information[~seen] == 0).all()
    sure = found.information > 1e3
    error = np.abs(found.log_depth - np.log(exact.depth[K].numpy()))[sure]
    assert sure.mean() > 0.5
    assert np.median(error) < 2e-3  # flow is kept as float16
    assert np.percentile(error, 99) < 0.03


def test_information_is_one_over_the_variance_under_noise(exact, tmp_path):
    """Of one view, and of flow as noisy as it is said to be but for the Cauchy weights' distrust."""
    pair = [p for p, (a, b) in enumerate(exact.store.pairs.tolist()) if a == K and b == K + 8]
    runs = [of_key_frame(exact, stores=[noisy(exact, tmp_path / str(s), pair, 0.1 * SIGMA, s)]) for s in range(40)]
    information = np.mean([run.information for run in runs], axis=0)
    known = information > 500
    assert known.mean() > 0.2
    spread = np.std([run.log_depth for run in runs], axis=0)[known]
    # along the epipolar line alone noise moves depth
    assert np.median(spread**2 * information[known]) == pytest.approx(0.01, rel=0.1)


def test_n_views_that_agree_are_worth_the_root_of_n(exact, tmp_path):
    pair = pairs_from(exact, K)[-1:]
    one = of_key_frame(exact, stores=[noisy(exact, tmp_path / "one", pair, 0)])
    four = of_key_frame(exact, stores=[noisy(exact, tmp_path / str(s), pair, 0) for s in range(4)])
    sure = one.information > 100
    np.testing.assert_allclose(four.information[sure] / one.information[sure], 2, rtol=1e-3)


def test_a_weaker_view_takes_nothing_away(exact, tmp_path):
    near, far = pairs_from(exact, K)[:1], pairs_from(exact, K)[-1:]
    one = of_key_frame(exact, stores=[noisy(exact, tmp_path / "far", far, 0)])
    two = of_key_frame(exact, stores=[noisy(exact, tmp_path / "f", far, 0), noisy(exact, tmp_path / "n", near, 0)])
    sure = one.information > 100
    assert (two.information[sure] > 0.95 * one.information[sure]).mean() > 0.99


def test_a_wrong_view_of_the_longest_baseline_is_outvoted(exact, tmp_path):
    """It moves farthest, so that unweighted least squares would believe it alone."""
    pairs = pairs_from(exact, K)
    flow = [(exact.store.flow[p].copy(), exact.store.valid(p)) for p in pairs]
    flow[-1][0][0] *= 0.3
    found = of_key_frame(exact, stores=[store_of(tmp_path / "w", exact.store.pairs[pairs].tolist(), flow)])
    sure = of_key_frame(exact, stores=[noisy(exact, tmp_path / "r", pairs[:-1], 0)]).information > 300
    assert sure.mean() > 0.2
    assert np.median(np.abs(found.log_depth - np.log(exact.depth[K].numpy()))[sure]) < 0.05


def test_a_point_behind_the_other_camera_measures_nothing(exact):
    scene = exact.solution.scene
    T = scene.T_camera_world.clone()
    turned = torch.diag(torch.tensor([-1.0, 1, -1, 1])) @ T
    turned[K] = T[K]
    found = measured(K, scene._replace(T_camera_world=turned), flow_leaving([exact.store])[K], TEXTURED)
    assert (found.information == 0).mean() > 0.99


def test_a_view_that_disagrees_loses_its_weight(exact, tmp_path):
    pairs = pairs_from(exact, K)
    flow = [(exact.store.flow[p].copy(), exact.store.valid(p)) for p in pairs]
    flow[-1][0][0] += 5.0
    wrong = store_of(tmp_path / "wrong", exact.store.pairs[pairs].tolist(), flow)
    found, right = of_key_frame(exact, stores=[exact.store, wrong]), of_key_frame(exact)
    sure = right.information > 1e3
    assert np.median(np.abs(found.log_depth - right.log_depth)[sure]) < 0.01


def test_measuring_knows_no_scale(exact):
    scene = exact.solution.scene
    T = scene.T_camera_world.clone()
    T[:, :3, 3] *= 3
    larger = measured(K, scene._replace(T_camera_world=T), flow_leaving([exact.store])[K], TEXTURED)
    found = of_key_frame(exact)
    known = found.information > 10
    np.testing.assert_allclose(larger.log_depth[known], found.log_depth[known] + np.log(3), atol=2e-3)
    np.testing.assert_allclose(larger.information[known], found.information[known], rtol=2e-2)


def test_no_flow_measures_nothing(exact):
    assert measured(K, exact.solution.scene, [], TEXTURED) is None


def test_flow_is_worth_what_the_texture_is(exact):
    leaving = flow_leaving([exact.store])[K]
    at_flat = measured(K, exact.solution.scene, leaving, TEXTURED / 4)
    np.testing.assert_allclose(at_flat.information, of_key_frame(exact).information / 4, rtol=1e-5)


@pytest.mark.parametrize("slope", [1, 2])
def test_texture_is_the_mean_squared_slope_against_that_of_flat_surfaces(slope):
    ramp = np.tile(np.arange(0, 96 * slope, slope, dtype=np.uint8), (128, 1))
    for image in (ramp, ramp.T.copy()):
        worth = texture(image)
        assert worth.shape == tuple(n // 2 for n in image.shape)
        np.testing.assert_allclose(worth[16:-16, 16:-16], (slope**2 / (slope**2 + FLAT**2)) ** 2, rtol=1e-5)
    assert (texture(np.full((128, 192), 7, np.uint8)) == 0).all()


def test_even_surfaces_take_the_depth_of_their_colour_and_textured_ones_keep_theirs():
    """A textured box before an even wall, 6 px smaller than depth says; right beside it its texture counts."""
    noise = np.random.default_rng(0).integers(0, 120, (64, 96, 3), dtype=np.uint8)
    colour = np.full((64, 96, 3), 200, np.uint8)
    colour[20:44, 30:66] = noise[20:44, 30:66]
    gray = cv2.resize(colour, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)[..., 0].copy()
    depth = np.full((64, 96), 2.0, np.float32)
    depth[14:50, 24:72] = 1.0
    depth[30, 40] = 1.1
    result = evened(Predicted(depth, np.zeros((64, 96), np.float32)), colour, gray)
    box = np.zeros((64, 96), bool)
    box[20:44, 30:66] = True
    beside = cv2.dilate(box.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    assert np.median(result.depth[~beside & (depth < 1.5)]) > 1.9
    np.testing.assert_allclose(result.depth[box], depth[box], rtol=0.03)
    assert result.depth[30, 40] == pytest.approx(1.1, rel=0.01)


def uniform(depth: float, sigma: float) -> Predicted:
    ones = np.ones((64, 96), np.float32)
    return Predicted(depth * ones, np.float32(2 * np.log(sigma)) * ones)


@pytest.mark.parametrize(("sigma", "error"), [(0.02, 0.1), (0.1, 0.05), (0.3, 0.02)])
def test_two_words_are_joined_by_their_information(sigma, error):
    """The same everywhere, the mean weighs the network, the measurement, and the network's share given to what is
    around, which says the same."""
    apart = 0.1
    found = Measured(np.full((64, 96), apart, np.float32), np.full((64, 96), error**-2, np.float32))
    result = joined(uniform(1.0, sigma), found)
    network, variance = 1 / (SHARED * sigma) ** 2, error**2 + FLOOR**2
    own = 1 / variance / (1 + apart**2 / DOUBT**2 / (variance + 1 / network))
    around = own * apart / (own + network)
    expected = (own * apart + network * around) / (own + network)
    np.testing.assert_allclose(np.log(result.depth), expected, rtol=1e-4)
    np.testing.assert_allclose(np.exp(-result.log_variance), own + network, rtol=1e-4)


def test_what_was_not_measured_stays_the_networks_but_near_what_was():
    information = np.zeros((64, 96), np.float32)
    information[:, :48] = 1e4
    result = joined(uniform(2.0, 0.1), Measured(np.full((64, 96), np.log(2.2), np.float32), information))
    np.testing.assert_allclose(result.depth[:, :40], 2.2, rtol=5e-3)
    assert 2.02 < result.depth[30, 49] < 2.2
    np.testing.assert_allclose(result.depth[:, 60:], 2.0, rtol=1e-4)
    np.testing.assert_array_equal(result.log_variance[:, 60:], prior(uniform(2.0, 0.1)).log_variance[:, 60:])


def test_without_flow_the_network_is_all_there_is():
    result = joined(uniform(2.0, 0.1), None)
    np.testing.assert_array_equal(result.depth, 2.0)
    np.testing.assert_allclose(np.exp(result.log_variance / 2), SHARED * 0.1, rtol=1e-6)


def test_joined_depth_is_nearer_to_the_truth_than_either(exact, tmp_path):
    """A blurred network and noisy flow."""
    truth = exact.depth[K]
    network = truth * torch.exp(0.15 * torch.sin(torch.arange(96) / 9.0))
    predicted = Predicted(network.numpy(), np.full((64, 96), 2 * np.log(0.1), np.float32))
    found = of_key_frame(exact, stores=[noisy(exact, tmp_path / "noisy", pairs_from(exact, K), SIGMA)])
    result = joined(predicted, found)

    def error(depth):
        return float(np.abs(np.log(depth / truth.numpy())).mean())

    assert error(result.depth) < 0.7 * min(error(predicted.depth), error(np.exp(found.log_depth)))
