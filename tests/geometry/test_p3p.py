"""Pose from three points."""

import numpy as np
import poselib
import torch

from epipole.geometry.motion import move, se3_exp, se3_inverse
from epipole.geometry.p3p import p3p

F64 = torch.float64


def planted(n: int, seed: int = 0, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """World points, where cameras have them, and the cameras."""
    g = torch.Generator().manual_seed(seed)
    T = se3_exp(torch.randn(n, 6, generator=g, dtype=F64))
    camera = torch.randn(n, 3, 3, generator=g, dtype=F64) * spread + torch.tensor([0, 0, 4.0], dtype=F64)
    camera[..., 2] = camera[..., 2].abs() + 0.1
    return move(se3_inverse(T), camera), camera, T


def test_the_true_pose_is_always_among_the_solutions():
    world, camera, T = planted(20000)
    found, solved = p3p(world, 7 * camera)  # rays of any length
    error = torch.where(solved, (found - T[:, None]).abs().amax((-1, -2)), torch.inf).amin(-1)
    assert error.max() < 1e-8
    assert error.median() < 1e-13


def test_every_solution_is_one():
    """Rotations, and points on their rays in front of the camera."""
    world, camera, _ = planted(1000, seed=1)
    found, solved = p3p(world, camera)
    R = found[..., :3, :3]
    torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=F64).expand_as(R), atol=1e-12, rtol=0)
    seen = move(found, world[:, None].expand(-1, 4, -1, -1))[solved]
    rays = camera[:, None].expand(-1, 4, -1, -1)[solved]
    assert (seen[..., 2] > 0).all()
    off = torch.linalg.cross(seen, rays).norm(dim=-1) / (seen.norm(dim=-1) * rays.norm(dim=-1))
    assert off.max() < 1e-5
    assert off.median() < 1e-13


def test_all_solutions_are_those_of_poselib():
    world, camera, _ = planted(400, seed=2)
    found, solved = p3p(world, camera)
    counts = set()
    for k in range(400):
        rays = camera[k] / camera[k].norm(dim=-1, keepdim=True)
        theirs = [np.asarray(pose.Rt) for pose in poselib.p3p(list(rays.numpy()), list(world[k].numpy()))]
        ours = found[k][solved[k]][:, :3].numpy()
        assert len(ours) == len(theirs)
        counts.add(len(theirs))
        for Rt in theirs:
            assert np.abs(ours - Rt).max((1, 2)).min() < 1e-4
    assert {1, 2, 4} <= counts


def test_order_of_the_points_does_not_matter():
    world, camera, T = planted(50, seed=3)
    found, solved = p3p(world.roll(1, 1), camera.roll(1, 1))
    error = torch.where(solved, (found - T[:, None]).abs().amax((-1, -2)), torch.inf).amin(-1)
    assert error.max() < 1e-6


def test_float32_and_no_gradient():
    world, camera, T = planted(200)
    found, solved = p3p(world.float().requires_grad_(), camera.float())
    assert found.dtype == torch.float32
    assert not found.requires_grad
    error = torch.where(solved, (found.double() - T[:, None]).abs().amax((-1, -2)), torch.inf).amin(-1)
    assert error.quantile(0.95) < 1e-3


def test_degenerate_triangles_have_no_solution_and_no_nan():
    line = torch.arange(3.0)[:, None] * torch.ones(3)
    rays = torch.tensor([[0.1, 0.2, 1], [-0.2, 0.1, 1], [0.3, 0, 1]])
    for world, seen in ((line, rays), (torch.zeros(3, 3), rays), (torch.eye(3), torch.zeros(3, 3)),
                        (torch.eye(3)[[0, 0, 1]], rays)):
        found, solved = p3p(world, seen)
        assert not solved.any()
        assert torch.isfinite(found).all()

