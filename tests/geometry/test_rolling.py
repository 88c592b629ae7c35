"""Rolling shutter: equal rows are a global shutter; unequal rows against row-by-row search."""

import torch

from epipole.geometry.camera import intrinsics, project, unproject
from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.geometry.rolling import rolling_project, rolling_shutter_warp
from epipole.geometry.warp import inverse_warp

F64 = torch.float64
H, W = 16, 24
K = intrinsics(20.0, 24.0, 11.5, 7.5)[None]


def depth_map(generator: torch.Generator) -> torch.Tensor:
    return 2 + torch.rand(1, 1, H, W, generator=generator, dtype=F64)


def rows(generator: torch.Generator, speed: float, start: float = 0.05) -> torch.Tensor:
    """T_world_row of a camera that moves evenly while it reads out."""
    begin, twist = (size * torch.randn(1, 1, 6, generator=generator, dtype=F64) for size in (start, speed))
    return se3_exp(begin + twist * torch.linspace(0, 1, H, dtype=F64)[:, None])


def test_equal_rows_are_a_global_shutter(generator):
    image, depth = torch.rand(1, 3, H, W, generator=generator, dtype=F64), depth_map(generator)
    target, source = rows(generator, 0.0), rows(generator, 0.0)
    result = rolling_shutter_warp(image, depth, target, source, K, K)
    T_source_target = se3_inverse(source[:, 0]) @ target[:, 0]
    for a, b in zip(result, inverse_warp(image, depth, T_source_target, K, K), strict=True):
        torch.testing.assert_close(a, b)


def test_a_point_is_seen_on_the_row_at_whose_pose_it_projects_to_that_row(generator):
    """Bisection over the rows of the source, point by point."""
    points, T = unproject(depth_map(generator), K), se3_inverse(rows(generator, 0.1))
    pixels, front = rolling_project(points, T, K)
    assert front.all()
    checked = 0
    for y in range(0, H, 3):
        for x in range(0, W, 5):
            low, high = 0.0, H - 1.0

            def seen(v, X=points[:, :, y:y + 1, x:x + 1]):
                i = min(int(v), H - 2)
                pose = (1 - (v - i)) * T[:, i] + (v - i) * T[:, i + 1]
                Y = torch.einsum("bij,bjyx->biyx", pose[:, :3, :3], X) + pose[:, :3, 3, None, None]
                return project(Y, K)[0].flatten()

            if not seen(low)[1] > low or not seen(high)[1] < high:
                continue
            for _ in range(60):
                v = (low + high) / 2
                low, high = (v, high) if seen(v)[1] > v else (low, v)
            torch.testing.assert_close(pixels[0, :, y, x], seen(low), atol=1e-9, rtol=0)
            checked += 1
    assert checked > 15


def test_the_same_moving_camera_sees_itself_unchanged(generator):
    """Source and target of the same rows: the warp is the identity though every row has another pose."""
    image, depth, T = torch.rand(1, 3, H, W, generator=generator, dtype=F64), depth_map(generator), rows(generator, 0.1)
    synthetic, valid = rolling_shutter_warp(image, depth, T, T, K, K)
    torch.testing.assert_close(synthetic, image, atol=1e-8, rtol=0)
    assert valid[..., 1:-1, 1:-1].all()


def test_a_global_shutter_would_see_another_image(generator):
    image, depth, T = torch.rand(1, 3, H, W, generator=generator, dtype=F64), depth_map(generator), rows(generator, 0.1)
    still = T[:, :1].expand_as(T)
    synthetic, _ = rolling_shutter_warp(image, depth, T, still, K, K)
    assert (synthetic - image)[..., 1:-1, 1:-1].abs().mean() > 0.05


def test_gradcheck_is_that_of_the_solution(generator):
    points = unproject(depth_map(generator), K)[..., 2:14:4, 3:20:5].clone().requires_grad_()
    begin = (0.02 * torch.randn(1, 1, 6, generator=generator, dtype=F64)).requires_grad_()
    twist = (0.1 * torch.randn(1, 1, 6, generator=generator, dtype=F64)).requires_grad_()

    def seen(X, a, t):
        return rolling_project(X, se3_exp(a + t * torch.linspace(0, 1, H, dtype=F64)[:, None]), K, iterations=12)[0]

    assert torch.autograd.gradcheck(seen, (points, begin, twist))


def test_one_row_and_points_behind_are_defined(generator):
    T = rows(generator, 0.1)
    points = torch.randn(1, 3, 5, 6, generator=generator, dtype=F64).requires_grad_()
    for some in (T, T[:, :1]):
        pixels, front = rolling_project(points, some, K)
        pixels.sum().backward()
        assert pixels.isfinite().all()
        assert not front.all()
        assert points.grad.isfinite().all()
