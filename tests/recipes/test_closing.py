"""A walk there and back, longer than a window: what drifted on the way is taken out where the way back meets it."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import torch

from epipole.geometry.anchors import Edges, Scene
from epipole.geometry.motion import se3_inverse
from epipole.recipes.learn_video import adjust
from epipole.recipes.learn_video.adjust import adjust_all, adjust_some, windows
from epipole.recipes.learn_video.closing import closed, loop
from epipole.recipes.learn_video.rejoin import straightened
from epipole.recipes.learn_video.solve import edges_of
from tests.recipes.exact_room import both_ways, solution_of, store_of

ORDER = [*range(20), *range(18, -1, -1)]    # frames of the room
N = len(ORDER)
LOOPS = [(a, N - 1 - a + i) for a in range(12) for i in (-1, 1) if N - 1 - a + i < N]
PAIRS = [(a, a + gap) for a in range(N) for gap in (1, 2, 4) if a + gap < N] + LOOPS


class Walk(NamedTuple):
    edges: Edges
    pixels: torch.Tensor
    true: Scene


@pytest.fixture(scope="module")
def walk(exact, tmp_path_factory) -> Walk:
    seen = {}
    for a, b in {(ORDER[a], ORDER[b]) for a, b in PAIRS}:
        seen[a, b] = both_ways(exact.world, a, b)
    store = store_of(tmp_path_factory.mktemp("walk") / "walk", PAIRS, [seen[ORDER[a], ORDER[b]] for a, b in PAIRS])
    path = se3_inverse(exact.solution.scene.T_camera_world)[ORDER]
    true = solution_of(store, path, exact.depth[ORDER], exact.solution.scene.K)
    return Walk(*edges_of([store]), true.scene)


@pytest.fixture
def small_windows(monkeypatch) -> None:
    monkeypatch.setattr(adjust, "MOST_FRAMES", 12)
    monkeypatch.setattr(adjust, "OVERLAP", 4)


def path_of(scene: Scene) -> np.ndarray:
    return se3_inverse(scene.T_camera_world).double().numpy()


def end_drift(scene: Scene) -> float:
    """How far the end, where the walk began, is from the beginning, per cent of the way."""
    place = path_of(scene)[:, :3, 3]
    return 100 * float(np.linalg.norm(place[-1] - place[0]) / np.linalg.norm(np.diff(place, axis=0), axis=1).sum())


def scale_drift(scene: Scene, true: Scene) -> float:
    """Largest over least scale of a frame's depth, less one, per cent."""
    ratio = (scene.inverse_depth / true.inverse_depth).median(1).values
    return 100 * float(ratio.max() / ratio.min() - 1)


def drifted(scene: Scene, share: float) -> Scene:
    """The unit of every frame's steps and depths changed little by little, as odometry loses it."""
    scale = (1 + share) ** (np.arange(N) / (N - 1))
    path = torch.from_numpy(straightened(path_of(scene), 1 / scale)).to(scene.K)
    return Scene(se3_inverse(path), scene.inverse_depth * torch.from_numpy(scale)[:, None].to(scene.K), scene.K)


def crossing(walk: Walk) -> torch.Tensor:
    return (walk.edges.source - walk.edges.target).abs() > 8


def test_a_loop_is_the_true_similarity(walk):
    lost, e = drifted(walk.true, 0.5), int(torch.nonzero(crossing(walk))[0, 0])
    a, b = int(walk.edges.source[e]), int(walk.edges.target[e])
    found = loop(lost, walk.edges, e, walk.pixels)
    assert found is not None
    true = se3_inverse(walk.true.T_camera_world[[a, b]].double())
    R = (se3_inverse(true[0]) @ true[1])[:3, :3]
    scale = float(torch.linalg.det(found.S_a_b[:3, :3])) ** (1 / 3)
    assert scale == pytest.approx(1.5 ** ((b - a) / (N - 1)), rel=0.03)
    torch.testing.assert_close(found.S_a_b[:3, :3] / scale, R, atol=5e-3, rtol=0)


def test_another_place_makes_no_loop(walk):
    edges, e = walk.edges, int(torch.nonzero(crossing(walk))[0, 0])
    mixed = edges.observed.clone()
    mixed[e] = mixed[e][torch.randperm(len(walk.pixels), generator=torch.Generator().manual_seed(0))]
    assert loop(walk.true, edges._replace(observed=mixed), e, walk.pixels) is None
    assert closed(walk.true, edges._replace(weight=torch.zeros_like(edges.weight)), crossing(walk), walk.pixels) is None


@pytest.mark.parametrize("share", [0.5, -0.4])
def test_planted_drift_is_taken_out(walk, share):
    lost = drifted(walk.true, share)
    found = closed(lost, walk.edges, crossing(walk), walk.pixels)
    assert end_drift(lost) > 1
    assert end_drift(found) < 0.2 * end_drift(lost)
    assert scale_drift(lost, walk.true) > 40
    assert scale_drift(found, walk.true) < 8


def noisy(walk: Walk) -> Edges:
    """Flow that errs in the same way all over a picture, as it does where the light changes or a lens bends."""
    generator = torch.Generator().manual_seed(3)
    zoom = 1 + 0.01 * torch.randn(len(walk.edges.source), 1, 1, generator=generator)
    shift = 0.4 * torch.randn(len(walk.edges.source), 1, 2, generator=generator)
    middle = walk.pixels.mean(0)
    return walk.edges._replace(observed=middle + zoom * (walk.edges.observed - middle) + shift)


def test_windows_drift_and_loops_between_them_hold_them(walk, small_windows, monkeypatch):
    edges = noisy(walk)
    found = adjust_all(walk.true, edges, walk.pixels)
    monkeypatch.setattr(adjust, "closed", lambda *_: None)
    alone = adjust_all(walk.true, edges, walk.pixels)
    assert end_drift(alone.scene) > 1
    assert end_drift(found.scene) < 0.5 * end_drift(alone.scene)


def test_a_path_within_one_window_is_adjusted_as_ever(walk, monkeypatch):
    """To the bit, loops or no loops."""
    def never(*_):
        raise AssertionError("there was nothing to close")

    monkeypatch.setattr(adjust, "closed", never)
    found = adjust_all(walk.true, noisy(walk), walk.pixels, free_focal=True)
    exactly = Scene(*(field.double() for field in walk.true))
    fixed = torch.arange(N) < 1
    alone = adjust_some(exactly, noisy(walk), walk.pixels, torch.arange(N), fixed=fixed, free_focal=True,
                        iterations=15, tolerance=1e-5, damping=1e-8, settle=1)
    assert all(torch.equal(a, b.float()) for a, b in zip(found.scene, alone.scene, strict=True))
    assert found.cost == alone.cost


def test_windows_overlap_and_hold_every_frame(small_windows):
    found = [w.tolist() for w in windows(N)]
    assert sorted({i for w in found for i in w}) == list(range(N))
    assert all(first[-4:] == second[:4] for first, second in pairwise(found))
    assert [w.tolist() for w in windows(12)] == [list(range(12))]
