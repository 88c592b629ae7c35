"""Anchors against their naive twins: points by way of the world, the direct linear transform, least squares."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from epipole.geometry.anchors import (
    BEHIND,
    Edges,
    Scene,
    leaving,
    project,
    rays,
    reproject,
    residuals,
    robust_cost,
    triangulate,
)
from epipole.geometry.motion import se3, se3_exp, se3_inverse
from tests.geometry.planted import F64, noisy, planted, points


def first_to(scene: Scene, edges: Edges, targets: list[int]) -> Edges:
    """The edges from frame 0 to these frames."""
    wanted = torch.isin(edges.target, torch.tensor(targets)) & (edges.source == 0)
    return edges.subset(wanted)


def direct_linear_transform(scene: Scene, edges: Edges, pixels: Tensor, k: int) -> float:
    """Inverse depth in frame 0 of anchor k: the null vector of the equations u P3 - P1 = 0, v P3 - P2 = 0."""
    cameras, seen = [scene.K @ torch.eye(4, dtype=F64)[:3]], [pixels[k]]
    for j, observed in zip(edges.target, edges.observed, strict=True):
        T_target_first = scene.T_camera_world[j] @ torch.linalg.inv(scene.T_camera_world[0])
        cameras.append(scene.K @ T_target_first[:3])
        seen.append(observed[k])
    rows = [uv[a] * P[2] - P[a] for P, uv in zip(cameras, seen, strict=True) for a in (0, 1)]
    X = np.linalg.svd(torch.stack(rows).numpy())[2][-1]
    return float(X[3] / X[2])


def test_rays_meet_their_pixels_at_depth_one():
    scene, _, pixels = planted()
    back = rays(pixels, scene.K) @ scene.K.T
    torch.testing.assert_close(back, torch.cat([pixels, torch.ones_like(pixels[:, :1])], -1))


@pytest.mark.parametrize("k1", [-0.25, 0.0, 0.3])
def test_straightened_rays_bend_back_to_their_pixels(k1):
    scene, _, pixels = planted(k1=k1)
    ray = rays(pixels, scene.K, scene.lens)
    uv, seen = project(ray, scene.K, scene.lens)
    assert seen.all()
    torch.testing.assert_close(uv + scene.K[:2, 2], pixels)
    expected = points(scene._replace(inverse_depth=torch.ones_like(scene.inverse_depth)), pixels, 0, 0)
    torch.testing.assert_close(ray, expected)
    if not k1:
        assert torch.equal(ray, rays(pixels, scene.K))


def test_beyond_the_fold_of_a_lens_nothing_is_seen_and_all_is_finite():
    K, lens = torch.tensor([[50.0, 0, 50], [0, 50, 50], [0, 0, 1]], dtype=F64), torch.tensor([-0.4], dtype=F64)
    pixels = torch.tensor([[0.0, 0.0], [50.0, 50.0], [60.0, 50.0]], dtype=F64).requires_grad_()
    ray = rays(pixels, K, lens)
    ray.sum().backward()
    assert torch.isfinite(ray).all()
    assert torch.isfinite(pixels.grad).all()
    far = torch.tensor([[2.0, 0, 1], [0.3, 0.3, 1], [0.3, 0.3, -1]], dtype=F64)
    assert project(far, K, lens)[1].tolist() == [False, True, False]


@pytest.mark.parametrize("k1", [None, -0.15, 0.3])
def test_observations_through_a_lens_leave_no_residual(k1):
    scene, edges, pixels = planted(k1=k1)
    r, counts = residuals(scene, edges, pixels)
    assert counts.double().mean() > (0.9 if k1 else 1 - 1e-9)  # a few lie beyond a barrel lens's fold
    assert r[counts].abs().max() < 1e-10


def test_reprojection_is_the_way_through_the_world():
    scene, edges, pixels = planted()
    Y, T = reproject(scene, pixels, edges.source, edges.target)
    for e, (i, j) in enumerate(zip(edges.source.tolist(), edges.target.tolist(), strict=True)):
        torch.testing.assert_close(Y[e] / scene.inverse_depth[i][:, None], points(scene, pixels, i, j))
        torch.testing.assert_close(T[e], scene.T_camera_world[j] @ se3_inverse(scene.T_camera_world[i]))


def test_a_point_at_infinity_turns_but_does_not_move():
    scene, _, pixels = planted()
    far = scene._replace(inverse_depth=torch.zeros_like(scene.inverse_depth))
    Y, T = reproject(far, pixels, torch.tensor(0), torch.tensor(1))
    torch.testing.assert_close(Y, rays(pixels, scene.K) @ T[:3, :3].T)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_what_was_planted_leaves_no_residual(dtype):
    scene, edges, pixels = planted()
    scene, pixels = Scene(*(x.to(dtype) for x in scene)), pixels.to(dtype)
    edges = edges._replace(observed=edges.observed.to(dtype), weight=edges.weight.to(dtype))
    r, counts = residuals(scene, edges, pixels)
    assert r.dtype == dtype
    assert counts.all()
    assert r.abs().max() < (1e-3 if dtype == torch.float32 else 1e-11)


def test_residuals_are_in_pixels_and_point_from_what_was_seen():
    scene, edges, pixels = planted()
    moved = edges._replace(observed=edges.observed - torch.tensor([3.0, -2.0], dtype=F64))
    r, _ = residuals(scene, moved, pixels)
    torch.testing.assert_close(r, torch.tensor([3.0, -2.0], dtype=F64).expand_as(r))


def turned_away() -> tuple[Scene, Edges, Tensor]:
    """Two cameras back to back: the second sees nothing of the first's."""
    scene, edges, pixels = planted(frames=2)
    T = torch.stack([torch.eye(4, dtype=F64), se3_exp(torch.tensor([0, 0, 0, 0, math.pi, 0], dtype=F64))])
    return scene._replace(T_camera_world=T), edges, pixels


