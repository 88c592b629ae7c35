"""Loops of a walk among planted landmarks, in which everything is known, and of a real drive there and back."""

import math
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from scipy.interpolate import LinearNDInterpolator
from torch import Tensor

from epipole.geometry.align import umeyama
from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import angle, move, se3_exp, se3_inverse
from epipole.geometry.sim3 import sim3, sim3_inverse, sim3_parts
from epipole.pipelines import loops
from epipole.pipelines.loops import Config, Place, agreement, alike, find_loops, link
from epipole.pipelines.places import Features, candidates, describe, learn_vocabulary, matched, root_sift
from epipole.pipelines.pose_graph import Link, optimise, rescaled, rigid
from epipole.sources.plain import read_truth

N, APART = 48, 12
K = intrinsics(100.0, 100.0, 79.5, 59.5)


class Walk(NamedTuple):
    """A walk twice round a pillar hall."""

    T_world_camera: Tensor
    unit: Tensor            # of every frame's depth, in units of the world
    places: list[Place]

    def S(self, i: int) -> Tensor:
        return rescaled(self.T_world_camera[i], self.unit[i])


@pytest.fixture(scope="module")
def walk() -> Walk:
    generator = torch.Generator().manual_seed(0)
    landmarks = 12 * torch.rand(3000, 3, generator=generator, dtype=torch.float64) - 6
    landmarks = landmarks[landmarks[:, [0, 2]].norm(dim=1) > 3.5] * torch.tensor([1, 0.4, 1])
    words = torch.nn.functional.normalize(torch.randn(len(landmarks), 32, generator=generator), dim=1)
    turn = 4 * math.pi * torch.arange(N, dtype=torch.float64) / N
    twist = torch.zeros(N, 6, dtype=torch.float64)
    twist[:, 4] = turn
    T, unit = se3_exp(twist), 1.3 ** (torch.arange(N, dtype=torch.float64) / (N - 1))
    T[:, :3, 3] = torch.stack([turn.sin(), 0.1 * (2.2 * turn).sin(), turn.cos()], 1)
    return Walk(T, unit, [seen(T[i], unit[i], landmarks, words, generator) for i in range(N)])


def seen(T: Tensor, unit: Tensor, landmarks: Tensor, words: Tensor, generator: torch.Generator) -> Place:
    X = move(se3_inverse(T), landmarks)
    uv = X[:, :2] / X[:, 2:] * 100 + K[:2, 2]
    inside = (X[:, 2] > 0.5) & (uv > 0).all(1) & (uv < torch.tensor([159, 119])).all(1)
    inside = inside.nonzero()[:, 0][:200]
    noisy = words[inside] + 0.03 * torch.randn(len(inside), 32, generator=generator)
    pixels = uv[inside] + 0.3 * torch.randn(len(inside), 2, generator=generator)
    depth = X[inside, 2] / unit * torch.exp(0.03 * torch.randn(len(inside), generator=generator))
    return Place(Features(pixels.float(), torch.nn.functional.normalize(noisy, dim=1)), depth.float())


