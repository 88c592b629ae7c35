"""Scale that drifted along the path is taken out by depth that cannot drift; without drift nothing is touched."""

import numpy as np
import pytest
import torch

from epipole.geometry.anchors import Scene
from epipole.geometry.motion import se3_inverse
from epipole.judges.motion import ate, path_length
from epipole.recipes.learn_video import rejoin as module
from epipole.recipes.learn_video.predict import KeyDepth, Predicted
from epipole.recipes.learn_video.rejoin import (
    drift,
    rejoin,
    relative_motions,
    scale_drift,
    smoothed,
    straightened,
)
from epipole.recipes.learn_video.solve import Solution
from epipole.recipes.learn_video.teach import learned_inverse_depth

N = 20


def path_of(solution: Solution) -> np.ndarray:
    return se3_inverse(solution.scene.T_camera_world).double().numpy()


def error(solution: Solution, truth: Solution) -> float:
    """ATE after Sim(3), per cent of the path."""
    return 100 * ate(path_of(solution), path_of(truth)) / path_length(path_of(truth))


def drifted(solution: Solution, scale: np.ndarray) -> Solution:
    """The same, with the unit of every frame's steps and depths divided by its scale: as odometry loses it."""
    path = torch.from_numpy(straightened(path_of(solution), 1 / scale)).float()
    inverse_depth = solution.scene.inverse_depth * torch.from_numpy(scale).float()[:, None]
    return solution._replace(scene=Scene(se3_inverse(path), inverse_depth, solution.scene.K))


def noisy(depth_of: KeyDepth, share: float) -> KeyDepth:
    """Depth whose scale errs from frame to frame, as a network's does."""
    factor = np.exp(share * np.random.default_rng(0).normal(size=N))
    return lambda k: Predicted((depth_of(k).depth * factor[k]).astype(np.float32), depth_of(k).log_variance)


GROWS = np.linspace(1.0, 1.6, N)


@pytest.mark.parametrize("scale", [GROWS, GROWS[::-1].copy(), 1 + 0.6 * np.sin(np.linspace(0, np.pi, N))],
                         ids=["grows", "shrinks", "there and back"])
def test_planted_drift_is_taken_out(exact, scale):
    lost = drifted(exact.solution, scale)
    assert error(lost, exact.solution) > 1
    learned = learned_inverse_depth(exact.depth_of, lost)
    np.testing.assert_allclose(scale_drift(lost, [exact.store], learned), scale, rtol=1e-3)
    found = rejoin(lost, [exact.store], noisy(exact.depth_of, 0.03), free_focal=False)
    assert error(found, exact.solution) < 0.3
    assert drift(scale_drift(found, [exact.store], learned_inverse_depth(exact.depth_of, found))) < 0.02


def test_without_drift_the_path_stays(exact, monkeypatch):
    def never(*_):
        raise AssertionError("there was nothing to take out")

    monkeypatch.setattr(module, "optimise", never)
    found = rejoin(exact.solution, [exact.store], noisy(exact.depth_of, 0.02), free_focal=False)
    assert error(found, exact.solution) < 0.1
    np.testing.assert_allclose(path_length(path_of(found)), path_length(path_of(exact.solution)), rtol=0.02)
    assert torch.equal(found.scene.K, exact.solution.scene.K)


def test_a_bent_path_has_to_beat_the_old_one_adjusted_as_thoroughly(exact, monkeypatch):
    """Whatever is adjusted anew costs less than a careless path: that does not speak for the network's scale."""
    scene = exact.solution.scene
    T = scene.T_camera_world.clone()
    T[::2, :3, 3] += 0.1
    careless = exact.solution._replace(scene=scene._replace(T_camera_world=T))
    bent = exact.solution._replace(scene=scene._replace(inverse_depth=1.02 * scene.inverse_depth))
    monkeypatch.setattr(module, "refine", lambda solution, stores, free, prior=None, weight=0.0:
                        exact.solution if prior is None else bent)
    factor = np.linspace(1, 1.3, N).astype(np.float32)
    drifting = [exact.depth_of(k)._replace(depth=factor[k] * exact.depth[k].numpy()) for k in range(N)]
    found = rejoin(careless, [exact.store], drifting.__getitem__, free_focal=False)
    assert found is exact.solution


def test_the_result_is_in_the_unit_of_the_network(exact):
    found = rejoin(drifted(exact.solution, np.linspace(1.0, 1.5, N)), [exact.store], exact.depth_of, False)
    learned = learned_inverse_depth(exact.depth_of, found)
    np.testing.assert_allclose(scale_drift(found, [exact.store], learned), 1, atol=0.05)


def test_drift_is_the_change_from_the_first_to_the_last_fifth():
    scale = np.r_[np.full(4, 2.0), np.linspace(2, 3, 12), np.full(4, 3.0)]
    assert drift(scale) == pytest.approx(np.log(1.5))
    for same in (scale[::-1], 5 * scale):
        assert drift(same) == pytest.approx(np.log(1.5))
    assert drift(np.ones(1)) == 0


def test_smoothing_drops_single_frames_and_keeps_slopes():
    slope = np.linspace(1, 2, 40)
    spoiled = slope.copy()
    spoiled[[7, 20, 33]] = 9
    np.testing.assert_allclose(smoothed(spoiled)[2:-2], slope[2:-2], atol=0.06)
    assert smoothed(np.ones(3)).tolist() == [1, 1, 1]


def test_straightened_steps_are_scaled_and_turn_as_before(exact):
    path, scale = path_of(exact.solution), np.linspace(1, 4, N)
    changed = straightened(path, scale)
    np.testing.assert_array_equal(changed[:, :3, :3], path[:, :3, :3])
    np.testing.assert_array_equal(changed[0], path[0])
    before, after = (np.linalg.norm(np.diff(p[:, :3, 3], axis=0), axis=1) for p in (path, changed))
    np.testing.assert_allclose(after / before, np.sqrt(scale[1:] * scale[:-1]), rtol=1e-9)


def test_relative_motions_lead_along_the_path(exact):
    path = path_of(exact.solution)
    motions = relative_motions(path, [exact.store, exact.store])
    assert len(motions) == 2 * len(exact.store)
    for motion in motions:
        np.testing.assert_allclose(path[motion.a] @ motion.T_a_b, path[motion.b], atol=1e-9)
        assert motion.sigma_translation > 0
