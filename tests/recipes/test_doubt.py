"""How unsure joined depth says it is, against errors that are planted."""

import numpy as np
import pytest
import torch

from epipole.geometry.motion import se3_inverse
from epipole.recipes.learn_video.doubt import SHARED_BY_ALL, Two, apart, doubt

K = torch.tensor([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]])
STILL = torch.eye(4)


def flat(error: torch.Tensor, claimed: float, depth: float = 2.0) -> torch.Tensor:
    """A wall that is known but for these errors of log depth, and what is claimed of them."""
    return torch.stack([error + np.log(depth), torch.full_like(error, claimed**-2)])


def noise(deviation: float, seed: int, size: tuple[int, int] = (48, 64)) -> torch.Tensor:
    return deviation * torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("real", [0.5, 1.0, 3.0])
def test_doubt_is_how_much_larger_errors_are_than_claimed(real):
    pairs = [Two(flat(noise(0.01 * real, i), 0.01), flat(noise(0.01 * real, 9 + i), 0.01), STILL) for i in range(4)]
    assert doubt(pairs, K) == pytest.approx(SHARED_BY_ALL * real, rel=0.05)


def test_intervals_hold_what_they_say_where_views_share_more_of_their_errors_than_they_do_not():
    """Their common part has 1.9 times the variance of what two views differ by: found in real clips, not here."""
    common = [noise(0.01 * 1.9**0.5, 20 + i) for i in range(4)]
    errors = [[shared + noise(0.01, seed) for seed in (i, 9 + i)] for i, shared in enumerate(common)]
    told = 0.01 * doubt([Two(flat(a, 0.01), flat(b, 0.01), STILL) for a, b in errors], K)
    every = torch.stack([error for two in errors for error in two]).abs()
    for interval, deviations in ((50, 0.674), (90, 1.645)):
        held = 100 * float((every < deviations * told).double().mean())
        assert held == pytest.approx(interval, abs=4)


def test_the_surer_of_two_does_not_hide_the_other():
    """Differences are held against both claims together."""
    pairs = [Two(flat(noise(0.03, 1), 0.03), flat(noise(0.001, 2), 0.001), STILL)]
    assert doubt(pairs, K) == pytest.approx(SHARED_BY_ALL, rel=0.05)


def test_surfaces_that_are_hidden_say_nothing():
    there = flat(noise(0.01, 2), 0.01)
    there[0, :, :20] -= 2  # something near stands before a third of the wall
    pairs = [Two(flat(noise(0.01, 1), 0.01), there, STILL)]
    assert doubt(pairs, K) == pytest.approx(SHARED_BY_ALL, rel=0.05)


def test_a_wall_seen_from_nearer_is_the_same_wall():
    nearer = torch.eye(4)
    nearer[2, 3] = -0.5
    exact = torch.zeros(48, 64)
    found = apart(Two(flat(exact, 0.01), flat(exact, 0.01, depth=1.5), nearer), K)
    assert 0.5 * exact.numel() < len(found) < 0.6 * exact.numel()  # the middle (1.5 / 2)^2 of the picture
    assert found.abs().max() < 1e-3


def test_who_sees_nothing_of_the_other_knows_nothing():
    away = torch.diag(torch.tensor([-1.0, 1, -1, 1]))
    exact = flat(torch.zeros(48, 64), 0.01)
    assert doubt([Two(exact, exact, away)], K) == SHARED_BY_ALL
    assert doubt([], K) == SHARED_BY_ALL


@pytest.mark.parametrize(("a", "b"), [(3, 9), (9, 3)])
def test_exact_depth_raises_no_doubt_and_wrong_depth_does(exact, a, b):
    T, depth = exact.solution.scene.T_camera_world, exact.depth

    def claimed(k: int, error: float) -> torch.Tensor:
        return torch.stack([depth[k].log() + noise(error, k, (64, 96)), torch.full_like(depth[k], 1e4)])

    exactly, wrongly = (doubt([Two(claimed(a, error), claimed(b, error), T[b] @ se3_inverse(T[a]))],
                              exact.solution.scene.K) for error in (0.0, 0.02))
    assert exactly < 0.5 * SHARED_BY_ALL
    assert wrongly > 1.2 * SHARED_BY_ALL
