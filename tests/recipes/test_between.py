"""Frames between key frames: chosen where little is seen, and placed where they were."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from epipole.geometry.anchors import Scene
from epipole.recipes.learn_video import between
from epipole.recipes.learn_video.between import Between, frames_between, placed
from epipole.recipes.learn_video.correspond import FlowStore
from epipole.recipes.learn_video.solve import Solution, edges_of
from tests.recipes.exact_room import store_of


def found(shares: list[float], lost: tuple[int, ...] = (), repeats: tuple[int, ...] = ()) -> list[Between]:
    pairs = np.array([(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)])
    usable = np.array([i not in repeats for i in range(13)])
    return frames_between(np.array([0, 4, 5, 9, 12]), pairs, np.array(shares), usable, list(lost))


def test_the_middle_frame_is_chosen_where_neighbours_see_little():
    assert found([0.5, 0.9, 0.5, 0.5, 0.5]) == [Between(2, 0, 1), Between(7, 2, 3), Between(11, 3, 4)]
    assert found([0.5, 0.1, 0.5, 0.9, 0.9]) == [Between(2, 0, 1)]  # (0, 2) are no neighbours, 4 and 5 have none between


def test_repeats_and_lost_key_frames_are_left_alone():
    assert found([0.5] * 5, repeats=(2, 10, 11)) == [Between(3, 0, 1), Between(7, 2, 3)]
    assert found([0.5] * 5, lost=(2,)) == [Between(2, 0, 1), Between(11, 3, 4)]


def test_a_pair_without_flow_has_nothing_between():
    """What shares nothing, across a cut or a blackout, is not joined by the frame half way."""
    assert frames_between(np.array([0, 4]), np.zeros((0, 2), int), np.zeros(0), np.ones(5, bool), []) == []


@pytest.fixture(scope="module")
def halves(exact, tmp_path_factory) -> tuple[Solution, list[FlowStore], np.ndarray, list[tuple[int, int, int]]]:
    """The exact room solved on every second frame, and flow from those to the frames between."""
    n, folder = len(exact.keys) - 1, tmp_path_factory.mktemp("halves")  # 19: 0, 2 .. 18 are key frames
    rows = {tuple(pair): row for row, pair in enumerate(exact.store.pairs.tolist())}

    def some(name: str, pairs: list[tuple[int, int]]) -> FlowStore:
        flows = [(np.asarray(exact.store.flow[rows[p]], np.float32), exact.store.valid(rows[p])) for p in pairs]
        return store_of(folder / name, pairs, flows)

    even, odd = range(0, n, 2), range(1, n, 2)
    chain = some("chain", [(a, b) for a, b in rows if a in even and b in even])
    near = some("between", [pair for b in odd for pair in ((b - 1, b), (b, b + 1))])
    T, q, K, _ = exact.solution.scene
    path = Solution(Scene(T[:n:2], q[:n:2], K), edges_of([near])[1], [4], 0.0, 0.0)
    return path, [chain, near], np.arange(0, n, 2), [(b - 1, b, b + 1) for b in odd]


def test_frames_between_are_placed_where_they_were(exact, halves):
    path, stores, index, at = halves
    result = placed(path, stores, index, at)
    n, T = len(index) + len(at), exact.solution.scene.T_camera_world
    assert torch.equal(result.scene.T_camera_world[index], path.scene.T_camera_world)
    step = (T[1:n, :3, 3] - T[: n - 1, :3, 3]).norm(dim=1).median()
    off = (result.scene.T_camera_world - T[:n])[:, :3, 3].norm(dim=1) / step
    assert off.max() < 0.05
    seen = edges_of(stores)[0]
    known = torch.zeros(n, path.scene.inverse_depth.shape[1]).index_add_(0, seen.source, seen.weight) >= 2
    ratio = (result.scene.inverse_depth / exact.solution.scene.inverse_depth[:n])[known]
    assert (ratio.log().abs() < 0.1).float().mean() > 0.95
    assert result.lost == [8]


def test_depths_that_begin_wrong_are_put_right_by_all_flow(exact, halves, tmp_path):
    """On the left, key frames are seen by each other alone, and only the last adjustment knows of that."""
    path, (chain, near), index, at = halves
    flows = [(np.asarray(near.flow[row], np.float32), near.valid(row).copy()) for row in range(len(near))]
    for _, valid in flows:
        valid[..., : valid.shape[-1] // 2] = False
    right = store_of(tmp_path / "right", [(int(a), int(b)) for a, b in near.pairs], flows)
    wrong = path.scene.inverse_depth * 1.1
    result = placed(path._replace(scene=path.scene._replace(inverse_depth=wrong)), [chain, right], index, at)
    seen, pixels = edges_of([chain])
    weight = torch.zeros_like(wrong).index_add_(0, torch.from_numpy(np.searchsorted(index, seen.source)), seen.weight)
    left = (weight >= 2) & (pixels[:, 0] < near.valid(0).shape[-1] // 2)
    off = (result.scene.inverse_depth[index] / path.scene.inverse_depth).log().abs()[left]
    assert left.sum() > 100
    assert (off < 0.05).float().mean() > 0.9


def test_frames_between_begin_at_the_depth_that_their_flow_shows(halves, monkeypatch):
    path, stores, index, at = halves
    begun = []
    monkeypatch.setattr(between, "adjust_some",
                        lambda scene, *_, **__: begun.append(scene) or SimpleNamespace(scene=scene))
    placed(path, stores, index, at)
    b = at[0][1]
    q = begun[0].inverse_depth[b]
    typical = path.scene.inverse_depth.median()
    assert (q != typical).float().mean() > 0.3
    assert (q != 1).all()


def test_half_way_alone_would_not_do(exact, halves):
    """The room's camera does not move at constant speed: the adjustment has something to find."""
    at = halves[-1]
    T = exact.solution.scene.T_camera_world
    half = torch.stack([(T[a, :3, 3] + T[c, :3, 3]) / 2 - T[b, :3, 3] for a, b, c in at]).norm(dim=1)
    step = (T[1:, :3, 3] - T[:-1, :3, 3]).norm(dim=1).median()
    assert half.max() / step > 0.1
