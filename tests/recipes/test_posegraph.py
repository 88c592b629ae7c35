import numpy as np
import pytest
import torch

from epipole.geometry.motion import se3_exp
from epipole.judges.motion import ate, path_length
from epipole.recipes.learn_video.posegraph import Relative, chained, optimise, rescaled


def curve(n: int) -> np.ndarray:
    """A camera that looks ahead along a winding way."""
    twist = torch.zeros(n - 1, 6, dtype=torch.float64)
    s = torch.arange(n - 1, dtype=torch.float64)
    twist[:, 2], twist[:, 4], twist[:, 3] = 0.1, 0.04 * torch.sin(s / 40), 0.01 * torch.cos(s / 11)
    path = [np.eye(4)]
    for step in se3_exp(twist).numpy():
        path.append(path[-1] @ step)
    return np.stack(path)


def between(path: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.linalg.inv(path[a]) @ path[b]


def measured(path: np.ndarray, gaps=(1, 2, 3, 5), rotation=0.0, translation=0.0, seed=0) -> list[Relative]:
    """Relative motions with noise (radians; share of the translation)."""
    rng, edges = np.random.default_rng(seed), []
    for gap in gaps:
        for a in range(len(path) - gap):
            T = between(path, a, a + gap)
            length = np.linalg.norm(T[:3, 3])
            noise = np.concatenate([translation * length * rng.normal(size=3), rotation * rng.normal(size=3)])
            T = T @ se3_exp(torch.from_numpy(noise)).numpy()
            edges.append(Relative(a, a + gap, T, max(rotation, 1e-4), max(translation, 1e-3) * float(length)))
    return edges


def drifting(edges: list[Relative], scale: np.ndarray) -> list[Relative]:
    """The edges as measured in units that differ from frame to frame."""
    return rescaled(edges, 1 / scale)


def wrong(edges: list[Relative], share: float, seed: int = 1) -> list[Relative]:
    """Some edges replaced by nonsense; the steps from frame to frame stay, so that the graph stays connected."""
    rng, spoiled = np.random.default_rng(seed), list(edges)
    candidates = [i for i, e in enumerate(edges) if e.b - e.a > 1]
    for i in rng.choice(candidates, int(share * len(edges)), replace=False):
        twist = torch.from_numpy(np.concatenate([rng.normal(size=3), 0.5 * rng.normal(size=3)]))
        spoiled[i] = edges[i]._replace(T_a_b=edges[i].T_a_b @ se3_exp(twist).numpy())
    return spoiled


def error(path: np.ndarray, truth: np.ndarray) -> float:
    """ATE after Sim(3), per cent of the path."""
    return 100 * ate(path, truth) / path_length(truth)


def test_exact_edges_give_the_path_back_from_a_poor_start():
    truth = curve(40)
    start = truth.copy()
    start[1:, :3, 3] += np.random.default_rng(0).normal(scale=0.1, size=(39, 3))
    np.testing.assert_allclose(optimise(40, measured(truth), start), truth, atol=1e-6)


def test_drift_of_scale_is_taken_out():
    truth, scale = curve(200), np.linspace(1.0, 1.3, 200)
    edges = drifting(measured(truth, rotation=1e-4, translation=5e-3), scale)
    lost = optimise(200, edges, chained(200, edges))
    known = rescaled(edges, scale)
    found = optimise(200, known, chained(200, known))
    assert error(lost, truth) > 0.9  # the drift is there
    assert error(found, truth) < 0.05


def test_gross_errors_in_five_per_cent_of_the_edges_do_no_harm():
    truth, scale = curve(200), np.linspace(1.0, 1.3, 200)
    edges = rescaled(wrong(drifting(measured(truth, rotation=1e-4, translation=5e-3), scale), 0.05), scale)
    assert error(optimise(200, edges, chained(200, edges)), truth) < 0.05


def test_sigmas_a_tenth_of_the_errors_do_not_lose_the_edges():
    truth = curve(60)
    edges = measured(truth, rotation=2e-3, translation=5e-2)
    bold = [e._replace(sigma_rotation=e.sigma_rotation / 10, sigma_translation=e.sigma_translation / 10) for e in edges]
    start = chained(60, edges)
    assert error(optimise(60, bold, start), truth) < 1.5 * error(optimise(60, edges, start), truth) + 0.1


def test_the_better_edge_counts_for_more():
    near, far = np.eye(4), np.eye(4)
    near[0, 3], far[0, 3] = 1.0, 1.2
    path = optimise(2, [Relative(0, 1, near, 0.1, 0.1), Relative(0, 1, far, 0.1, 0.2)], np.tile(np.eye(4), (2, 1, 1)))
    assert 1.0 < path[1, 0, 3] < 1.07  # 1.04 by least squares, less by the robust one


def test_the_direction_of_an_edge_does_not_matter():
    truth = curve(10)
    there = measured(truth)
    back = [Relative(e.b, e.a, np.linalg.inv(e.T_a_b), e.sigma_rotation, e.sigma_translation) for e in there]
    for edges in (there, back):
        np.testing.assert_allclose(chained(10, edges), truth, atol=1e-12)
        np.testing.assert_allclose(optimise(10, edges, chained(10, edges)), truth, atol=1e-6)


def test_held_frames_stay_and_drawn_frames_give_way():
    step = np.eye(4)
    step[0, 3] = 1.0
    start = np.tile(np.eye(4), (3, 1, 1))
    start[2, 0, 3] = 3.0
    edges = [Relative(0, 1, step, 0.01, 0.1), Relative(1, 2, step, 0.01, 0.1)]
    fixed = optimise(3, edges, start, held={0: 0.0, 2: 0.0})
    np.testing.assert_allclose(fixed[[0, 2]], start[[0, 2]], atol=1e-9)
    assert fixed[1, 0, 3] == pytest.approx(1.5, abs=1e-3)
    drawn = optimise(3, edges, start, held={0: 0.0, 2: 10.0})
    assert drawn[2, 0, 3] == pytest.approx(2.0, abs=0.02)


def test_the_same_twice():
    truth = curve(50)
    edges = wrong(measured(truth, rotation=1e-3, translation=0.02), 0.05)
    start = chained(50, edges)
    np.testing.assert_array_equal(optimise(50, edges, start), optimise(50, edges, start))


def test_rescaling_changes_lengths_alone():
    edges = measured(curve(5))
    scale = np.array([1.0, 2, 3, 4, 5])
    for before, after in zip(edges, rescaled(edges, scale), strict=True):
        factor = np.sqrt(scale[before.a] * scale[before.b])
        np.testing.assert_allclose(after.T_a_b[:3, 3], factor * before.T_a_b[:3, 3])
        np.testing.assert_array_equal(after.T_a_b[:3, :3], before.T_a_b[:3, :3])
        assert after.sigma_translation == pytest.approx(factor * before.sigma_translation)
        assert after.sigma_rotation == before.sigma_rotation


def test_a_frame_without_edges_stays_where_it_was():
    start = curve(4)
    step = Relative(0, 1, between(start, 0, 1), 0.01, 0.01)
    np.testing.assert_allclose(optimise(4, [step], start), start, atol=1e-9)
    np.testing.assert_array_equal(optimise(4, [], start), start)
    np.testing.assert_allclose(chained(4, [step])[3], start[1], atol=1e-12)


def test_a_part_that_hangs_on_nothing_keeps_its_own_shape():
    start = curve(6)
    edges = [e for e in measured(start, gaps=(1,)) if e.a != 2]
    moved = start.copy()
    moved[4, 0, 3] += 0.05
    path = optimise(6, edges, moved)
    np.testing.assert_allclose(path[:3], start[:3], atol=1e-6)
    for a in (3, 4):
        np.testing.assert_allclose(between(path, a, a + 1), between(start, a, a + 1), atol=1e-4)
