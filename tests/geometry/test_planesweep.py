"""Plane sweep: homographies, the volume, and depth read from it."""

import math

import pytest
import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.geometry.planesweep import inverse_depth_planes, plane_homographies, plane_sweep_volume
from epipole.geometry.warp import inverse_warp
from epipole.sources.worlds.spec import Spec
from epipole.sources.worlds.world import RoomWorld
from tests.scene import plane_clip

F64 = torch.float64
K = intrinsics(20.0, 24.0, 11.5, 7.5)


def two_motions(generator: torch.Generator) -> torch.Tensor:
    return se3_exp(0.1 * torch.randn(2, 6, generator=generator, dtype=F64))


def test_planes_are_uniform_in_inverse_depth():
    depths = inverse_depth_planes(0.5, math.inf, 5)
    torch.testing.assert_close(1 / depths, torch.tensor([2, 1.5, 1, 0.5, 0], dtype=F64))


@pytest.mark.parametrize("wrong", [(0.0, 1.0, 4), (2.0, 1.0, 4), (1.0, 2.0, 1)])
def test_impossible_planes_are_refused(wrong):
    with pytest.raises(ValueError, match="planes"):
        inverse_depth_planes(*wrong)


def test_the_homography_takes_pixels_where_points_on_the_plane_are_seen(generator):
    T, depths = two_motions(generator), torch.tensor([1.0, 3.0], dtype=F64)
    K_target = intrinsics(30.0, 28.0, 9.0, 8.0)
    H = plane_homographies(depths, T, K_target.expand(2, 3, 3), K.expand(2, 3, 3))
    pixel = torch.tensor([4.0, 13.0, 1.0], dtype=F64)
    for b in range(2):
        for d, depth in enumerate(depths):
            X = T[b, :3, :3] @ (depth * torch.linalg.inv(K_target) @ pixel) + T[b, :3, 3]
            expected, got = K @ X, H[b, d] @ pixel
            torch.testing.assert_close(got[:2] / got[2], expected[:2] / expected[2])


def test_a_plane_at_infinity_is_the_rotation_alone(generator):
    T = two_motions(generator)
    still = T.clone()
    still[:, :3, 3] = 0
    far = plane_homographies(torch.tensor([math.inf], dtype=F64), T, K.expand(2, 3, 3), K.expand(2, 3, 3))
    turned = plane_homographies(torch.tensor([1.0], dtype=F64), still, K.expand(2, 3, 3), K.expand(2, 3, 3))
    torch.testing.assert_close(far, turned)


def test_every_plane_is_the_inverse_warp_at_its_depth(generator):
    source, T = torch.rand(2, 3, 16, 24, generator=generator, dtype=F64), two_motions(generator)
    depths = inverse_depth_planes(1.0, 5.0, 4)
    volume, seen = plane_sweep_volume(source, depths, T, K.expand(2, 3, 3), K.expand(2, 3, 3))
    for d, z in enumerate(depths):
        flat = z.expand(2, 1, 16, 24)
        synthetic, valid = inverse_warp(source, flat, T, K.expand(2, 3, 3), K.expand(2, 3, 3))
        torch.testing.assert_close(volume[:, :, d], synthetic)
        assert torch.equal(seen[:, :, d], valid)


def test_gradients_reach_source_and_motion(generator):
    ramp = torch.arange(8.0, dtype=F64) + torch.arange(6.0, dtype=F64)[:, None]  # bilinear look-up is smooth on it
    camera = intrinsics(8.0, 8.0, 3.5, 2.5)[None]
    xi = 0.02 * torch.randn(1, 6, generator=generator, dtype=F64)

    def centre(source, twist):
        volume, _ = plane_sweep_volume(source, inverse_depth_planes(2.0, 4.0, 2), se3_exp(twist), camera, camera)
        return volume[..., 2:-2, 2:-2]

    assert torch.autograd.gradcheck(centre, (ramp[None, None].clone().requires_grad_(), xi.requires_grad_()))


def test_behind_the_source_nothing_is_seen_and_gradients_stay_finite():
    back = torch.eye(4)[None].clone()
    back[0, 2, 3] = -3.0
    source, T = torch.rand(1, 3, 16, 24, requires_grad=True), back.requires_grad_()
    depths = torch.tensor([1.0, 3.0, 9.0])  # the second lies in the plane of the source camera
    volume, seen = plane_sweep_volume(source, depths, T, K.float()[None], K.float()[None])
    assert seen[0, 0].flatten(1).any(1).tolist() == [False, False, True]
    volume.sum().backward()
    assert T.grad.isfinite().all()
    assert source.grad.isfinite().all()


def best_plane(target, source, depths, T, K_target, K_source):
    volume, seen = plane_sweep_volume(source, depths, T, K_target, K_source, tuple(target.shape[-2:]))
    difference = (volume - target[:, :, None]).abs().mean(1, keepdim=True)
    cost = torch.nn.functional.avg_pool3d(torch.where(seen, difference, 1.0), (1, 7, 7), 1, (0, 3, 3))
    return depths[cost.argmin(2)].to(target), seen.all(2)


def test_the_best_plane_is_the_true_depth_of_a_plane():
    views = plane_clip(scenes=1, height=64, width=96)
    T_world, K_all = views.T_world_camera, views.K
    depths = inverse_depth_planes(1.5, 6.0, 48)
    T = se3_inverse(T_world[:, 2]) @ T_world[:, 0]
    found, seen = best_plane(views.image[:, 0], views.image[:, 2], depths, T, K_all[:, 0], K_all[:, 2])
    spacing = float(1 / depths[0] - 1 / depths[1])
    error = (1 / found - 1 / views.depth[:, 0])[seen].abs()
    assert float((error < spacing).float().mean()) > 0.95


def test_the_best_plane_is_the_true_depth_of_a_room():
    room = RoomWorld(Spec(frames=12, width=160, height=120))
    views = room.clip([0, 8])
    T = (se3_inverse(views.T_world_camera[1]) @ views.T_world_camera[0])[None]
    depths = inverse_depth_planes(0.8, 6.0, 64)
    found, seen = best_plane(views.image[:1], views.image[1:], depths, T, views.K[:1], views.K[1:])
    visible = room.flow(0, 8)[1][None] & seen & views.depth_valid[:1]
    truth = views.depth[:1]
    share = float(((found / truth - 1).abs() < 0.1)[visible].float().mean())
    shuffled = float((found.flip(-1) / truth - 1).abs()[visible].lt(0.1).float().mean())
    assert share > 0.8, share
    assert share > shuffled + 0.3
