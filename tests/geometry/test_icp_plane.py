"""Point-to-plane ICP against planted motions, a search from scratch, and libraries of the field where installed."""

import math

import numpy as np
import pytest
import torch

from epipole.geometry import icp_plane as module
from epipole.geometry.camera import intrinsics, unproject
from epipole.geometry.icp import icp
from epipole.geometry.icp_plane import icp_plane, icp_projective
from epipole.geometry.motion import angle, move, se3_exp, se3_inverse, so3_exp
from epipole.geometry.normals import normals
from epipole.geometry.robust import cauchy, geman_mcclure, huber, tukey

F64 = torch.float64
PLANTED = se3_exp(torch.tensor([0.06, -0.04, 0.05, 0.02, -0.03, 0.025], dtype=F64))


def room(n: int, seed: int, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on the faces of a box of 4 x 3 x 5, and their normals."""
    g = torch.Generator().manual_seed(seed)
    face = torch.randint(0, 6, (n,), generator=g)
    points = torch.rand(n, 3, generator=g, dtype=F64)
    points[torch.arange(n), face % 3] = (face // 3).double()
    points = points * torch.tensor([4.0, 3, 5]) + noise * torch.randn(n, 3, generator=g, dtype=F64)
    return points, torch.eye(3, dtype=F64)[face % 3]


def errors(T: torch.Tensor, truth: torch.Tensor = PLANTED) -> tuple[float, float]:
    """Metres and degrees."""
    rest = T.double() @ se3_inverse(truth)
    return float(rest[:3, 3].norm()), math.degrees(angle(rest[:3, :3]))


def pair(n: int = 3000, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two different samples of a room: the source, the target and its normals."""
    target, normal = room(n, 0, noise)
    return move(se3_inverse(PLANTED), room(n, 1, noise)[0]), target, normal


def test_planes_are_found_though_no_point_is_seen_twice():
    source, target, normal = pair(8000)
    found = icp_plane(source, target, normal, reach=0.5).T_target_source
    metres, degrees = errors(found)  # pairs across an edge pull a little; a kernel sees that they are wrong
    assert metres < 1e-3
    assert degrees < 0.01
    robust = icp_plane(source, target, normal, found, 100, lambda r: tukey(r, 0.01), 0.5)
    assert errors(robust.T_target_source)[0] < 0.1 * metres
    assert errors(robust.T_target_source)[1] < 0.1 * degrees


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_copy_of_the_cloud_is_met_to_rounding(dtype):
    target, normal = (x.to(dtype) for x in room(3000, 0))
    source = move(se3_inverse(PLANTED).to(dtype), target)
    found = icp_plane(source, target, normal, iterations=100, reach=0.5)
    assert found.T_target_source.dtype == dtype
    assert errors(found.T_target_source)[0] < (1e-5 if dtype == torch.float32 else 1e-9)
    assert found.residual.abs().max() < (1e-4 if dtype == torch.float32 else 1e-8)


def test_the_result_is_where_a_search_from_scratch_stays(monkeypatch):
    """Bounds that spare a search never keep a wrong neighbour: at the end every pair is the nearest one."""
    source, target, normal = pair(4000, 0.01)
    found = icp_plane(source, target, normal, reach=0.4)
    moved = move(found.T_target_source, source)
    apart = torch.cdist(moved, target).amin(-1)
    torch.testing.assert_close(found.matched, apart <= 0.4)
    kept = found.matched
    torch.testing.assert_close(found.residual.norm(dim=-1)[kept], apart[kept], rtol=0, atol=1e-4)
    monkeypatch.setattr(module, "COARSE", 10**9)
    torch.testing.assert_close(icp_plane(source, target, normal, reach=0.4).T_target_source, found.T_target_source,
                               atol=1e-4, rtol=0)


def test_better_than_point_to_point():
    source, target, normal = pair(2000, 0.005)
    planes, points = icp_plane(source, target, normal, reach=0.3), icp(source, target, 30, reach=0.3)
    assert errors(planes.T_target_source)[0] < 0.5 * errors(points.T_target_source)[0]


def test_the_motion_turns_with_the_clouds_and_does_not_see_their_order(generator):
    source, target, normal = pair(1500, 0.005)
    A, B = se3_exp(0.3 * torch.randn(2, 6, generator=generator, dtype=F64))
    start = B @ se3_inverse(A)
    order = torch.randperm(1500, generator=generator)
    plain = icp_plane(source, target, normal, iterations=100, reach=0.4).T_target_source
    turned = icp_plane(move(A, source)[order], move(B, target)[order], (normal @ B[:3, :3].T)[order], start, 100,
                       reach=0.4).T_target_source
    torch.testing.assert_close(turned, B @ plain @ se3_inverse(A), atol=2e-4, rtol=0)


@pytest.mark.parametrize("unit", [2.0**-10, 2.0**10])
def test_the_unit_of_length_does_not_matter(unit):
    source, target, normal = pair(1500, 0.005)
    plain = icp_plane(source, target, normal, iterations=100, reach=0.4)
    other = icp_plane(unit * source, unit * target, normal, iterations=100, reach=0.4 * unit)
    assert torch.equal(other.matched, plain.matched)
    torch.testing.assert_close(other.residual / unit, plain.residual)
    torch.testing.assert_close(other.T_target_source[:3, :3], plain.T_target_source[:3, :3])


@pytest.mark.parametrize("kernel", [huber, cauchy, tukey, geman_mcclure])
def test_kernels_withstand_what_is_not_in_the_other_cloud(kernel):
    source, target, normal = pair(3000, 0.002)
    g = torch.Generator().manual_seed(5)
    clutter = torch.rand(600, 3, generator=g, dtype=F64) * torch.tensor([1.0, 1, 5]) + torch.tensor([0.05, 0.05, 0])
    source = torch.cat([source, move(se3_inverse(PLANTED), clutter)])
    plain = errors(icp_plane(source, target, normal).T_target_source)[0]
    robust = errors(icp_plane(source, target, normal, kernel=lambda r: kernel(r, 0.1)).T_target_source)[0]
    assert robust < (0.5 if kernel is huber else 0.2) * plain


def test_what_planes_leave_open_is_not_moved(generator):
    """One wall: only the distance to it and two turns are seen."""
    wall = torch.rand(500, 3, generator=generator, dtype=F64) * torch.tensor([3.0, 3, 0])
    normal = torch.tensor([0.0, 0, 1], dtype=F64).expand(500, 3)
    source = wall.clone().requires_grad_()
    found = icp_plane(source, wall + torch.tensor([0.4, 0.0, 0.1], dtype=F64), normal)
    torch.testing.assert_close(found.T_target_source[:3, 3], torch.tensor([0, 0, 0.1], dtype=F64), atol=1e-6, rtol=0)
    found.T_target_source.square().sum().backward()
    assert source.grad.isfinite().all()


@pytest.mark.parametrize("size", [1, 9])
def test_clouds_of_one_place_and_nothing_in_reach_are_finite(size):
    source = torch.ones(size, 3, requires_grad=True)
    normal = torch.tensor([[0.0, 0, 1]]).expand(5, 3)
    met = icp_plane(source, torch.zeros(5, 3), normal)
    (met.T_target_source.sum() + met.residual.sum()).backward()
    assert source.grad.isfinite().all()
    torch.testing.assert_close(move(met.T_target_source, source)[:, 2], torch.zeros(size), atol=1e-5, rtol=0)
    apart = icp_plane(source, torch.zeros(5, 3), normal, reach=0.1)
    torch.testing.assert_close(apart.T_target_source, torch.eye(4))
    assert not apart.matched.any()


def test_gradcheck_with_frozen_pairs(monkeypatch):
    """Two steps find the minimum wherever finite differences move it. The residuals are large, so that the curvature
    that Gauss-Newton leaves out has a say."""
    monkeypatch.setattr(module, "STILL", 0.0)
    target, normal, noise = torch.randn(3, 12, 3, generator=torch.Generator().manual_seed(2), dtype=F64)
    source, normal = target + 0.3 * noise, torch.nn.functional.normalize(normal, dim=-1)
    start = icp_plane(source, target, normal, None, 20).T_target_source
    start = icp_plane(source, target, normal, start, 20).T_target_source
    inputs = [x.requires_grad_() for x in (source, target, normal)]
    assert torch.autograd.gradcheck(lambda a, b, n: icp_plane(a, b, n, start, 2)[:2], inputs, atol=1e-6)


def test_no_iteration_is_refused():
    with pytest.raises(ValueError, match="iteration"):
        icp_plane(*pair(10), iterations=0)


# ---- projective

K = intrinsics(60.0, 60.0, 39.5, 29.5)


def seen(T_room_camera: torch.Tensor) -> torch.Tensor:
    """The walls of a box from inside as a point map [3, 60, 80]."""
    rays = unproject(torch.ones(1, 60, 80, dtype=F64), K).flatten(1)
    turned, eye = T_room_camera[:3, :3] @ rays, T_room_camera[:3, 3:]
    size = torch.tensor([[1.5], [1.2], [2.5]], dtype=F64)
    depth = torch.where(turned > 0, (size - eye) / turned, (-size - eye) / turned).amin(0)
    return (depth * rays).view(3, 60, 80)


def test_projection_finds_the_motion_between_depth_maps():
    look = se3_exp(torch.tensor([0, 0, 0, 0.3, 0.5, 0.1], dtype=F64))
    small = se3_exp(torch.tensor([0.03, -0.02, 0.02, 0.01, -0.02, 0.015], dtype=F64))
    target, source = seen(look), seen(look @ small)
    valid = torch.ones(1, 60, 80, dtype=torch.bool)
    found = icp_projective(source.flatten(1).T, target, valid, K, kernel=lambda r: tukey(r, 0.02), reach=0.3)
    assert errors(found.T_target_source, small)[0] < 1e-3
    assert errors(found.T_target_source, small)[1] < 0.05
    assert 0.8 < found.matched.double().mean() < 1
    two = [x.expand(2, *x.shape) for x in (source.flatten(1).T, target, valid, K)]
    batch = icp_projective(*two, kernel=lambda r: tukey(r, 0.02), reach=0.3)
    torch.testing.assert_close(batch.T_target_source[1], found.T_target_source)


def test_projection_with_nothing_valid_or_in_view_stays():
    target = seen(torch.eye(4, dtype=F64))
    none, all_ = torch.zeros(1, 60, 80, dtype=torch.bool), torch.ones(1, 60, 80, dtype=torch.bool)
    points = target.flatten(1).T.clone().requires_grad_()
    for cloud, valid in ((points, none), (-points, all_)):
        found = icp_projective(cloud, target, valid, K)
        torch.testing.assert_close(found.T_target_source, torch.eye(4, dtype=F64))
        found.T_target_source.sum().backward()
        assert points.grad.isfinite().all()


# ---- libraries of the field

def test_as_accurate_as_small_gicp():
    small_gicp = pytest.importorskip("small_gicp")
    source, target, _ = pair(5000, 0.005)
    theirs = small_gicp.align(target.numpy(), source.numpy(), registration_type="PLANE_ICP",
                              downsampling_resolution=1e-3, max_correspondence_distance=0.3).T_target_source
    ours = icp_plane(source, target, normals(target), reach=0.3).T_target_source
    assert errors(ours)[0] < 1.2 * errors(torch.from_numpy(theirs))[0]
    assert errors(ours)[1] < 1.2 * errors(torch.from_numpy(theirs))[1]


def test_stays_where_open3d_ends():
    o3d = pytest.importorskip("open3d")
    source, target, normal = pair(3000, 0.005)
    cloud = [o3d.geometry.PointCloud(o3d.utility.Vector3dVector(x.numpy())) for x in (source, target)]
    cloud[1].normals = o3d.utility.Vector3dVector(normal.numpy())
    registration = o3d.pipelines.registration
    theirs = registration.registration_icp(
        *cloud, 0.3, np.eye(4), registration.TransformationEstimationPointToPlane(),
        registration.ICPConvergenceCriteria(0.0, 0.0, 100)).transformation
    ours = icp_plane(source, target, normal, torch.from_numpy(theirs), reach=0.3).T_target_source
    torch.testing.assert_close(ours, torch.from_numpy(theirs), atol=1e-5, rtol=0)


def test_rotations_of_three_degrees_are_within_its_basin(generator):
    target, normal = room(2000, 0)
    turn = torch.nn.functional.normalize(torch.randn(3, generator=generator, dtype=F64), dim=0) * math.radians(3)
    centre = target.mean(0)
    source = (target - centre) @ so3_exp(turn) + centre
    found = icp_plane(source, target, normal, reach=0.5)
    assert math.degrees(angle(found.T_target_source[:3, :3] @ so3_exp(turn).T)) < 1e-4
