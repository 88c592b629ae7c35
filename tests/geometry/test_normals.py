"""Normals of known surfaces, and what is left of a cloud in voxels."""

import numpy as np
import pytest
import torch

from epipole.geometry.camera import intrinsics, unproject
from epipole.geometry.motion import so3_exp
from epipole.geometry.normals import least_axis, map_normals, normals, voxel_means

F64 = torch.float64


def sphere(generator: torch.Generator, n: int = 3000) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(n, 3, generator=generator, dtype=F64), dim=-1)


def test_the_normals_of_a_sphere_are_its_radii(generator):
    points = sphere(generator)
    along = (normals(points) * points).sum(-1).abs()
    assert along.min() > 0.98
    assert along.mean() > 0.998


def test_the_normals_turn_with_the_cloud_and_follow_its_order(generator):
    points = sphere(generator, 400)
    R = so3_exp(torch.tensor([0.3, -0.8, 0.5], dtype=F64))
    order = torch.randperm(400, generator=generator)
    turned, given = normals((points @ R.T)[order] + 7), (normals(points) @ R.T)[order]
    torch.testing.assert_close((turned * given).sum(-1).abs(), torch.ones(400, dtype=F64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_plane_far_away(generator, dtype):
    points = torch.rand(200, 3, generator=generator, dtype=F64) * torch.tensor([1, 1, 0]) + 100
    torch.testing.assert_close(normals(points.to(dtype))[:, 2].abs(), torch.ones(200, dtype=dtype))


def test_a_line_has_normals_across_it_and_a_place_has_any():
    line = torch.linspace(0, 1, 40, dtype=F64)[:, None] * torch.tensor([1.0, 2, 3], dtype=F64)
    found = normals(line)
    assert (found @ torch.tensor([1.0, 2, 3], dtype=F64)).abs().max() < 1e-6
    for n in (found, normals(torch.ones(9, 3))):
        torch.testing.assert_close(n.norm(dim=-1), torch.ones(len(n)).to(n))


def test_least_axis_is_the_eigenvector(generator):
    A = torch.randn(200, 3, 3, generator=generator, dtype=F64)
    M = A @ A.mT
    oracle = torch.linalg.eigh(M).eigenvectors[..., 0]
    torch.testing.assert_close((least_axis(M) * oracle).sum(-1).abs(), torch.ones(200, dtype=F64))


@pytest.mark.parametrize("values", [(1, 1, 1), (0, 0, 0), (1, 0, 0), (1, 1, 0), (2, 1, 1)])
def test_least_axis_of_equal_eigenvalues_is_one_of_them(generator, values):
    R = so3_exp(torch.randn(3, generator=generator, dtype=F64))
    M = R @ torch.diag(torch.tensor(values, dtype=F64)) @ R.T
    axis = least_axis(M)
    torch.testing.assert_close(axis.norm(), torch.tensor(1.0, dtype=F64))
    torch.testing.assert_close(M @ axis, min(values) * axis, atol=1e-6, rtol=0)


def test_normals_of_a_depth_map_look_at_the_camera():
    """The plane n . X = -2 before a camera."""
    n = torch.nn.functional.normalize(torch.tensor([0.3, -0.2, -1.0], dtype=F64), dim=0)
    K = intrinsics(40.0, 40.0, 15.5, 11.5)
    rays = unproject(torch.ones(1, 24, 32, dtype=F64), K)
    depth = -2 / (n[:, None, None] * rays).sum(0, keepdim=True)
    valid = torch.ones(1, 24, 32, dtype=torch.bool)
    valid[:, 5, 7] = False
    normal, smooth = map_normals(unproject(depth, K), valid)
    assert torch.equal(smooth[0, 4:7, 6:9], torch.tensor([[1, 0, 1], [0, 0, 0], [1, 0, 1]], dtype=torch.bool))
    assert smooth.sum() == 22 * 30 - 5
    torch.testing.assert_close(normal.flatten(1)[:, smooth.flatten()], n[:, None].expand(3, 655))
    assert (normal.flatten(1)[:, ~smooth.flatten()] == 0).all()


def test_voxels_by_hand(generator):
    points = torch.randn(300, 3, generator=generator, dtype=F64)
    cells: dict[tuple[int, ...], list[np.ndarray]] = {}
    for p in points.numpy():
        cells.setdefault(tuple(np.floor(p / 0.7).astype(int)), []).append(p)
    oracle = np.stack([np.mean(cells[c], axis=0) for c in sorted(cells)])
    np.testing.assert_allclose(voxel_means(points, 0.7).numpy(), oracle, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: voxel_means(x, 0.7), points[:8].requires_grad_())


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="three"):
        normals(torch.rand(2, 3))