def test_a_point_behind_the_camera_does_not_count_but_costs():
    scene, edges, pixels = turned_away()
    r, counts = residuals(scene, edges, pixels)
    assert not counts.any()
    assert torch.isfinite(r).all()
    assert robust_cost(scene, edges, pixels, 0.5) == pytest.approx(BEHIND)
    assert pytest.approx(math.log1p(100**2), rel=0.01) == BEHIND


def test_cost_is_the_weighted_mean_over_observations(generator):
    scene, edges, pixels = planted()
    edges = noisy(edges, 2.0)._replace(weight=torch.rand(edges.weight.shape, generator=generator, dtype=F64))
    r, _ = residuals(scene, edges, pixels)
    total = count = 0.0
    for e in range(len(edges.source)):
        for k in range(len(pixels)):
            w = float(edges.weight[e, k])
            total += w * math.log(1 + (float(r[e, k, 0]) ** 2 + float(r[e, k, 1]) ** 2) / 0.7**2)
            count += w
    assert robust_cost(scene, edges, pixels, 0.7) == pytest.approx(total / count)


def test_cost_of_many_edges_is_that_of_few():
    """More edges than are computed at a time."""
    scene, edges, pixels = planted()
    edges = noisy(edges, 1.0)
    many = Edges(*(torch.cat([field] * 50) for field in edges))
    assert len(many.source) == 600
    assert robust_cost(scene, many, pixels, 0.5) == pytest.approx(robust_cost(scene, edges, pixels, 0.5))


def test_what_was_not_seen_costs_nothing():
    scene, edges, pixels = planted()
    unseen = noisy(edges, 9.0)._replace(weight=torch.zeros_like(edges.weight))
    assert robust_cost(scene, unseen, pixels, 0.5) == 0
    assert robust_cost(scene, edges.subset(edges.source < 0), pixels, 0.5) == 0


def test_subsets_join_to_the_whole():
    _, edges, _ = planted()
    parts = [edges.subset(edges.source == i) for i in range(4)]
    for whole, *fields in zip(edges, *parts, strict=True):
        assert torch.equal(whole, torch.cat(fields))  # planted edges are sorted by source


def test_every_edge_leaves_its_frame_once_and_little_is_padded():
    _, edges, _ = planted(9, 3)
    some = edges.subset(edges.target <= (5 * edges.source) % 9)  # none leaves the first frame
    groups = leaving(some, 9, 2)
    found = {int(frame): row[row >= 0].tolist() for group in groups for frame, row in zip(*group, strict=True)}
    assert found == {i: torch.nonzero(some.source == i)[:, 0].tolist() for i in range(1, 9)}
    assert [len(group.frames) for group in groups] == [2, 2, 2, 2]
    assert all(bool((group.edges[-1] >= 0).all()) for group in groups)
    widths = [group.edges.shape[1] for group in groups]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    assert leaving(edges.subset(edges.source < 0), 9, 2) == []


