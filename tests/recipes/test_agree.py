"""Depth of a frame by what the key frames around it say, and what is kept of them."""

import numpy as np
import pytest
import torch

from epipole.geometry.motion import se3_inverse
from epipole.recipes.learn_video.agree import AROUND, SAME, JoinedDepth, agreed
from epipole.recipes.learn_video.correspond import KeyImages
from epipole.recipes.learn_video.measure import prior
from epipole.recipes.learn_video.predict import Predicted
from epipole.sources.findings import Look
from epipole.sources.folder import FolderFootage
from tests.recipes.exact_room import ExactRoom
from tests.recipes.learned_room import a_look

SURE, UNSURE = 1e4, 1.0


def look(exact: ExactRoom, key_frames: list[int], cuts: list[int] | None = None) -> Look:
    class Size:
        width, height = exact.keys.size

    found = a_look(Size(), len(exact.keys), key_frames)
    found.cuts.extend(cuts or [])
    return found


def others(exact: ExactRoom, k: int, near: list[int], information: float = SURE):
    depth = exact.depth[near].log()[:, None]
    T = exact.solution.scene.T_camera_world
    return torch.cat([depth, torch.full_like(depth, information)], 1), T[near] @ se3_inverse(T[k])


def corrected(exact: ExactRoom, k: int, near: list[int], log_depth: torch.Tensor, information: float = UNSURE):
    return agreed(log_depth, torch.full_like(log_depth, information), *others(exact, k, near), exact.solution.scene.K)


@pytest.mark.parametrize("wrong", [0.1, -0.1, 0.3, -0.3])
def test_a_bad_guess_becomes_what_the_others_know(exact, wrong):
    truth = exact.depth[9].log()
    found, information = corrected(exact, 9, [8, 10, 11], truth + wrong)
    error = (found - truth).abs()
    assert error.median() < 0.01
    assert (error < 0.05).float().mean() > 0.85
    assert (information >= UNSURE).all()


def test_who_is_sure_is_not_talked_round(exact):
    truth = exact.depth[9].log()
    found, _ = corrected(exact, 9, [8, 10], truth + 0.1, information=1e8)
    torch.testing.assert_close(found, truth + 0.1, atol=1e-3, rtol=0)


def test_another_surface_says_nothing(exact):
    """Others that look at a wall far in front or far behind."""
    truth = exact.depth[9].log()
    for apart in (3.0, -3.0):
        words, T = others(exact, 9, [8, 10], information=10.0)
        words[:, 0] += apart
        found, _ = agreed(truth, torch.full_like(truth, 100.0), words, T, exact.solution.scene.K)
        assert (found - truth).abs().max() < abs(apart) * 2 * 10 / 100 / (1 + (2 / SAME[-1]) ** 2) ** 2 + 1e-3


def test_equal_words_of_still_cameras_give_the_weighted_mean(exact):
    """Without motion everything is looked up where it is: a naive weighted mean."""
    log_depth = torch.zeros(64, 96)
    words = torch.stack([torch.full((64, 96), 0.01), torch.full((64, 96), 30.0)])[None].repeat(2, 1, 1, 1)
    K = exact.solution.scene.K
    found, total = agreed(log_depth, torch.full_like(log_depth, 40.0), words, torch.eye(4).repeat(2, 1, 1), K)
    inner = (slice(1, -1), slice(1, -1))  # at the very border rounding decides what is inside
    torch.testing.assert_close(found[inner], torch.full((62, 94), 0.01 * 60 / 100), rtol=1e-2, atol=0)
    torch.testing.assert_close(total[inner], torch.full((62, 94), 40 + 30 * 2**0.5), rtol=1e-2, atol=0)


def test_what_lies_behind_another_camera_is_not_asked(exact):
    """The other looks the opposite way: all that this frame sees lies behind it."""
    truth = exact.depth[9].log()
    words, _ = others(exact, 9, [8])
    T = torch.diag(torch.tensor([-1.0, 1, -1, 1]))[None]
    found, total = agreed(truth, torch.full_like(truth, UNSURE), words, T, exact.solution.scene.K)
    torch.testing.assert_close(found, truth)
    torch.testing.assert_close(total, torch.full_like(truth, UNSURE))


def test_agreement_knows_no_scale(exact):
    truth, K = exact.depth[9].log(), exact.solution.scene.K
    words, T = others(exact, 9, [8, 10])
    larger = T.clone()
    larger[:, :3, 3] *= 3
    bigger = words.clone()
    bigger[:, 0] += np.log(3)
    own = torch.full_like(truth, UNSURE)
    before, after = agreed(truth + 0.1, own, words, T, K)[0], agreed(truth + 0.1 + np.log(3), own, bigger, larger, K)[0]
    close = ((after - np.log(3) - before).abs() < 1e-3).float().mean()
    assert close > 0.99  # a pixel at a border may round to the other side


