"""Voxel grids against closed forms, slabs tried one by one, and Yan's own formula."""

import math

import numpy as np
import pytest
import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3_exp
from epipole.geometry.planesweep import inverse_depth_planes
from epipole.geometry.sample import sample_volume
from epipole.geometry.voxels import first_hit, occupancy, perspective_transform, ray_box, silhouette, traverse

F64 = torch.float64


def rays(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """From around and within a grid of 6 x 5 x 4 voxels (x, y, z), most of them towards it."""
    g = torch.Generator().manual_seed(seed)
    size = torch.tensor([6, 5, 4], dtype=F64)
    origin = (torch.rand(n, 3, generator=g, dtype=F64) * 3 - 1) * size
    return origin, torch.rand(n, 3, generator=g, dtype=F64) * size - origin


def slab(origin, direction, low, high) -> tuple[float, float] | None:
    """Scalar loop over the three pairs of planes."""
    enter, leave = 0.0, math.inf
    for o, d, a, b in zip(origin, direction, low, high, strict=True):
        if d == 0:
            if not a <= o <= b:
                return None
            continue
        one, two = sorted(((a - o) / d, (b - o) / d))
        enter, leave = max(enter, one), min(leave, two)
    return (enter, leave) if enter <= leave else None


def test_ray_box_equals_the_loop_over_slabs():
    origin, direction = rays(300)
    direction[::7, 0] = 0
    direction[::5, 2] = 0
    low, high = torch.zeros(3, dtype=F64), torch.tensor([6, 5, 4], dtype=F64)
    enter, leave, hit = ray_box(origin, direction, low.expand(300, 3), high.expand(300, 3))
    for k in range(300):
        expected = slab(origin[k].tolist(), direction[k].tolist(), low.tolist(), high.tolist())
        assert bool(hit[k]) == (expected is not None)
        assert (float(enter[k]), float(leave[k])) == pytest.approx(expected or (0, 0))
    assert 50 < int(hit.sum()) < 299


def test_ray_box_has_gradients_and_none_is_nan():
    origin, direction = torch.tensor([[-1.0, 2.0, 2.0]], dtype=F64), torch.tensor([[1.0, 0.2, -0.3]], dtype=F64)
    low, high = torch.zeros(1, 3, dtype=F64), torch.full((1, 3), 4.0, dtype=F64)
    inputs = tuple(x.requires_grad_() for x in (origin, direction, low, high))
    assert torch.autograd.gradcheck(lambda *x: ray_box(*x)[:2], inputs)
    still = torch.zeros(3, 3, dtype=F64)
    still[1, 0] = 1.0
    still.requires_grad_()
    at = torch.tensor([[5.0, 0, 0], [5.0, 0, 0], [2.0, 2, 2]], dtype=F64, requires_grad=True)
    enter, leave, hit = ray_box(at, still, low.detach().expand(3, 3), high.detach().expand(3, 3))
    assert hit.tolist() == [False, False, True]
    (enter + torch.where(leave.isfinite(), leave, 0)).sum().backward()
    assert at.grad.isfinite().all()
    assert still.grad.isfinite().all()


def test_traversal_finds_exactly_the_voxels_whose_slabs_the_ray_meets():
    origin, direction = rays(200)
    direction[::6, 1] = 0
    direction[::9, 0] = -direction[::9, 0]
    found = traverse(origin, direction, (4, 5, 6))
    for k in range(200):
        expected = {}
        for x, y, z in np.ndindex(6, 5, 4):
            met = slab(origin[k].tolist(), direction[k].tolist(), (x, y, z), (x + 1, y + 1, z + 1))
            if met and met[1] - met[0] > 1e-9:
                expected[x, y, z] = met
        mine = {tuple(v.tolist()): (float(a), float(b)) for v, a, b, ok in zip(*(f[k] for f in found), strict=True)
                if ok and b - a > 1e-9}
        assert mine.keys() == expected.keys()
        for voxel, met in mine.items():
            assert met == pytest.approx(expected[voxel])
        order = [float(a) for a, ok in zip(found.enter[k], found.inside[k], strict=True) if ok]
        assert order == sorted(order)


def test_traversal_of_no_rays_and_of_none_that_meets():
    miss = traverse(torch.full((3, 3), -1.0), torch.full((3, 3), -1.0), (4, 5, 6))
    assert miss.voxel.shape == (3, 0, 3)
    assert traverse(torch.zeros(0, 3), torch.zeros(0, 3), (4, 5, 6)).inside.shape == (0, 0)
    assert traverse(torch.zeros(1, 3), torch.ones(1, 3), (4, 5, 6), most=2).voxel.shape == (1, 2, 3)


def test_first_hit_is_the_first_occupied_crossing():
    origin, direction = rays(300)
    occupied = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(1)) < 0.15
    crossing, hit = traverse(origin, direction, (4, 5, 6)), first_hit(occupied, origin, direction)
    for k in range(300):
        full = [s for s in range(crossing.voxel.shape[1])
                if crossing.inside[k, s] and occupied[tuple(crossing.voxel[k, s].flip(0).tolist())]]
        assert bool(hit.hit[k]) == bool(full)
        if full:
            assert torch.equal(hit.voxel[k], crossing.voxel[k, full[0]])
            assert hit.enter[k] == crossing.enter[k, full[0]]
    assert 50 < int(hit.hit.sum()) < 280


