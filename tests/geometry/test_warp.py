"""Inverse warp and rigid flow."""

import pytest
import torch

from epipole.geometry.camera import intrinsics, pixel_grid
from epipole.geometry.motion import move, pose_vector_to_motion, se3, se3_exp
from epipole.geometry.pyramid import pyramid_level
from epipole.geometry.warp import inverse_warp, reproject, rigid_flow

F64 = torch.float64
K = intrinsics(20.0, 24.0, 11.5, 7.5)[None]
EYE = torch.eye(4, dtype=F64)[None]


def depth_map(generator: torch.Generator, h: int = 16, w: int = 24) -> torch.Tensor:
    return 2 + torch.rand(1, 1, h, w, generator=generator, dtype=F64)


def along_x(t: float) -> torch.Tensor:
    return se3(torch.eye(3, dtype=F64)[None], torch.tensor([[t, 0.0, 0.0]], dtype=F64))


def test_reproject_is_the_formula_pixel_by_pixel(generator):
    depth, T = depth_map(generator), se3_exp(0.1 * torch.randn(1, 6, generator=generator, dtype=F64))
    pixels, z, front = reproject(depth, T, K, K)
    for v, u in ((0, 0), (3, 20), (15, 23)):
        q = K[0] @ (T[0, :3, :3] @ (depth[0, 0, v, u] * torch.linalg.inv(K[0]) @ torch.tensor([u, v, 1.0], dtype=F64))
                    + T[0, :3, 3])
        torch.testing.assert_close(pixels[0, :, v, u], q[:2] / q[2])
        torch.testing.assert_close(z[0, 0, v, u], q[2])
    assert front.all()


def test_no_motion_gives_back_the_image(generator):
    image = torch.rand(1, 3, 16, 24, generator=generator, dtype=F64)
    synthetic, valid = inverse_warp(image, depth_map(generator), EYE, K, K)
    torch.testing.assert_close(synthetic, image)
    assert valid[..., 1:-1, 1:-1].all()


@pytest.mark.parametrize("k", [1, 3, -2])
def test_a_shift_by_k_pixels_empties_k_columns(generator, k):
    """Principled mask: fronto-parallel plane, sideways motion."""
    image = torch.rand(1, 3, 16, 24, generator=generator, dtype=F64)
    depth = torch.full((1, 1, 16, 24), 2.0, dtype=F64)
    synthetic, valid = inverse_warp(image, depth, along_x((k + 1e-9) * 2 / 20), K, K)
    columns = valid[0, 0, 1:-1].all(0)  # rounding decides about the first and last row
    empty = int((~columns).sum())
    assert empty in (abs(k), abs(k) + 1)
    assert not columns[-1 if k > 0 else 0]
    shifted = image.roll(-k, -1)
    torch.testing.assert_close(synthetic[..., 1:-1, columns], shifted[..., 1:-1, columns], atol=1e-6, rtol=0)


def test_points_behind_the_source_camera_are_masked(generator):
    back = se3(torch.eye(3, dtype=F64)[None], torch.tensor([[0.0, 0, -5]], dtype=F64))
    synthetic, valid = inverse_warp(torch.rand(1, 3, 16, 24, dtype=F64), depth_map(generator), back, K, K)
    assert not valid.any()
    assert torch.isfinite(synthetic).all()


def test_rigid_flow_of_a_sideways_move_is_focal_length_over_depth(generator):
    depth = depth_map(generator)
    flow, front = rigid_flow(depth, along_x(0.3), K, K)
    torch.testing.assert_close(flow[:, :1], 20 * 0.3 / depth)
    torch.testing.assert_close(flow[:, 1:], torch.zeros_like(depth))
    assert front.all()


def test_gradcheck_of_reprojection(generator):
    depth = depth_map(generator, 3, 4).requires_grad_()
    xi = (0.1 * torch.randn(1, 6, generator=generator, dtype=F64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda d, x: reproject(d, se3_exp(x), K, K)[:2], (depth, xi))


def test_gradcheck_of_the_warp_with_respect_to_depth_and_motion(generator):
    """The image is a ramp: bilinear look-up is then smooth everywhere."""
    image = (pixel_grid(6, 8, torch.zeros((), dtype=F64)).sum(0))[None, None]
    camera = intrinsics(8.0, 8.0, 3.5, 2.5)[None]
    depth = depth_map(generator, 6, 8).requires_grad_()
    xi = (0.02 * torch.randn(1, 6, generator=generator, dtype=F64)).requires_grad_()

    def centre(d, x):
        return inverse_warp(image, d, se3_exp(x), camera, camera)[0][..., 2:-2, 2:-2]

    assert torch.autograd.gradcheck(centre, (depth, xi))


def test_pyramid_level_keeps_a_point_on_its_ray(generator):
    """A point seen at pixel p of the full image is seen at (p + 0.5) / 2 - 0.5 of the half one."""
    image = torch.rand(1, 1, 3, 16, 24, generator=generator, dtype=F64)
    small, K_small = pyramid_level(image, K[None], (8, 12))
    torch.testing.assert_close(small[0, 0, :, 0, 0], image[0, 0, :, :2, :2].mean((1, 2)))
    point = torch.tensor([0.3, -0.2, 2.0], dtype=F64)
    full, half = (k @ point / point[2] for k in (K[0], K_small[0, 0]))
    torch.testing.assert_close(half[:2], (full[:2] + 0.5) / 2 - 0.5)


def test_pose_vector_is_rotation_about_x_after_y_after_z():
    half_pi = torch.pi / 2
    T = pose_vector_to_motion(torch.tensor([1.0, 2, 3, half_pi, 0, half_pi], dtype=F64))
    # z first: x -> y; then x: y -> z
    torch.testing.assert_close(move(T, torch.tensor([[1.0, 0, 0]], dtype=F64)), torch.tensor([[1.0, 2, 4]], dtype=F64))
    torch.testing.assert_close(pose_vector_to_motion(torch.zeros(6, dtype=F64)), EYE[0])
