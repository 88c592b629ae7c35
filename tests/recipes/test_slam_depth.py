"""How unsure the frames of CNN-SLAM are said to be, against errors that are planted."""

from pathlib import Path

import numpy as np
import pytest
import torch

from epipole.pipelines.cnn_slam import CnnSlam, Tracked
from epipole.recipes.learn_video.cache import RowWriter
from epipole.recipes.learn_video.doubt import SHARED_BY_ALL
from epipole.recipes.slam_depth import SlamDepth
from epipole.types.predictions import Depth

K = torch.tensor([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]])
H, W, FRAMES, EVERY, WALL = 48, 64, 24, 2, 2.0      # every second frame is a key frame
CLAIMED = 0.1


def seen(work: Path, real: float, claimed: float = CLAIMED, unit: float = 1.0, lost: tuple[int, ...] = ()) -> SlamDepth:
    """A camera at rest before a wall: log depth errs by `real` and says that it does by `claimed`; where it is lost, it
    sees nonsense. `unit`: of the last half of the key frames, in the first one's."""
    slam = CnnSlam(lambda view: Depth(depth=view.depth))
    slam.key_frames, slam.lost = list(range(0, FRAMES, EVERY)), list(lost)
    slam.frames = [Tracked(i // EVERY, torch.eye(4).double()) for i in range(FRAMES)]
    units = torch.where(torch.arange(FRAMES // EVERY) < FRAMES // EVERY // 2, 1, unit).double()
    slam.S_world_key = torch.eye(4).double().repeat(len(units), 1, 1)
    slam.S_world_key[:, :3, :3] *= units[:, None, None]
    generator = np.random.default_rng(0)
    with RowWriter(work / "frames.npy", (2, H, W), np.float32) as frames, \
            RowWriter(work / "keys.npy", (2, H, W), np.float32) as keys:
        for i in range(FRAMES):
            log = np.log(WALL / float(units[i // EVERY])) + real * generator.normal(size=(H, W)) + 0.6 * (i in lost)
            row = np.stack([log, np.full((H, W), 2 * np.log(claimed))])
            frames.append(row if i % EVERY else np.full_like(row, np.nan))
            if i % EVERY == 0:
                keys.append(row)
    return SlamDepth(work, slam, np.repeat(np.eye(4)[None], FRAMES, 0), K)


@pytest.mark.parametrize(("real", "doubt"), [(0.02, 1), (0.1, 1), (0.2, 2)])
def test_doubt_is_how_much_strangers_differ_but_never_less_than_all_may_err_alike(tmp_path, real, doubt):
    depth = seen(tmp_path, real)
    assert depth.doubt == pytest.approx(doubt * SHARED_BY_ALL, rel=0.05)
    for frame in (0, 1):
        np.testing.assert_allclose(depth(frame).log_variance, 2 * np.log(CLAIMED * depth.doubt), rtol=1e-5)


def test_nothing_is_surer_than_a_network_may_be(tmp_path):
    depth = seen(tmp_path, 0.001, claimed=0.001)
    np.testing.assert_allclose(depth(1).log_variance, 2 * np.log(0.05 * SHARED_BY_ALL), rtol=1e-5)


def test_depth_is_in_the_unit_of_the_path(tmp_path):
    depth = seen(tmp_path, 0.01, unit=3.0)
    for frame in (0, 1, FRAMES - 2, FRAMES - 1):
        assert depth(frame).depth.dtype == np.float32
        assert np.median(depth(frame).depth) == pytest.approx(WALL, rel=0.01)
    assert depth.doubt == pytest.approx(SHARED_BY_ALL)  # frames of two units agree


def test_frames_that_are_lost_say_nothing(tmp_path):
    assert seen(tmp_path, 0.02, lost=tuple(range(1, FRAMES, 2))).doubt == SHARED_BY_ALL


def test_a_clip_of_one_key_frame_has_no_strangers(tmp_path):
    depth = seen(tmp_path, 0.2)
    depth.placed = np.array([0, 1])
    assert depth.doubt == SHARED_BY_ALL
