"""Flow of a rolling camera in a box room, whose walls every ray meets exactly, and the path that follows from it."""

import cv2
import numpy as np
import pytest
import torch

from epipole.geometry.anchors import Scene
from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3, se3_inverse, se3_log, so3_exp
from epipole.geometry.rolling import rolling_project
from epipole.judges.motion import ate, path_length
from epipole.recipes.learn_video.correspond import FlowStore, chain_pairs
from epipole.recipes.learn_video.folder import claim
from epipole.recipes.learn_video.solve import Solution, edges_of, refine, solve
from epipole.recipes.learn_video.stages import Run
from epipole.recipes.learn_video.unroll import delay, speeds, with_whole_frames
from epipole.sources.folder import FolderFootage
from epipole.types.errors import InputError
from tests.recipes.exact_room import store_of
from tests.viewer.synthetic_run import ROOM

N, W, H, SHARE = 12, 96, 64, 0.5
K = intrinsics(80.0, 80.0, 47.5, 31.5).double()
F64 = torch.float64


def pose(t: torch.Tensor) -> torch.Tensor:
    """T_world_camera at times in frames: a walk by a hand that shakes."""
    turn = torch.stack([0.03 * (0.8 * t).sin(), 0.04 * t + 0.04 * (0.7 * t + 1).sin(), 0.03 * (0.6 * t).sin()], -1)
    place = torch.stack([-0.8 + 0.12 * t, 0.1 * (0.7 * t).sin(), 0.05 * (0.6 * t).cos() - 1.5], -1)
    return se3(so3_exp(turn), place)


def rows(frame: int, share: float) -> torch.Tensor:
    return pose(frame + share * torch.linspace(-0.5, 0.5, H, dtype=F64))


def points(frame: int, share: float) -> torch.Tensor:
    """Where the rays of a frame's pixels meet the walls [1, 3, h, w]."""
    T = rows(frame, share)
    v, u = torch.meshgrid(torch.arange(H, dtype=F64), torch.arange(W, dtype=F64), indexing="ij")
    ray = torch.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], torch.ones_like(u)])
    along, eye = torch.einsum("hij,jhw->ihw", T[:, :3, :3], ray), T[:, :3, 3].T[..., None]
    walls = torch.from_numpy(ROOM)[:, None, None]
    reach = ((along.sign() * walls - eye) / along).amin(0)
    return (eye + reach * along)[None]


def flow(a: int, b: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Of a camera that rolls, and where it ends inside."""
    at, front = rolling_project(points(a, share), se3_inverse(rows(b, share))[None], K[None], 8)
    v, u = torch.meshgrid(torch.arange(H, dtype=F64), torch.arange(W, dtype=F64), indexing="ij")
    inside = (at[0, 0] >= 0) & (at[0, 0] <= W - 1) & (at[0, 1] >= 0) & (at[0, 1] <= H - 1) & front[0, 0]
    return (at[0] - torch.stack([u, v])).permute(1, 2, 0).float().numpy(), inside.numpy()


def stores(folder, share: float) -> list[FlowStore]:
    pairs = chain_pairs([0] * N, (1, 2, 3))
    both = [[np.stack(part) for part in zip(flow(a, b, share), flow(b, a, share), strict=True)] for a, b in pairs]
    return [store_of(folder, pairs, [(f, seen) for f, seen in both])]


def error(solution: Solution) -> float:
    """ATE after Sim(3), per cent of the path."""
    true = pose(torch.arange(N, dtype=F64)).numpy()
    return 100 * ate(se3_inverse(solution.scene.T_camera_world).double().numpy(), true) / path_length(true)


@pytest.fixture(scope="module")
def rolled(tmp_path_factory) -> tuple[Run, list[FlowStore], Solution]:
    folder = tmp_path_factory.mktemp("rolled")
    (folder / "work").mkdir()
    raw = stores(folder / "chain", SHARE)
    first = solve(raw, N, K.float(), (W, H), seed=0)
    return Run(folder, None), raw, refine(first, edges_of(raw)[0], False)


def test_speeds_are_those_of_the_path():
    """By differences of a path that is known at every time; two shots know nothing of each other."""
    t = torch.arange(40, dtype=F64)
    shots = np.arange(40) // 20
    T = torch.where((t < 20)[:, None, None], pose(t), pose(2 * t))
    found = speeds(Solution(Scene(se3_inverse(T), t, K), t, [], 0.0, 0.0), 2 * np.arange(40), shots).double()
    for k in (5, 10, 30):
        faster = 1 if k < 20 else 2
        ahead = se3_inverse(pose(faster * (t[k] - 1e-4))) @ pose(faster * (t[k] + 1e-4))
        torch.testing.assert_close(found[k], se3_log(ahead) / 4e-4, atol=2e-3, rtol=0.02)
    alone = speeds(Solution(Scene(se3_inverse(T[:2]), t, K), t, [], 0.0, 0.0), np.arange(2), np.arange(2))
    assert not alone.any()


@pytest.mark.slow
def test_the_path_of_a_rolling_camera_comes_near_that_of_a_whole_one(rolled, tmp_path):
    run, raw, path = rolled
    exact = stores(tmp_path / "chain", 0.0)
    best = error(solve(exact, N, K.float(), (W, H), seed=0))
    numbers, shots = np.arange(N), np.zeros(N, int)
    whole, found = with_whole_frames(run, raw, path, numbers, shots, SHARE, False)
    assert error(path) > 100 * best
    assert error(found) < 0.4 * error(path)
    off = [[np.abs(store.flow[p][0] - exact[0].flow[p][0])[store.valid(p)[0] & exact[0].valid(p)[0]].mean()
            for p in range(len(store))] for store in (raw[0], whole[0])]
    assert np.mean(off[1]) < 0.3 * np.mean(off[0])
    again, same = with_whole_frames(run, raw, path, numbers, shots, SHARE, False)  # remembered
    assert torch.equal(same.scene.T_camera_world, found.scene.T_camera_world)
    assert np.array_equal(again[0].flow[3], whole[0].flow[3])


def test_a_pixel_without_motion_or_on_the_middle_row_stays():
    v, u = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    pixels, nearness = torch.stack([u, v], -1).float(), torch.full((H, W), 0.5)
    speed = torch.tensor([0.1, 0.2, -0.1, 0.02, 0.03, -0.01])
    assert delay(pixels, nearness, K.float(), torch.zeros(6), 0.5, H).abs().max() < 1e-4
    moved = delay(pixels, nearness, K.float(), speed, 0.5, H)
    assert moved[H // 2 - 1 : H // 2 + 1].abs().max() < 0.02 * moved.abs().max()
    assert (moved[0] - moved[-1]).abs().min(0).values.max() > 1


def test_a_share_beyond_a_frame_and_another_one_in_a_folder_are_refused(tmp_path):
    for k in range(2):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.full((48, 64, 3), 60 * k, np.uint8))
    footage = FolderFootage(tmp_path)
    with pytest.raises(InputError, match="between 0 and 1"):
        claim(tmp_path / "run", footage, None, 1.0, 0, None, None, 1.5)
    claim(tmp_path / "run", footage, None, 1.0, 0, None, None, 0.5)
    claim(tmp_path / "run", footage, None, 1.0, 0, None, None, 0.5)
    with pytest.raises(InputError, match="rolling_shutter"):
        claim(tmp_path / "run", footage, None, 1.0, 0, None, None)