def test_occupancy_counts_points():
    g = torch.Generator().manual_seed(0)
    points = torch.rand(2, 500, 3, generator=g, dtype=F64) * 8 - 1
    points[0, :3] = torch.tensor([math.nan, math.inf, -math.inf], dtype=F64)[:, None]
    counts = occupancy(points, (4, 5, 6))
    for b in range(2):
        edges = [np.arange(n + 1) for n in (6, 5, 4)]
        inside = points[b].isfinite().all(1)
        expected, _ = np.histogramdd(points[b][inside].numpy(), edges)
        np.testing.assert_array_equal(counts[b].numpy(), expected.transpose(2, 1, 0))
    assert occupancy(torch.zeros(0, 3), (1, 1, 1)).item() == 0


def cube_view(side: int = 32) -> torch.Tensor:
    """A cube of 10 voxels in the middle of 20, seen along z from 3 half-widths before its centre; 90 degrees wide."""
    volume = torch.zeros(1, 1, 20, 20, 20, dtype=F64)
    volume[..., 5:15, 5:15, 5:15] = 1
    T = torch.eye(4, dtype=F64)
    T[:3, :3] *= 10
    T[:3, 3] = torch.tensor([10.0, 10, 10 - 30])
    K = intrinsics(side / 2, side / 2, (side - 1) / 2, (side - 1) / 2)
    depths = inverse_depth_planes(1.5, 5.0, 64)
    return perspective_transform(volume, T[None], K[None], depths, (side, side))


def test_the_silhouette_of_a_cube_is_that_of_its_near_face():
    mask = silhouette(cube_view())[0, 0] > 0.5
    u = (torch.arange(32.0) - 15.5) / 16
    inside = u.abs() < 0.5 / 2.5  # half a side over the distance of the near face
    expected = inside[:, None] & inside
    assert float((mask & expected).sum()) / float((mask | expected).sum()) > 0.97


def test_near_faces_look_larger_than_far_ones():
    frustum, depths = cube_view(96)[0, 0], inverse_depth_planes(1.5, 5.0, 64)
    size = [int((frustum[int((depths - z).abs().argmin())] > 0.5).sum()) for z in (2.6, 3.4)]
    assert size[0] / size[1] == pytest.approx((3.4 / 2.6) ** 2, rel=0.25)


def test_it_is_yans_formula_in_other_words():
    """Their points: (1/disp, y/disp, x/disp, 1) by K = diag(1, 1/f, 1/f) and [R | -R (f + 1/2, 0, 0)], looked up with
    the grid on [-1, 1] and depth along its first axis; here the camera looks along z."""
    f, n = math.sqrt(3) / 2, 8
    volume = torch.rand(1, 1, 6, 6, 6, dtype=F64, generator=torch.Generator().manual_seed(0))
    R = se3_exp(torch.tensor([0, 0, 0, 0.1, 0.5, -0.3], dtype=F64))[:3, :3]
    disparity = torch.linspace(1 / (f + math.sqrt(3)), 1 / f, n, dtype=F64)
    line = torch.linspace(-1, 1, n, dtype=F64)
    d, y, x = torch.meshgrid(disparity, line, line, indexing="ij")
    theirs = torch.stack([1 / d - f - 0.5, y / d / f, x / d / f])  # depth, y, x
    turned = torch.einsum("ij,jdyx->idyx", R, theirs).flip(0)
    expected = sample_volume(volume, (turned[None] + 1) / 2 * 5)

    swap = torch.eye(3, dtype=F64).flip(0)  # (depth, y, x) <-> (x, y, depth)
    T = torch.eye(4, dtype=F64)
    rotation = swap @ R @ swap
    T[:3, :3] = rotation * 2.5
    T[:3, 3] = 3 + 2.5 * rotation @ torch.tensor([0, 0, -f - 0.5], dtype=F64)
    K = intrinsics(f * (n - 1) / 2, f * (n - 1) / 2, (n - 1) / 2, (n - 1) / 2)
    torch.testing.assert_close(perspective_transform(volume, T[None], K[None], 1 / disparity, (n, n)), expected)


def test_gradients_reach_the_volume_and_the_camera():
    volume = torch.rand(1, 1, 3, 3, 3, dtype=F64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    T = torch.diag(torch.tensor([1.5, 1.5, 1.5, 1], dtype=F64))
    T[:3, 3] = torch.tensor([1.4, 1.6, -0.9], dtype=F64)
    K = intrinsics(3.0, 3.0, 0.7, 0.6)[None]

    def view(v, t):
        return silhouette(perspective_transform(v, t[None], K, torch.tensor([1.1, 1.4], dtype=F64), (2, 2)))

    assert torch.autograd.gradcheck(view, (volume, T.requires_grad_()))