@pytest.mark.parametrize("targets", [[1], [1, 2, 3]])
def test_triangulation_of_exact_tracks_is_the_direct_linear_transform(targets):
    scene, edges, pixels = planted()
    own = first_to(scene, edges, targets)
    unknown = scene._replace(inverse_depth=torch.ones_like(scene.inverse_depth))
    q = triangulate(unknown, own, pixels, 0, 0.25)
    twin = [direct_linear_transform(scene, own, pixels, k) for k in range(len(pixels))]
    torch.testing.assert_close(q, torch.tensor(twin, dtype=F64), rtol=1e-8, atol=0)
    torch.testing.assert_close(q, scene.inverse_depth[0], rtol=1e-8, atol=0)


def test_triangulation_of_noisy_tracks_is_least_squares_along_the_ray(generator):
    scene, edges, pixels = planted()
    edges = noisy(edges, 0.5)._replace(weight=torch.rand(edges.weight.shape, generator=generator, dtype=F64))
    own = edges.subset(edges.source == 0)
    found = triangulate(scene, own, pixels, 0, 0.25)
    for k in range(len(pixels)):
        a, b = [], []
        for j, observed, w in zip(own.target.tolist(), own.observed, own.weight, strict=True):
            T = (scene.T_camera_world[j] @ torch.linalg.inv(scene.T_camera_world[0])).numpy()
            seen, ray = (rays(x, scene.K).numpy() for x in (observed[k], pixels[k]))
            a.append(math.sqrt(w[k]) * np.cross(T[:3, 3], seen))
            b.append(-math.sqrt(w[k]) * np.cross(T[:3, :3] @ ray, seen))
        q = np.linalg.lstsq(np.concatenate(a)[:, None], np.concatenate(b), rcond=None)[0]
        assert float(found[k]) == pytest.approx(float(q[0]))


def test_only_edges_that_leave_the_frame_are_used():
    scene, edges, pixels = planted()
    wrong = noisy(edges, 20.0)
    others = (edges.source != 0)[:, None, None]
    q = triangulate(scene, edges._replace(observed=torch.where(others, wrong.observed, edges.observed)), pixels, 0, 0.3)
    torch.testing.assert_close(q, scene.inverse_depth[0])


def test_without_parallax_or_sight_the_fallback_stands():
    scene, edges, pixels = planted()
    for share in (0.0, 1e-6):
        T = scene.T_camera_world.clone()
        T[:, :3, 3] *= share
        turning = planted_again(scene._replace(T_camera_world=T), edges, pixels)
        assert (triangulate(scene._replace(T_camera_world=T), turning, pixels, 0, 0.3) == 0.3).all()
    unseen = edges._replace(weight=torch.zeros_like(edges.weight))
    assert (triangulate(scene, unseen, pixels, 0, 0.3) == 0.3).all()
    assert (triangulate(scene, edges.subset(edges.source == 1), pixels, 0, 0.3) == 0.3).all()


def planted_again(scene: Scene, edges: Edges, pixels: Tensor) -> Edges:
    """The edges with what this scene shows."""
    r, _ = residuals(scene, edges, pixels)
    return edges._replace(observed=edges.observed + r)


def test_what_would_lie_behind_or_absurdly_near_gets_the_fallback():
    """A camera that moved to the right sees points go left; one that seems to go right would lie behind."""
    scene, edges, pixels = planted(frames=2)
    T = torch.stack([torch.eye(4, dtype=F64), se3(torch.eye(3, dtype=F64), torch.tensor([-0.1, 0, 0], dtype=F64))])
    scene = scene._replace(T_camera_world=T)
    shift = torch.zeros_like(edges.observed)
    for k, px in enumerate([-2.5, -5.0, 2.5, -600.0]):
        shift[:, k, 0] = px
    moved = edges._replace(observed=pixels + shift)
    q = triangulate(scene, moved, pixels, 0, 0.3)
    torch.testing.assert_close(q[:4], torch.tensor([0.25, 0.5, 0.3, 0.3], dtype=F64))
