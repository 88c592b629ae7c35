"""The Sim(3) pose graph against planted drift, false loops, finite differences and an SE(3) graph."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from epipole.geometry.align import umeyama
from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.geometry.sim3 import sim3, sim3_exp, sim3_inverse, sim3_parts
from epipole.pipelines.pose_graph import Link, _linearised, _Measured, _residual, optimise, rescaled, rigid
from epipole.recipes.learn_video.posegraph import Relative
from epipole.recipes.learn_video.posegraph import optimise as optimise_rigid

N = 60


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def ring(turns: float = 1.0) -> Tensor:
    """T_world_camera of a walk on a circle of radius 5, a little up and down, looking ahead."""
    angle = 2 * math.pi * turns * torch.arange(N, dtype=torch.float64) / (N - 1)
    twist = torch.zeros(N, 6, dtype=torch.float64)
    twist[:, 4] = -angle
    T = se3_exp(twist)
    T[:, :3, 3] = 5 * torch.stack([angle.cos() - 1, 0.1 * (3 * angle).sin(), angle.sin()], -1)
    return T


def drifting(T: Tensor, drift: float, noise: float = 0.0) -> tuple[list[Link], Tensor]:
    """Odometry whose unit shrinks evenly until it is off by this share at the end, and the path it chains up to."""
    unit = (1 + drift) ** (torch.arange(N, dtype=torch.float64) / (N - 1))
    S = rescaled(T, unit)  # what a camera measures in its own unit
    links, path = [], [torch.eye(4, dtype=torch.float64)]
    for i in range(N - 1):
        step = sim3_inverse(S[i]) @ S[i + 1] @ sim3_exp(noise * torch.randn(7, dtype=torch.float64))
        _, R, t = sim3_parts(step)
        measured = sim3(torch.ones((), dtype=torch.float64), R, t)  # odometry does not notice that its unit changes
        links.append(Link(i, i + 1, measured, 0.01, 0.05, 0.01))
        path.append(path[-1] @ measured)
    return links, torch.stack(path)


def loop(T: Tensor, drift: float, a: int, b: int) -> Link:
    unit = (1 + drift) ** (torch.arange(N, dtype=torch.float64) / (N - 1))
    S = rescaled(T, unit)
    return Link(a, b, sim3_inverse(S[a]) @ S[b], 0.01, 0.05, 0.01, trusted=False)


def ate(path: Tensor, truth: Tensor) -> float:
    """RMSE of the positions after alignment by Sim(3)."""
    x, y = path[:, :3, 3], truth[:, :3, 3]
    c, R, t = umeyama(x, y)
    return float((c * x @ R.T + t - y).square().sum(-1).mean().sqrt())


def test_a_loop_takes_out_the_drift_of_scale():
    T = ring()
    links, path = drifting(T, 0.10)
    graph = optimise([*links, loop(T, 0.10, 0, N - 1), loop(T, 0.10, 2, N - 3)], path)
    before, after = ate(path, T), ate(rigid(graph.S_world_camera), T)
    assert before > 0.1
    assert after < 0.02
    scale = sim3_parts(graph.S_world_camera)[0]
    assert float(scale[-1]) == pytest.approx(1.10, abs=0.005)
    assert float(scale[N // 2]) == pytest.approx(1.10**0.5, abs=0.01)
    assert float(graph.weight[-2:].min()) > 0.5


def test_rigid_poses_cannot_take_it_out():
    T = ring()
    links, path = drifting(T, 0.10)
    ends = [loop(T, 0.10, 0, N - 1), loop(T, 0.10, 2, N - 3)]
    edges = [Relative(k.a, k.b, rigid(k.S_a_b).numpy(), k.sigma_rotation, k.sigma_translation) for k in [*links, *ends]]
    rigid_path = torch.from_numpy(optimise_rigid(N, edges, path.numpy()))
    graph = optimise([*links, *ends], path)
    assert ate(rigid_path, T) > 5 * ate(rigid(graph.S_world_camera), T)


def test_false_loops_are_let_go_and_true_ones_kept():
    T = ring()
    links, path = drifting(T, 0.10, 0.001)
    true = [loop(T, 0.10, k, N - 1 - k) for k in range(3)]
    false = [loop(T, 0.10, 10, 40)._replace(S_a_b=torch.eye(4, dtype=torch.float64)),
             loop(T, 0.10, 20, 58)._replace(S_a_b=se3_exp(torch.tensor([0.2, 0, 0.1, 0, 0.1, 0], dtype=torch.float64)))]
    with_false, without = optimise([*links, *true, *false], path), optimise([*links, *true], path)
    assert float(with_false.weight[-2:].max()) < 0.02
    assert float(with_false.weight[-5:-2].min()) > 0.4
    assert ate(rigid(with_false.S_world_camera), rigid(without.S_world_camera)) < 0.01
    believed = optimise([*links, *true, *(f._replace(trusted=True) for f in false)], path)
    assert ate(rigid(believed.S_world_camera), T) > 20 * ate(rigid(with_false.S_world_camera), T)


def test_a_false_loop_alone_leaves_the_path():
    T = ring()
    links, path = drifting(T, 0.0)
    false = loop(T, 0.0, 5, 45)._replace(S_a_b=torch.eye(4, dtype=torch.float64))
    graph = optimise([*links, false], path)
    assert float(graph.weight[-1]) < 0.01
    assert ate(rigid(graph.S_world_camera), T) < 0.02


def test_exact_links_give_the_truth_from_a_poor_start():
    T = ring(0.7)
    S = rescaled(T, torch.linspace(1.0, 2.0, N, dtype=torch.float64))
    pairs = [(i, i + k) for i in range(N) for k in (1, 3) if i + k < N]
    links = [Link(a, b, sim3_inverse(S[a]) @ S[b], 0.01, 0.01, 0.01) for a, b in pairs]
    start = S @ sim3_exp(0.1 * torch.randn(N, 7, dtype=torch.float64))
    start[0] = S[0]
    torch.testing.assert_close(optimise(links, start).S_world_camera, S, atol=1e-6, rtol=0)


def test_the_jacobian_is_that_of_finite_differences():
    S = sim3_exp(0.3 * torch.randn(3, 7, dtype=torch.float64))
    moved = sim3_exp(0.5 * torch.randn(2, 7, dtype=torch.float64))
    links = [Link(0, 1, moved[0], 0.1, 0.2, 0.3), Link(2, 1, moved[1], 0.1, 0.2, 0.3)]
    measured, free = _Measured(links), torch.tensor([True, True, True])
    J, _ = _linearised(S, measured, torch.ones(2, dtype=torch.float64), free)
    numeric, eps = np.zeros(J.shape), 1e-6
    for k in range(21):
        d = torch.zeros(21, dtype=torch.float64)
        d[k] = eps
        plus, minus = (_residual(S @ sim3_exp(s * d.reshape(3, 7)), measured) for s in (1, -1))
        numeric[:, k] = ((plus - minus) * measured.over_sigma / (2 * eps)).flatten().numpy()
    np.testing.assert_allclose(J.toarray(), numeric, atol=1e-6)


def test_held_frames_and_those_without_a_link_stay():
    T = ring()
    links, path = drifting(T, 0.10)
    graph = optimise([link for link in links if link.b < 40], path, held=(0, 20))
    for i in (0, 20, 45):
        torch.testing.assert_close(graph.S_world_camera[i], path[i], atol=1e-9, rtol=0)


def test_nothing_measured_changes_nothing():
    graph = optimise([], ring())
    torch.testing.assert_close(graph.S_world_camera, ring())
    assert len(graph.weight) == 0


def test_rigid_undoes_rescaled():
    T = ring()
    torch.testing.assert_close(rigid(rescaled(T, torch.linspace(0.5, 2, N, dtype=torch.float64))), T)
    step = se3_inverse(T[0]) @ T[1]
    torch.testing.assert_close(rigid(step), step)
