"""Bundle adjustment against dense normal equations by autograd, against scipy, and on scenes that were planted."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch import Tensor

from epipole.geometry import bundle as module
from epipole.geometry.anchors import Edges, Scene, residuals, robust_cost
from epipole.geometry.bundle import DAMPING, Solved, bundle_adjust
from epipole.geometry.motion import angle, se3_exp
from tests.geometry.planted import F64, disturbed, noisy, planted

SIGMA = 0.5


def moved(scene: Scene, x: Tensor) -> Scene:
    """The scene after a step x: twists of the cameras, change of log focal and lens, changes of inverse depth."""
    n, m = scene.inverse_depth.shape
    twists, log_focal, lens, dq = x.split([6 * n, 1, len(scene.lens), n * m])
    K = scene.K * (1 + (log_focal.exp() - 1) * torch.diag(torch.tensor([1, 1, 0])).to(x))
    return Scene(se3_exp(twists.view(n, 6)) @ scene.T_camera_world, scene.inverse_depth + dq.view(n, m), K,
                 scene.lens + lens)


def first_two(scene: Scene) -> Tensor:
    """A gauge without freedom: two poses are held."""
    return torch.arange(len(scene.T_camera_world)) < 2


def dense_step(scene: Scene, edges: Edges, pixels: Tensor, held: Tensor, log_prior: Tensor | None = None,
               weight: float = 0.0) -> tuple[Tensor, Tensor]:
    """The first Levenberg-Marquardt step in all unknowns at once, and the inverse of the damped normal matrix."""
    cameras = 6 * len(scene.T_camera_world) + 1 + len(scene.lens)
    zero = torch.zeros(cameras + scene.inverse_depth.numel(), dtype=F64)
    J = torch.autograd.functional.jacobian(lambda x: residuals(moved(scene, x), edges, pixels)[0], zero)
    r, counts = residuals(scene, edges, pixels)
    w = edges.weight * counts / (1 + (r / SIGMA).square().sum(-1)) / SIGMA**2
    H = torch.einsum("em,emka,emkb->ab", w, J, J)
    g = torch.einsum("em,emk,emka->a", w, r, J)
    if log_prior is not None:
        q = scene.inverse_depth.flatten()
        H.diagonal()[-len(q):] += weight / q**2
        g[-len(q):] += weight * (q.log() - log_prior.flatten()) / q
    H = H + DAMPING * torch.diag(H.diagonal()) + 1e-6 * torch.eye(len(H), dtype=F64)
    free = torch.cat([~held, torch.ones(scene.inverse_depth.numel(), dtype=torch.bool)])
    step, inverse = zero.clone(), torch.zeros_like(H)
    inverse[free.nonzero(), free.nonzero().T] = torch.linalg.inv(H[free][:, free])
    step[free] = torch.linalg.solve(H[free][:, free], -g[free])
    return step, inverse


def same(a: Scene, b: Scene, tolerance: float) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("free_focal", [False, True])
@pytest.mark.parametrize("weight", [0.0, 3.0])
@pytest.mark.parametrize("k1", [None, 0.0, -0.2, 0.15])
def test_a_step_with_depths_eliminated_is_the_dense_step(free_focal, weight, k1):
    """Every Jacobian (poses of both frames, depth, focal length, lens), the weights and the Schur complement in one."""
    scene, edges, pixels = planted(3, 5, k1=k1)
    edges = noisy(edges, 0.3)._replace(weight=torch.linspace(0, 1, 30, dtype=F64).view(6, 5))
    edges = edges.subset(torch.tensor([5, 0, 3, 1, 2]))  # frame 2 has one edge, the others have two
    start = disturbed(scene, 0.003, 0.02, 0.02 if free_focal else 0.0)
    held = torch.zeros(19 + len(scene.lens), dtype=torch.bool)
    held[:6], held[18:] = True, not free_focal
    step, inverse = dense_step(start, edges, pixels, held, scene.inverse_depth.log(), weight)
    solved = bundle_adjust(start, edges, pixels, iterations=1, sigma=SIGMA, free_focal=free_focal,
                           prior=scene.inverse_depth, prior_weight=weight)
    assert solved.cost < robust_cost(start, edges, pixels, SIGMA)
    same(solved.scene, moved(start, step), 1e-9)
    expected = float(inverse[18, 18].sqrt()) if free_focal else float("inf")
    assert solved.log_focal_sd == pytest.approx(expected)


def test_steps_do_not_depend_on_the_order_of_edges_nor_on_chunks(monkeypatch):
    scene, edges, pixels = planted(5, 8)
    edges, start = noisy(edges, 0.3), disturbed(scene, 0.01, 0.05)
    whole = bundle_adjust(start, edges, pixels, iterations=3).scene
    monkeypatch.setattr(module, "CHUNK", 2)
    same(whole, bundle_adjust(start, edges, pixels, iterations=3).scene, 1e-9)
    mixed = edges.subset(torch.randperm(len(edges.source), generator=torch.Generator().manual_seed(0)))
    same(whole, bundle_adjust(start, mixed, pixels, iterations=3).scene, 1e-9)


def whitened(scene: Scene, edges: Edges, pixels: Tensor) -> Tensor:
    """Residuals whose squares sum to the Cauchy cost: r sqrt(log(1 + s) / s) / sigma, s = |r|^2 / sigma^2."""
    r = residuals(scene, edges, pixels)[0] / SIGMA
    s = r.square().sum(-1, keepdim=True)
    return r * (torch.log1p(s) / s).sqrt() * edges.weight[..., None].sqrt()


def by_scipy(start: Scene, edges: Edges, pixels: Tensor, prior: Tensor | None = None, weight: float = 0.0) -> Scene:
    """The minimum over all frames but the first two, the focal length and all depths."""
    n, m = start.inverse_depth.shape

    def unpacked(x: np.ndarray) -> Scene:
        return moved(start, torch.cat([torch.zeros(12, dtype=F64), torch.from_numpy(x)]))

    def cost(x: np.ndarray) -> np.ndarray:
        scene = unpacked(x)
        parts = [whitened(scene, edges, pixels).flatten()]
        if prior is not None:
            parts.append(weight**0.5 * (scene.inverse_depth / prior).log().flatten())
        return torch.cat(parts).numpy()

    found = least_squares(cost, np.zeros(6 * (n - 2) + 1 + n * m), x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14)
    return unpacked(found.x)


@pytest.mark.parametrize("how", [{}, {"damping": 1e-8, "settle": 2}], ids=["damped", "settled"])
def test_the_minimum_is_that_of_scipy(how):
    scene, edges, pixels = planted(3, 6)
    edges, start = noisy(edges, 0.5), disturbed(scene, 0.005, 0.03, 0.03, keep=2)
    solved = bundle_adjust(start, edges, pixels, fixed=first_two(scene), free_focal=True, sigma=SIGMA, iterations=300,
                           tolerance=0.0, **how)
    twin = by_scipy(start, edges, pixels)
    same(solved.scene, twin, 1e-5)
    assert solved.cost == pytest.approx(robust_cost(twin, edges, pixels, SIGMA))


def test_the_minimum_with_a_prior_is_that_of_scipy():
    """The prior is part of what is minimised, not only of the steps."""
    scene, edges, pixels = planted(3, 6)
    edges, start = noisy(edges, 0.5), disturbed(scene, 0.005, 0.03, keep=2)
    prior = 1.1 * scene.inverse_depth
    solved = bundle_adjust(start, edges, pixels, fixed=first_two(scene), free_focal=True, sigma=SIGMA, iterations=300,
                           prior=prior, prior_weight=50.0, tolerance=0.0)
    same(solved.scene, by_scipy(start, edges, pixels, prior, 50.0), 1e-5)


def with_outliers(edges: Edges, share: float) -> Edges:
    """This share of what was seen is up to 30 px off."""
    generator = torch.Generator().manual_seed(3)
    wrong = torch.rand(edges.weight.shape, generator=generator) < share
    off = 60 * torch.rand(edges.observed.shape, generator=generator, dtype=F64) - 30
    return edges._replace(observed=edges.observed + wrong[..., None] * off)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_planted_poses_depths_and_focal_length_are_recovered_among_outliers(dtype):
    scene, edges, pixels = planted(6, 40)
    edges, start = with_outliers(edges, 0.15), disturbed(scene, 0.02, 0.1, 0.05, keep=2)
    start, edges = Scene(*(x.to(dtype) for x in start)), Edges(*(x.to(dtype) if x.is_floating_point() else x
                                                                 for x in edges))
    solved = bundle_adjust(start, edges, pixels.to(dtype), fixed=first_two(scene), free_focal=True, sigma=SIGMA,
                           iterations=60, tolerance=1e-7)
    T, q, K, _ = (x.double() for x in solved.scene)
    assert solved.scene.T_camera_world.dtype == dtype
    assert angle(T[:, :3, :3].mT @ scene.T_camera_world[:, :3, :3]).max() < 1e-3
    assert (T - scene.T_camera_world)[:, :3, 3].abs().max() < 5e-3
    assert float((q / scene.inverse_depth).log().abs().median()) < 1e-3
    assert float(K[0, 0] / scene.K[0, 0]) == pytest.approx(1, abs=2e-3)
    assert float(K[1, 1] / K[0, 0]) == pytest.approx(1.1)
    assert 0 < solved.log_focal_sd < 0.01


def test_the_scale_of_the_gauge_stays():
    """Only the first frame is held; nothing but the damping keeps the size of the scene."""
    scene, edges, pixels = planted(5, 30)
    start = disturbed(scene, 0.01, 0.05)
    solved = bundle_adjust(start, noisy(edges, 0.2), pixels, iterations=30)
    drift = (solved.scene.inverse_depth / start.inverse_depth).log().median()
    assert abs(float(drift)) < 0.05


def test_fixed_frames_and_a_given_focal_length_stay_bit_for_bit():
    scene, edges, pixels = planted(5, 12)
    start, fixed = disturbed(scene, 0.02, 0.05, 0.02), torch.tensor([False, True, False, True, False])
    solved = bundle_adjust(start, noisy(edges, 0.3), pixels, fixed=fixed)
    T, _, K, _ = solved.scene
    assert torch.equal(T[fixed], start.T_camera_world[fixed])
    assert (T[~fixed] != start.T_camera_world[~fixed]).flatten(1).any(1).all()
    assert torch.equal(K, start.K)
    assert solved.log_focal_sd == float("inf")


def test_the_first_frame_is_held_unless_told_otherwise():
    scene, edges, pixels = planted()
    start = disturbed(scene, 0.01, 0.05)
    solved = bundle_adjust(start, edges, pixels)
    assert torch.equal(solved.scene.T_camera_world[0], start.T_camera_world[0])


def test_what_it_is_given_is_left_as_it_was():
    scene, edges, pixels = planted()
    start = disturbed(scene, 0.01, 0.05)
    before = [x.clone() for x in (*start, *edges, pixels)]
    bundle_adjust(start, edges, pixels, free_focal=True)
    assert all(torch.equal(a, b) for a, b in zip(before, (*start, *edges, pixels), strict=True))


def test_a_prior_moves_what_nobody_saw_and_hardly_what_was_seen():
    scene, edges, pixels = planted(4, 12)
    weight = edges.weight.clone()
    weight[edges.source == 1, :4] = 0
    prior = 2 * scene.inverse_depth
    solved = bundle_adjust(scene, edges._replace(weight=weight), pixels, fixed=first_two(scene), sigma=0.1,
                           iterations=60, prior=prior, prior_weight=0.1, tolerance=0.0)
    change = solved.scene.inverse_depth / scene.inverse_depth
    torch.testing.assert_close(change[1, :4], torch.full((4,), 2.0, dtype=F64), rtol=1e-3, atol=0)
    change[1, :4] = 1
    assert change.log().abs().max() < 0.02


def test_a_prior_reaches_unseen_anchors_where_the_rest_is_solved():
    """From the exact solution no step can make the reprojection error smaller; the prior alone has to move them."""
    scene, edges, pixels = planted(3, 6)
    weight = edges.weight.clone()
    weight[edges.source == 2, 0] = 0
    prior = scene.inverse_depth.clone()
    prior[2, 0] *= 0.2
    solved = bundle_adjust(scene, edges._replace(weight=weight), pixels, iterations=60, prior=prior, prior_weight=1.0,
                           tolerance=0.0)
    torch.testing.assert_close(solved.scene.inverse_depth, prior, rtol=1e-3, atol=0)


def test_a_point_behind_the_camera_teaches_nothing_and_breaks_nothing():
    """An anchor so near that it lies behind another camera which says it sees it: the same steps as without it."""
    scene, edges, pixels = planted(4, 12)
    T = scene.T_camera_world.clone()
    T[3, 2, 3] -= 1.0
    scene = scene._replace(T_camera_world=T)
    seen = residuals(scene, edges, pixels)[0] + edges.observed
    edges = noisy(edges._replace(observed=seen), 0.2)
    q = scene.inverse_depth.clone()
    q[0, 0] = 2.5
    start = scene._replace(inverse_depth=q)
    counts = residuals(start, edges, pixels)[1]
    assert 0 < (~counts).sum() < 4
    without = edges._replace(weight=edges.weight * counts)
    a, b = (bundle_adjust(start, some, pixels, iterations=1) for some in (edges, without))
    same(a.scene, b.scene, 1e-12)
    assert a.cost > b.cost
    solved = bundle_adjust(start, edges, pixels, iterations=40)
    assert all(torch.isfinite(x).all() for x in solved.scene)
    assert solved.cost < a.cost


def test_depth_never_turns_negative():
    """What was seen asks for a point beyond infinity."""
    scene, edges, pixels = planted(3, 6)
    off = edges.observed.clone()
    away = off - residuals(scene._replace(inverse_depth=torch.zeros_like(scene.inverse_depth)), edges, pixels)[0]
    solved = bundle_adjust(scene, edges._replace(observed=2 * (off - away) + off), pixels,
                           fixed=torch.ones(3, dtype=torch.bool))
    assert (solved.scene.inverse_depth > 0).all()


def test_a_frame_without_edges_stays_and_does_not_disturb_the_others():
    scene, edges, pixels = planted(5, 12)
    start = disturbed(scene, 0.01, 0.05)
    some = noisy(edges, 0.3).subset((edges.source != 4) & (edges.target != 4))
    solved = bundle_adjust(start, some, pixels)
    four = bundle_adjust(Scene(start.T_camera_world[:4], start.inverse_depth[:4], start.K), some, pixels)
    assert torch.equal(solved.scene.T_camera_world[4], start.T_camera_world[4])
    assert torch.equal(solved.scene.inverse_depth[4], start.inverse_depth[4])
    same(Scene(solved.scene.T_camera_world[:4], solved.scene.inverse_depth[:4], solved.scene.K), four.scene, 1e-9)


@pytest.mark.parametrize("settle", [0, 1])
@pytest.mark.parametrize("unseen", [True, False])
def test_nothing_seen_changes_nothing(unseen, settle):
    scene, edges, pixels = planted(3, 6)
    nothing = edges._replace(weight=torch.zeros_like(edges.weight)) if unseen else edges.subset(edges.source < 0)
    solved: Solved = bundle_adjust(scene, nothing, pixels, free_focal=True, settle=settle)
    assert solved.cost == 0
    same(solved.scene, scene, 0.0)


def test_settled_depths_are_the_best_for_their_cameras():
    """From wrong depths before true cameras, all of them held: enough rounds end where depths alone are at a minimum,
    and a few rounds in one step go farther than the step alone."""
    scene, edges, pixels = planted(4, 12)
    edges, start = noisy(edges, 0.2), disturbed(scene, 0.0, 0.2)
    fixed = torch.ones(4, dtype=torch.bool)
    costs = [bundle_adjust(start, edges, pixels, fixed=fixed, sigma=2.0, iterations=1, settle=k) for k in (0, 1, 3, 30)]
    assert costs[0].cost > costs[1].cost > costs[2].cost
    best = bundle_adjust(start, edges, pixels, fixed=fixed, sigma=2.0, iterations=200, tolerance=0.0)
    same(costs[3].scene, best.scene, 1e-5)


@pytest.mark.parametrize("k1", [-0.25, 0.0, 0.2])
def test_the_lens_is_found_beside_the_focal_length(k1):
    """From a pinhole and a wrong focal length; where the lens bends nothing, the picture's corners stay."""
    scene, edges, pixels = planted(6, 40, k1=k1)
    start = disturbed(scene, 0.01, 0.05, 0.08, keep=2)._replace(lens=torch.zeros(1, dtype=F64))
    solved = bundle_adjust(start, noisy(edges, 0.1), pixels, iterations=60, free_focal=True, damping=1e-8, settle=1,
                           tolerance=1e-9)
    assert float(solved.scene.lens) == pytest.approx(k1, rel=0.03, abs=0.005)
    assert float(solved.scene.K[0, 0]) == pytest.approx(100, rel=0.005)
    pinhole = bundle_adjust(start._replace(lens=torch.zeros(0, dtype=F64)), noisy(edges, 0.1), pixels, iterations=60,
                            free_focal=True, damping=1e-8, settle=1, tolerance=1e-9)
    assert (pinhole.cost > 2 * solved.cost) == bool(k1)


def test_a_lens_is_held_where_the_focal_length_is():
    scene, edges, pixels = planted(4, 12, k1=-0.2)
    solved = bundle_adjust(disturbed(scene, 0.01, 0.05), noisy(edges, 0.1), pixels)
    assert torch.equal(solved.scene.lens, scene.lens)
    assert torch.equal(solved.scene.K, scene.K)


def test_cost_falls_and_never_rises():
    scene, edges, pixels = planted(4, 12)
    edges, start = with_outliers(noisy(edges, 0.3), 0.2), disturbed(scene, 0.1, 1.2, 0.3)
    costs = [bundle_adjust(start, edges, pixels, iterations=k, free_focal=True, damping=1e-8, tolerance=0.0).cost
             for k in range(13)]
    assert costs == sorted(costs, reverse=True)
    refused = [k for k in range(12) if costs[k + 1] == costs[k]]
    assert refused  # a step too long is not taken,
    assert costs[-1] < 0.8 * costs[refused[0]]  # and shorter ones go on