def test_what_looks_alike_is_the_same_place_a_round_later(walk):
    pairs = alike(walk.places, Config(apart=APART, most=2))
    assert all(b - a >= APART for a, b in pairs)
    right = [abs(b - a - N // 2) <= 2 for a, b in pairs]
    assert sum(right) / len(right) > 0.8
    assert {(a, a + N // 2) for a in range(N // 2)} <= set(pairs)


class Stored(Sequence[Place]):
    """Places that are made when they are asked for; `most`: how many were there at once."""

    def __init__(self, places: list[Place]) -> None:
        self.places, self.alive, self.most = places, weakref.WeakSet[Tensor](), 0

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, k: int) -> Place:
        kept = self.places[k]
        words = kept.features.words.clone()
        self.alive.add(words)
        self.most = max(self.most, len(self.alive))
        return Place(Features(kept.features.points, words), kept.depth)


def test_of_many_places_few_are_in_memory(walk, monkeypatch):
    monkeypatch.setattr(loops, "TAUGHT_BY", 10)
    places = Stored(walk.places)
    pairs = alike(places, Config(apart=APART, most=2))
    assert places.most <= 14
    assert sum(abs(b - a - N // 2) <= 2 for a, b in pairs) > 0.8 * len(pairs) > 0


def test_candidates_keep_their_distance_in_time():
    places = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.9, 0], [0.2, 1]]), dim=1)
    assert candidates(places, 2, 1) == [(0, 3), (1, 3), (2, 4)]
    assert candidates(places, 5, 3) == []


def test_a_link_is_the_true_similarity(walk):
    a, b = 3, 3 + N // 2
    found = link(walk.places[a], walk.places[b], a, b, K)
    assert found is not None
    scale, R, t = errors(walk, found)
    assert scale < 0.02
    assert R < 0.01
    assert t < 0.1
    assert not found.trusted
    assert float(sim3_parts(found.S_a_b)[0]) == pytest.approx(float(walk.unit[b] / walk.unit[a]), rel=0.02)


def test_another_place_is_refused(walk):
    assert link(walk.places[3], walk.places[3 + N // 4], 3, 3 + N // 4, K) is None


def test_the_same_words_elsewhere_are_refused(walk):
    """What a bag of words cannot tell: all the right words in the wrong places."""
    a, b = walk.places[3], walk.places[3 + N // 2]
    mixed = torch.randperm(len(b.depth), generator=torch.Generator().manual_seed(0))
    shuffled = Place(Features(b.features.points[mixed], b.features.words), b.depth[mixed])
    assert len(matched(a.features, shuffled.features)) > 50
    assert agreement(a.features, shuffled.features, K) is None
    assert link(a, shuffled, 3, 27, K) is None


def test_a_picture_of_the_place_is_refused(walk):
    """Pixels agree, depth does not."""
    a, b = walk.places[3], walk.places[3 + N // 2]
    other = b.depth * torch.exp(1.5 * torch.randn(len(b.depth), generator=torch.Generator().manual_seed(0)))
    assert link(a, Place(b.features, other), 3, 27, K) is None


def test_unknown_depth_makes_no_link(walk):
    a, b = walk.places[3], walk.places[3 + N // 2]
    assert agreement(a.features, b.features, K) is not None
    assert link(a, Place(b.features, torch.full_like(b.depth, torch.nan)), 3, 27, K) is None


def test_loops_of_images_close_the_walk(walk):
    """From images to a path without drift; the images only name their features."""
    images = [np.full((120, 160), i, np.uint8) for i in range(N)]
    depth = [as_map(place) for place in walk.places]
    loops = find_loops(images, depth, K, Config(apart=APART), lambda gray: walk.places[gray[0, 0]].features)
    assert len(loops) >= N // 2
    scale, R, t = np.array([errors(walk, k) for k in loops]).max(0)
    assert scale < 0.05
    assert R < 0.03
    assert t < 0.3
    steps, path = odometry(walk.T_world_camera, walk.unit)
    graph = optimise([*steps, *loops], path)
    assert ate(path, walk.T_world_camera) > 0.06
    assert ate(rigid(graph.S_world_camera), walk.T_world_camera) < 0.02


def test_images_without_features_have_no_loops():
    blank = [np.zeros((60, 80), np.uint8)] * 4
    assert find_loops(blank, [torch.ones(60, 80)] * 4, K, Config(apart=1)) == []


def test_a_vocabulary_is_the_same_for_a_seed(walk):
    words = [place.features.words for place in walk.places]
    first, second = (learn_vocabulary(words, 8, seed) for seed in (1, 1))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first.shape == (8, 32)
    assert describe(words, first).shape == (N, 8 * 32)


def errors(walk: Walk, found: Link) -> tuple[float, float, float]:
    """Of the logarithm of scale, of rotation in radians, and of translation in the unit of frame b."""
    scale, R, t = sim3_parts(sim3_inverse(sim3_inverse(walk.S(found.a)) @ walk.S(found.b)) @ found.S_a_b)
    return float(scale.log().abs()), float(angle(R)), float(t.norm())


def as_map(place: Place) -> Tensor:
    depth = torch.zeros(120, 160)
    u, v = place.features.points.round().long().unbind(1)
    depth[v.clamp(0, 119), u.clamp(0, 159)] = place.depth
    return depth


def odometry(T: Tensor, unit: Tensor) -> tuple[list[Link], Tensor]:
    """What odometry says that does not notice how its unit changes, and the path it chains up to."""
    links, path = [], [torch.eye(4, dtype=torch.float64)]
    for i in range(len(T) - 1):
        _, R, t = sim3_parts(sim3_inverse(rescaled(T[i], unit[i])) @ rescaled(T[i + 1], unit[i + 1]))
        links.append(Link(i, i + 1, sim3(torch.ones_like(unit[i]), R, t), 0.005, 0.02 * float(t.norm()) + 1e-3, 0.01))
        path.append(path[-1] @ links[-1].S_a_b)
    return links, torch.stack(path)


def ate(path: Tensor, truth: Tensor) -> float:
    x, y = path[:, :3, 3], truth[:, :3, 3]
    c, R, t = umeyama(x, y)
    return float((c * x @ R.T + t - y).square().sum(-1).mean().sqrt())


@pytest.mark.slow
def test_a_drive_there_and_back_closes(shared_data: Path):
    """KITTI 03 forwards by every 8th frame, backwards by those half way between; the odometry's unit drifts by 20 %."""
    folder = shared_data / "kitti_odom_03"
    if not folder.is_dir():
        pytest.skip("KITTI 03 is not there")
    truth = read_truth(folder)
    assert truth.T_world_camera is not None
    assert truth.K is not None
    order = [*range(0, 796, 8), *range(788, 0, -8)]
    T = torch.from_numpy(truth.T_world_camera[order])
    unit = 1.2 ** (torch.arange(len(order), dtype=torch.float64) / (len(order) - 1))
    images = [cv2.imread(str(truth.images[i]), cv2.IMREAD_GRAYSCALE) for i in order]
    depth = [dense(truth.depth[i]) / float(u) for i, u in zip(order, unit, strict=True)]
    loops = find_loops(images, depth, torch.from_numpy(truth.K), Config(apart=10))
    apart = torch.tensor([float((T[k.a] - T[k.b])[:3, 3].norm()) for k in loops])
    assert len(loops) > 30
    assert float(apart.max()) < 20  # m: all see the same place
    steps, path = odometry(T, unit)
    graph = optimise([*steps, *loops], path)
    length = float(T[:, :3, 3].diff(dim=0).norm(dim=1).sum())
    scale = umeyama(rigid(graph.S_world_camera)[:100, :3, 3], T[:100, :3, 3])[0]
    end = float((scale * graph.S_world_camera[-1, :3, 3] - (se3_inverse(T[0]) @ T[-1])[:3, 3]).norm())
    drift = float((path[-1, :3, 3] - (se3_inverse(T[0]) @ T[-1])[:3, 3]).norm())
    print(f"{len(loops)} loops, farthest {apart.max():.1f} m; end off by {100 * drift / length:.2f} % -> "
          f"{100 * end / length:.2f} %; ATE {ate(path, T):.2f} m -> {ate(rigid(graph.S_world_camera), T):.2f} m")
    assert drift / length > 0.03
    assert end / length < 0.01
    assert root_sift(images[0]).words.shape[1] == 128


def dense(known) -> Tensor:
    """Points of a frame as a map, linear in inverse depth between them; 0 where nothing is known."""
    if len(known.z) < 4:
        return torch.zeros(192, 640, dtype=torch.float64)
    v, u = np.mgrid[: known.height, : known.width]
    return torch.from_numpy(1 / np.nan_to_num(LinearNDInterpolator(known.pixels, 1 / known.z)(u, v), nan=np.inf))
