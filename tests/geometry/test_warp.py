"""Inverse warp and rigid flow."""

import pytest
import torch

from epipole.geometry.camera import intrinsics, pixel_grid
from epipole.geometry.motion import move, pose_vector_to_motion, se3, se3_exp
from epipole.geometry.pyramid import pyramid_level
from epipole.geometry.sample import sample
from epipole.geometry.warp import flow_warp, homography_warp, inverse_warp, reproject, rigid_flow

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


def moved(generator: torch.Generator, size: float = 0.05) -> torch.Tensor:
    return se3_exp(size * torch.randn(1, 6, generator=generator, dtype=F64))


def test_reprojection_has_a_second_derivative(generator):
    depth, xi = depth_map(generator, 3, 4).requires_grad_(), torch.zeros(1, 6, dtype=F64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda d, x: reproject(d, se3_exp(x), K, K)[:2], (depth, xi))


def test_reprojection_passes_on_the_gradient_of_pixels_alone_and_of_z_alone(generator):
    depth, K_s, T = depth_map(generator, 3, 4).requires_grad_(), K.clone().requires_grad_(), moved(generator)
    for part in (0, 1):
        assert torch.autograd.gradcheck(lambda d, k, i=part: reproject(d, T, K, k)[i], (depth, K_s))


@pytest.mark.parametrize("bad", [0.0, -1.0, 1e-3, 1e-30, torch.inf, -torch.inf, torch.nan, 1e300])
def test_depths_on_or_behind_the_camera_plane_and_undefined_ones_are_masked_with_finite_gradients(bad, generator):
    depth = depth_map(generator)
    depth[0, 0, 3, 4] = bad
    image, depth, T = torch.rand(1, 3, 16, 24, dtype=F64), depth.requires_grad_(), EYE.clone().requires_grad_()
    pixels, z, front = reproject(depth, T, K, K)
    synthetic, valid = inverse_warp(image, depth, T, K, K)
    assert front[0, 0, 3, 4] == (bad == 1e300)
    assert valid[0, 0, 3, 4] == (bad == 1e300)
    assert all(x.isfinite().all() for x in (pixels, z, synthetic))
    loss = torch.where(valid, synthetic, 0).sum() + torch.where(front, pixels, 0).sum()
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, (depth, T)))


def test_a_point_behind_is_projected_as_from_the_nearest_distance():
    """K (X, Y, Z) / 1e-3, whose derivative by t_z is the principal point / 1e-3."""
    depth, T = torch.full((1, 1, 2, 3), -1.0, dtype=F64), EYE.clone().requires_grad_()
    slope, = torch.autograd.grad(reproject(depth, T, K, K)[0][..., 1, 2].sum(), T)
    assert (slope[0, :3, 3] * 1e-3).tolist() == pytest.approx([20.0, 24.0, float(K[0, 0, 2] + K[0, 1, 2])])


def test_warp_and_its_gradients_equal_the_steps_one_by_one(generator):
    """inverse_warp goes another way to the same look-up as reproject and sample."""
    image, weight = torch.rand(2, 3, 16, 24, generator=generator, dtype=F64), torch.rand(2, 3, 12, 20, dtype=F64)
    depth = (2 + torch.rand(2, 1, 12, 20, generator=generator, dtype=F64)).requires_grad_()
    T = se3_exp(0.05 * torch.randn(2, 6, generator=generator, dtype=F64)).requires_grad_()
    K_t, K_s = K.expand(2, 3, 3), intrinsics(18.0, 21.0, 10.0, 8.0).expand(2, 3, 3)
    pixels, _, front = reproject(depth, T, K_t, K_s)
    expected, inside = sample(image, pixels)
    synthetic, valid = inverse_warp(image, depth, T, K_t, K_s)
    torch.testing.assert_close(synthetic, expected)
    assert torch.equal(valid, inside & front)
    for a, b in zip(torch.autograd.grad((synthetic * weight).sum(), (depth, T)),
                    torch.autograd.grad((expected * weight).sum(), (depth, T)), strict=True):
        torch.testing.assert_close(a, b)


def test_kornia_warps_the_same(generator):
    kornia = pytest.importorskip("kornia")
    image, depth, T = torch.rand(1, 3, 16, 24, generator=generator, dtype=F64), depth_map(generator), moved(generator)
    synthetic, valid = inverse_warp(image, depth, T, K, K)
    expected = kornia.geometry.depth.warp_frame_depth(image, depth, T, K)
    assert valid.float().mean() > 0.5
    torch.testing.assert_close(*(x[valid.expand_as(x)] for x in (synthetic, expected)), atol=1e-6, rtol=0)


