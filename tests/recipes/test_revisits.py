"""A long way that crosses its beginning for a moment, with a path that has drifted too far to show it."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from epipole.geometry.anchors import Scene
from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.recipes.learn_video import matches
from epipole.recipes.learn_video.closing import closed
from epipole.recipes.learn_video.correspond import FlowStore, KeyImages, chain_pairs
from epipole.recipes.learn_video.matches import features, homography_guesses, matched_pairs
from epipole.recipes.learn_video.rejoin import straightened
from epipole.recipes.learn_video.revisits import revisits
from epipole.recipes.learn_video.solve import edges_of
from epipole.recipes.learn_video.wide import wide_pairs
from tests.recipes.textures import ListedFootage, seen, shift

SIZE = (96, 64)                 # of the network; the wall lies at depth 1
K = torch.tensor([[80.0, 0, 47.5], [0, 80.0, 31.5], [0, 0, 1]])
STEP = 24                       # px of the network from one frame to the next
WAY = [(i, 0) for i in range(-4, 10)] + [(10, i) for i in range(9)] + [(i, 9) for i in range(10, 2, -1)] \
    + [(2, i) for i in range(9, -2, -1)]        # round a block and across the way's beginning
N, FIRST, AGAIN = len(WAY), 6, 40               # frames that stand at one place


class Walk(NamedTuple):
    keys: KeyImages
    true: Scene


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> Walk:
    images = [seen(shift(2.0 * STEP * x, 2.0 * STEP * 2 / 3 * y), (2 * SIZE[0], 2 * SIZE[1])) for x, y in WAY]
    keys = KeyImages.write(tmp_path_factory.mktemp("walk") / "keys", ListedFootage(images), range(N), SIZE)
    twist = torch.zeros(N, 6)
    twist[:, :2] = -STEP / 80 * torch.tensor([(x, 2 / 3 * y) for x, y in WAY])
    return Walk(keys, Scene(se3_exp(twist), torch.ones(N, 96), K))


@pytest.fixture
def few(monkeypatch) -> None:
    """As few are compared all with all as of thousands."""
    monkeypatch.setattr(matches, "MOST_FRAMES", 4)
    monkeypatch.setattr(matches, "FEW_FRAMES", 4)


def drifted(scene: Scene, share: float) -> Scene:
    """The unit of every frame's steps and depths changed little by little, as odometry loses it."""
    scale = (1 + share) ** (np.arange(N) / (N - 1))
    path = straightened(se3_inverse(scene.T_camera_world).double().numpy(), 1 / scale)
    q = scene.inverse_depth * torch.from_numpy(scale)[:, None].to(K)
    return Scene(se3_inverse(torch.from_numpy(path)).to(K), q, K)


def gap(scene: Scene) -> float:
    """How far apart both are, per cent of the way."""
    place = se3_inverse(scene.T_camera_world)[:, :3, 3]
    return 100 * float((place[AGAIN] - place[FIRST]).norm() / place.diff(dim=0).norm(dim=1).sum())


def pixels() -> torch.Tensor:
    v, u = torch.meshgrid(torch.arange(4.0, 64, 8), torch.arange(4.0, 96, 8), indexing="ij")
    return torch.stack([u, v], -1).reshape(-1, 2)


def loops(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(a, b) for a, b in pairs if b - a > 20]


def test_what_the_path_cannot_show_is_seen(walk, few, tmp_path, monkeypatch):
    """By geometry no pair leads from the end to the beginning, nor by comparing some frames all with all."""
    lost, chain = drifted(walk.true, 0.9), chain_pairs([0] * N, (1,))
    assert loops(wide_pairs(walk.true, pixels(), SIZE, set(chain), [0] * N, 2 * N))
    assert not loops(wide_pairs(lost, pixels(), SIZE, set(chain), [0] * N, 2 * N))
    with monkeypatch.context() as patch:
        patch.setattr(matches, "revisits", lambda *_: [])
        assert not loops([(m.a, m.b) for m in matched_pairs(walk.keys.gray, 5)])
    found = matched_pairs(walk.keys.gray, 5)
    pairs = [(m.a, m.b) for m in found]
    assert loops(pairs)
    assert all(np.abs(np.subtract(WAY[a], WAY[b])).max() <= 3 for a, b in pairs)    # of one place, all of them
    every = sorted({*chain, *pairs})
    store = FlowStore.build(tmp_path / "flow", walk.keys, every, homography_guesses(walk.keys.gray, found))
    edges, at = edges_of([store])
    far = (edges.source - edges.target).abs() > 20
    assert gap(lost) > 5
    assert closed(lost, edges, torch.zeros_like(far), at) is None
    joined = closed(lost, edges, far, at)
    assert gap(joined) < 0.3 * gap(lost)
    assert loops(wide_pairs(joined, pixels(), SIZE, set(chain), [0] * N, 2 * N))    # and now geometry sees it


def test_the_same_pairs_again_and_few(walk, few):
    def words(k: int) -> torch.Tensor:
        return features(walk.keys.gray[k]).words

    found = revisits(N, words, range(0, N, 12))
    assert found == revisits(N, words, range(0, N, 12))
    assert all(b - a >= 30 for a, b in found)
    assert (FIRST, AGAIN) in found[:3]
    first, second = (matched_pairs(walk.keys.gray, 5) for _ in range(2))
    assert [m[:2] for m in first] == [m[:2] for m in second]
    assert revisits(N, lambda _: torch.zeros(0, 128), range(N)) == []


def test_where_nothing_is_left_out_nothing_is_added(walk, monkeypatch):
    """Frames that are compared all with all, or lie between chained ones, need no other proposal."""
    def never(*_):
        raise AssertionError("there was nothing to look for")

    monkeypatch.setattr(matches, "revisits", never)
    assert loops([(m.a, m.b) for m in matched_pairs(walk.keys.gray, 5)])
    monkeypatch.setattr(matches, "MOST_FRAMES", 10)
    matched_pairs(walk.keys.gray, 5)
