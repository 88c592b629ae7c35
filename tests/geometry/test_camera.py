import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from epipole.geometry.camera import (
    NEAR,
    crop_intrinsics,
    intrinsics,
    normalise,
    pixel_grid,
    project,
    resize_intrinsics,
    transform,
    unproject,
)
from epipole.geometry.motion import se3_exp

focal = st.floats(20, 500)
centre = st.floats(-20, 80)


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_pixel_grid_is_u_then_v_from_the_first_pixel_centre():
    grid = pixel_grid(3, 5, torch.zeros(0))
    for v in range(3):
        for u in range(5):
            assert grid[:, v, u].tolist() == [u, v]


@settings(max_examples=30, deadline=None)
@given(focal, focal, centre, centre, st.integers(1, 9), st.integers(1, 9))
def test_project_undoes_unproject(fx, fy, cx, cy, height, width):
    K = intrinsics(fx, fy, cx, cy)
    depth = 0.01 + 50 * random(1, height, width)
    pixels, front = project(unproject(depth, K), K)
    assert front.all()
    assert torch.allclose(pixels, pixel_grid(height, width, depth), atol=1e-9)


def test_unproject_is_depth_times_inverse_K_times_pixel():
    K, depth = intrinsics(100.0, 120.0, 3.0, 1.5), 1 + random(2, 1, 4, 6)
    K = K.expand(2, 3, 3)
    points = unproject(depth, K)
    for b in range(2):
        for v in range(4):
            for u in range(6):
                ray = torch.linalg.inv(K[b]) @ torch.tensor([u, v, 1.0], dtype=torch.float64)
                assert torch.allclose(points[b, :, v, u], depth[b, 0, v, u] * ray)
    assert torch.equal(points[:, 2:], depth)


def test_normalise_gives_rays_with_unit_z():
    K = intrinsics(100.0, 50.0, 10.0, 20.0)
    rays = normalise(K, torch.tensor([[[10.0, 110.0]], [[20.0, 70.0]]], dtype=torch.float64))
    assert rays[:, 0, 0].tolist() == [0, 0, 1]
    assert rays[:, 0, 1].tolist() == [1, 1, 1]


def test_transform_is_rotation_then_translation():
    T, points = se3_exp(random(2, 6)), random(2, 3, 4, 5)
    moved = transform(T, points)
    for b in range(2):
        flat = T[b] @ torch.cat([points[b].flatten(1), torch.ones(1, 20)])
        assert torch.allclose(moved[b].flatten(1), flat[:3])


def test_neighbouring_letters_cancel():
    T_a_b, T_b_c = se3_exp(random(6)), se3_exp(-random(6).flip(0))
    points = random(3, 4, 5)
    assert torch.allclose(transform(T_a_b @ T_b_c, points), transform(T_a_b, transform(T_b_c, points)))


def test_points_behind_or_on_the_camera_plane_are_told_and_harmless():
    z = torch.tensor([[[-2.0, 0.0, NEAR / 2, 2 * NEAR, 1.0]]], dtype=torch.float64)
    points = torch.cat([torch.ones_like(z), torch.ones_like(z), z]).requires_grad_()
    pixels, front = project(points, intrinsics(10.0, 10.0, 0.0, 0.0))
    assert front.flatten().tolist() == [False, False, False, True, True]
    assert pixels.isfinite().all()
    (pixels * front).sum().backward()
    assert points.grad.isfinite().all()
    assert points.grad[:, 0, :3].abs().sum() == 0


def test_projection_gradients():
    K = intrinsics(90.0, 110.0, 2.0, 1.0).requires_grad_()
    depth, twist = (1 + random(1, 2, 3)).requires_grad_(), (0.1 * random(6)).requires_grad_()
    assert torch.autograd.gradcheck(lambda d, k, x: project(transform(se3_exp(x), unproject(d, k)), k)[0],
                                    (depth, K, twist))


def test_resized_intrinsics_follow_the_image():
    """An image whose colours are its pixel coordinates, shrunk by area averaging: each new pixel centre lies where its
    colour says, and the resized camera must see the same ray there."""
    K = intrinsics(200.0, 190.0, 31.3, 22.8)
    grid = pixel_grid(48, 64, K)
    for scale in (2, 4, 8):
        small = F.avg_pool2d(grid[None], scale)[0]
        resized = resize_intrinsics(K, 1 / scale, 1 / scale)
        assert torch.allclose(normalise(K, small), normalise(resized, pixel_grid(*small.shape[1:], K)))


def test_resized_intrinsics_follow_the_image_by_opencv():
    import cv2

    K = intrinsics(200.0, 190.0, 31.3, 22.8)
    grid = pixel_grid(48, 64, K)
    small = torch.from_numpy(cv2.resize(grid.permute(1, 2, 0).numpy(), (40, 36), interpolation=cv2.INTER_LINEAR))
    inner = np.s_[:, 1:-1, 1:-1]  # bilinear look-up is cut off at the border
    resized = resize_intrinsics(K, 40 / 64, 36 / 48)
    expected = normalise(K, small.permute(2, 0, 1))
    assert torch.allclose(normalise(resized, pixel_grid(36, 40, K))[inner], expected[inner], atol=1e-6)


def test_resizing_and_cropping_leave_their_input():
    K = intrinsics(100.0, 100.0, 10.0, 10.0)
    before = K.clone()
    resize_intrinsics(K, 0.5, 0.25)
    crop_intrinsics(K, 3.0, 4.0)
    assert torch.equal(K, before)
    there_and_back = resize_intrinsics(resize_intrinsics(K, 0.5, 0.25), 2.0, 4.0)
    assert torch.allclose(there_and_back, K)


def test_cropped_intrinsics_follow_the_image():
    K = intrinsics(100.0, 110.0, 10.0, 12.0)
    rays = normalise(K, pixel_grid(20, 30, K))
    cropped = normalise(crop_intrinsics(K, 4.0, 7.0), pixel_grid(13, 26, K))
    assert torch.allclose(rays[:, 7:, 4:], cropped)