def test_the_homography_of_a_plane_warps_like_the_plane_s_depth(generator):
    image, T = torch.rand(1, 3, 16, 24, generator=generator, dtype=F64), moved(generator)
    normal, distance = torch.tensor([0.1, -0.2, 0.97], dtype=F64), 2.0                       # n X = distance
    rays = torch.linalg.inv(K[0]) @ torch.cat([pixel_grid(16, 24, K), torch.ones(1, 16, 24, dtype=F64)]).flatten(1)
    depth = (distance / (normal @ rays)).view(1, 1, 16, 24)
    H = K @ (T[:, :3, :3] + T[:, :3, 3:] * normal / distance) @ torch.linalg.inv(K)
    for a, b in zip(homography_warp(image, H, 16, 24), inverse_warp(image, depth, T, K, K), strict=True):
        torch.testing.assert_close(a, b)


def test_opencv_warps_by_a_homography_the_same(generator):
    cv2 = pytest.importorskip("cv2")
    image = torch.rand(1, 1, 30, 40, generator=generator)
    H = torch.tensor([[1.1, 0.05, -2.0], [-0.03, 0.9, 1.5], [1e-3, -5e-4, 1.0]])
    synthetic, valid = homography_warp(image, H[None], 25, 35)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = torch.from_numpy(cv2.warpPerspective(image[0, 0].numpy(), H.double().numpy(), (35, 25), flags=flags))
    assert valid.float().mean() > 0.8
    assert (synthetic[0, 0] - expected)[valid[0, 0]].abs().max() < 0.04  # OpenCV rounds to 1/32 px


def test_a_homography_masks_what_lies_behind():
    H = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-0.1, 0, 1]]], dtype=F64, requires_grad=True)  # z = 1 - u / 10
    synthetic, valid = homography_warp(torch.rand(1, 1, 9, 20, dtype=F64), H, 9, 20)
    assert not valid[..., 10:].any()
    synthetic.sum().backward()
    assert H.grad.isfinite().all()
    image, identity = torch.rand(1, 1, 9, 20, dtype=F64), torch.eye(3, dtype=F64)[None]
    assert homography_warp(image, identity, 9, 20)[1].all()
    assert not homography_warp(image, -identity, 9, 20)[1].any()  # the same pixels, behind the camera


def test_gradcheck_of_the_homography_warp():
    image = pixel_grid(8, 10, K).prod(0)[None, None] / 10  # bilinear look-up is smooth on it
    H = torch.tensor([[[1.02, 0.01, 0.3], [0.02, 0.97, 0.4], [1e-3, 2e-3, 1.0]]], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: homography_warp(image, h, 6, 8)[0], (H,))


def test_flow_warp_is_a_look_up_pixel_by_pixel(generator):
    image = torch.rand(1, 2, 8, 9, generator=generator, dtype=F64)
    flow = 2 * torch.randn(1, 2, 8, 9, generator=generator, dtype=F64)
    synthetic, valid = flow_warp(image, flow)
    for v in range(8):
        for u in range(9):
            x, y = u + flow[0, 0, v, u], v + flow[0, 1, v, u]
            inside = bool(0 <= x <= 8 and 0 <= y <= 7)
            assert valid[0, 0, v, u] == inside
            if inside:
                i, j = min(int(x), 7), min(int(y), 6)
                a, b = x - i, y - j
                value = ((1 - b) * ((1 - a) * image[0, :, j, i] + a * image[0, :, j, i + 1])
                         + b * ((1 - a) * image[0, :, j + 1, i] + a * image[0, :, j + 1, i + 1]))
                torch.testing.assert_close(synthetic[0, :, v, u], value)


def test_rigid_flow_warps_like_depth_and_motion(generator):
    image, depth, T = torch.rand(1, 3, 16, 24, generator=generator, dtype=F64), depth_map(generator), moved(generator)
    flow, front = rigid_flow(depth, T, K, K)
    synthetic, inside = flow_warp(image, flow)
    expected, valid = inverse_warp(image, depth, T, K, K)
    torch.testing.assert_close(synthetic, expected)
    assert torch.equal(inside & front, valid)


def test_zero_flow_is_the_identity(generator):
    image = torch.rand(1, 2, 8, 9, generator=generator, dtype=F64)
    synthetic, valid = flow_warp(image, torch.zeros(1, 2, 8, 9, dtype=F64))
    torch.testing.assert_close(synthetic, image)
    assert valid.all()
