"""What every turn gained, on a path whose errors are known."""

import numpy as np
import pytest
import torch

from epipole.geometry.anchors import Scene
from epipole.geometry.motion import se3_inverse
from epipole.recipes.learn_video.correspond import KeyImages
from epipole.recipes.learn_video.rejoin import straightened
from epipole.recipes.learn_video.solve import Solution, edges_of, save_solution
from epipole.recipes.learn_video.teach import learned_inverse_depth
from epipole.recipes.learn_video.turns import distance, turns
from epipole.sources.folder import FolderFootage

N = 20


def drifted(solution: Solution, share: float) -> Solution:
    scale = (1 + share) ** (np.arange(N) / (N - 1))
    path = straightened(se3_inverse(solution.scene.T_camera_world).double().numpy(), 1 / scale)
    q = solution.scene.inverse_depth * torch.from_numpy(scale).float()[:, None]
    return solution._replace(scene=Scene(se3_inverse(torch.from_numpy(path)).float(), q, solution.scene.K))


def test_turns_are_told_from_what_they_left(exact, tmp_path):
    """The first of them knows only every second of the key frames."""
    some = torch.arange(0, N, 2)
    KeyImages.write(tmp_path / "keys", FolderFootage(exact.folder), some.tolist(), (96, 64))
    lost = drifted(exact.solution, 0.6)
    few = lost._replace(scene=Scene(lost.scene.T_camera_world[some], lost.scene.inverse_depth[some], lost.scene.K))
    for name, path in (("path-1", few), ("path-3", drifted(exact.solution, 0.2)), ("path-4", exact.solution)):
        save_solution(tmp_path / f"{name}.safetensors", path)
    learned = learned_inverse_depth(exact.depth_of, exact.solution)
    found = turns(tmp_path, exact.keys, [exact.store], learned)
    assert [turn["name"] for turn in found] == ["solve", "rejoin 1", "rejoin 2"]
    drift = [turn["scale_drift_percent"] for turn in found]
    assert drift[2] < 0.1 < drift[1] < drift[0]
    assert drift[1] == pytest.approx(100 * 0.8 * np.log(1.2), rel=0.15)
    off = [turn["reprojection_px"] for turn in found]
    assert off[2] < 0.05 < off[1] < off[0]


def test_distance_is_the_median_over_all_that_counts(exact):
    edges, pixels = edges_of([exact.store])
    moved = edges._replace(observed=edges.observed + torch.tensor([3.0, 4.0]))
    assert distance(exact.solution.scene, moved, pixels, torch.arange(N)) == pytest.approx(5, abs=0.05)
    unseen = edges._replace(weight=torch.zeros_like(edges.weight))
    assert np.isnan(distance(exact.solution.scene, unseen, pixels, torch.arange(N)))