@pytest.fixture
def kept(exact, tmp_path) -> JoinedDepth:
    every = list(range(len(exact.keys)))
    return JoinedDepth.build(tmp_path / "joined", exact.keys, exact.solution, look(exact, every), [exact.store],
                             exact.depth_of)


def test_what_is_kept_is_not_made_again(exact, kept, tmp_path):
    def never(k: int) -> Predicted:
        raise AssertionError(k)

    again = JoinedDepth.build(tmp_path / "joined", exact.keys, exact.solution, look(exact, []), [], never)
    np.testing.assert_array_equal(again(3).depth, kept(3).depth)


def test_a_lost_key_frame_has_the_networks_depth_alone(exact, tmp_path):
    every = look(exact, list(range(len(exact.keys))))
    twice = [lambda k: exact.depth_of(k)._replace(depth=2 * exact.depth[k].numpy()), exact.depth_of]
    kept = [JoinedDepth.build(tmp_path / str(i), exact.keys, exact.solution._replace(lost=[3]), every, [exact.store],
                              depth_of) for i, depth_of in enumerate(twice)]
    np.testing.assert_allclose(kept[0].rows[3][0], 2 * kept[1].rows[3][0], rtol=1e-6)
    assert np.median(kept[0].rows[4][0] / kept[1].rows[4][0]) < 1.2


def test_exact_depth_stays_nearly_exact(exact, kept):
    error = np.abs(np.log(kept(9).depth / exact.depth[9].numpy()))
    assert np.median(error) < 0.01  # on even surfaces the median of those around costs up to a per cent
    assert np.percentile(error, 90) < 0.06  # at edges of depth what others look up lies between two surfaces


def test_a_frame_that_is_a_key_frame_has_its_depth(exact, kept):
    nonsense = Predicted(np.ones((64, 96), np.float32), np.zeros((64, 96), np.float32))
    for ours, theirs in zip(kept.of_frame(7, nonsense, np.eye(4)), kept(7), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_frame_between_is_corrected_by_the_key_frames_around(exact, tmp_path):
    """Every other frame of the room is a key frame; the network is 20 % off in the others."""
    numbers = list(range(0, 20, 2))

    keys = KeyImages.write(tmp_path / "keys", FolderFootage(exact.folder), numbers, exact.keys.size)
    scene = exact.solution.scene
    half = exact.solution._replace(scene=scene._replace(T_camera_world=scene.T_camera_world[numbers],
                                                        inverse_depth=scene.inverse_depth[numbers]))
    sure = np.full((64, 96), -9.0, np.float32)
    joined = JoinedDepth.build(tmp_path / "half", keys, half, look(exact, numbers), [],
                               lambda k: Predicted(exact.depth[numbers[k]].numpy(), sure))
    truth = exact.depth[9].numpy()
    said = Predicted(1.2 * truth, np.full((64, 96), 2 * np.log(0.2), np.float32))
    found = joined.of_frame(9, said, se3_inverse(scene.T_camera_world[9]).double().numpy())
    assert np.median(np.abs(np.log(found.depth / truth))) < 0.015
    assert (found.log_variance <= prior(said).log_variance + 2 * np.log(joined.doubt) + 1e-5).all()


def test_what_is_claimed_is_what_strangers_find(exact, tmp_path):
    """A network whose depth of every key frame is 10 % off its own way, and which claims 1 %: no flow corrects it, and
    the key frames around err too."""
    errors = 0.1 * torch.randn(len(exact.keys), generator=torch.Generator().manual_seed(3)).exp().numpy()
    claimed = np.full((64, 96), 2 * np.log(0.01), np.float32)
    every = look(exact, list(range(len(exact.keys))))
    joined = JoinedDepth.build(tmp_path / "off", exact.keys, exact.solution, every, [],
                               lambda k: Predicted(exact.depth[k].numpy() * np.exp(np.float32(errors[k])), claimed))
    right = JoinedDepth.build(tmp_path / "right", exact.keys, exact.solution, every, [],
                              lambda k: Predicted(exact.depth[k].numpy(), claimed))
    assert joined.doubt > 2 * right.doubt
    np.testing.assert_allclose(joined(5).log_variance - joined._of_key_frame(5).log_variance,
                               2 * np.log(joined.doubt), rtol=1e-4)


def test_around_is_what_is_near_in_the_same_shot(exact, kept):
    assert kept.around(9) == [7, 8, 10, 11]
    assert kept.around(0) == [1, 2]
    assert kept.around(19) == [17, 18]
    kept.lost = {8, 10}
    assert kept.around(9) == [6, 7, 11, 12]
    kept.lost = set()
    kept.cuts = [10]  # frame 10 begins another shot
    assert kept.around(9) == [7, 8]
    assert kept.around(10) == [11, 12]
    kept.keys.key_frames, every = np.array([0, 4, 8, 12]), kept.keys.key_frames
    try:
        kept.cuts = []
        assert kept.around(5) == [0, 1, 2, 3]
        assert kept.around(13) == [2, 3]
        assert AROUND == 2
    finally:
        kept.keys.key_frames = every
