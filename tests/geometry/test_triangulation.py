"""Triangulation."""

import cv2
import pytest
import torch

from epipole.geometry.homogeneous import calibrate, dehomogenise, homogeneous
from epipole.geometry.motion import move, se3_exp, se3_inverse
from epipole.geometry.triangulation import inverse_depth_along_ray, inverse_depth_of_flow, triangulate_dlt
from epipole.geometry.warp import rigid_flow
from tests.geometry.two_views import F64, pixels, two_views
from tests.scene import plane_clip


def cameras(s) -> torch.Tensor:
    return torch.stack([(s.K @ T[:3]) for T in (torch.eye(4, dtype=F64), s.T_second_first)])


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_exact_pixels_give_the_planted_points(dtype):
    s = two_views()
    seen = torch.stack([s.first, s.second])
    X = triangulate_dlt(cameras(s).to(dtype), seen.to(dtype), torch.ones(2, 30, dtype=dtype))
    points, finite = dehomogenise(X)
    assert points.dtype == dtype
    assert finite.all()
    torch.testing.assert_close(points.double(), s.points, atol=2e-2 if dtype == torch.float32 else 1e-8, rtol=0)


def test_noisy_pixels_agree_with_opencv(generator):
    s = two_views()
    P, seen = cameras(s), torch.stack([s.first, s.second]) + torch.randn(2, 30, 2, generator=generator, dtype=F64)
    theirs = torch.tensor(cv2.triangulatePoints(*P.numpy(), *seen.mT.contiguous().numpy()).T)
    ours = triangulate_dlt(P, seen, torch.ones(2, 30, dtype=F64))
    torch.testing.assert_close(dehomogenise(ours)[0], theirs[:, :3] / theirs[:, 3:], rtol=1e-5, atol=1e-5)


def test_views_without_weight_do_not_count(generator):
    s = two_views()
    P = torch.cat([cameras(s), torch.randn(1, 3, 4, generator=generator, dtype=F64)])
    seen = torch.stack([s.first, s.second, torch.zeros(30, 2, dtype=F64)])
    weight = torch.tensor([1.0, 0.5, 0], dtype=F64)[:, None].expand(3, 30)
    torch.testing.assert_close(dehomogenise(triangulate_dlt(P, seen, weight))[0], s.points, atol=1e-8, rtol=0)


def along(s, T, weight=None):
    K = s.K
    ray, seen = homogeneous(calibrate(s.first, K)), homogeneous(calibrate(s.second, K))
    return inverse_depth_along_ray(ray, seen[None], T[None], torch.ones(1, 30, dtype=F64) if weight is None else weight)


def test_along_the_ray_exact_pixels_give_the_planted_depth():
    s = two_views()
    q, parallax = along(s, s.T_second_first)
    torch.testing.assert_close(q, 1 / s.points[:, 2])
    assert (parallax > 0).all()


def test_along_the_ray_it_is_least_squares(generator):
    """No other depth leaves less of (R ray + q t) x m."""
    s = two_views()
    s = s._replace(second=s.second + 2 * torch.randn(30, 2, generator=generator, dtype=F64))
    q, _ = along(s, s.T_second_first)
    ray, m = homogeneous(calibrate(s.first, s.K)), homogeneous(calibrate(s.second, s.K))

    def left(q):
        return torch.linalg.cross(move(s.T_second_first, ray / q[:, None]) * q[:, None], m).square().sum(-1)

    for step in (1e-4, -1e-4):
        assert (left(q + step) > left(q)).all()


def test_many_views_count_by_their_weight():
    s = two_views()
    other = se3_exp(torch.tensor([0.0, 0.8, 0.1, 0.02, 0, 0.05], dtype=F64))
    T = torch.stack([s.T_second_first, other])
    ray = homogeneous(calibrate(s.first, s.K))
    seen = torch.stack([homogeneous(calibrate(pixels(move(each, s.points), s.K), s.K)) for each in T])
    seen[0, :, 0] += 0.1  # the first view is wrong
    q, _ = inverse_depth_along_ray(ray, seen, T, torch.tensor([0.0, 1], dtype=F64)[:, None].expand(2, 30))
    torch.testing.assert_close(q, 1 / s.points[:, 2])


def test_behind_the_camera_inverse_depth_is_negative():
    s = two_views()
    T = s.T_second_first.clone()
    T[:3, 3] *= -1
    assert (along(s, T)[0] < 0).all()


def test_without_parallax_points_are_at_infinity_and_gradients_finite():
    s = two_views()
    T = s.T_second_first.clone()
    T[:3, 3] = 0
    T.requires_grad_()
    q, parallax = along(s, T)
    assert (q == 0).all()
    assert (parallax == 0).all()
    q.sum().backward()
    assert torch.isfinite(T.grad).all()
    for weight in (torch.ones(2, 30, dtype=F64), torch.zeros(2, 30, dtype=F64)):
        P = cameras(s)[:1].expand(2, 3, 4).clone().requires_grad_()  # one and the same camera
        seen = torch.stack([s.first, s.first]).requires_grad_()
        X = triangulate_dlt(P, seen, weight)
        X.cos().sum().backward()
        assert torch.isfinite(X).all()
        assert torch.isfinite(P.grad).all()
        assert torch.isfinite(seen.grad).all()


def test_parallel_rays_meet_at_infinity():
    P = torch.stack([torch.eye(4)[:3], torch.cat([torch.eye(3), torch.tensor([[1.0], [0], [0]])], -1)]).double()
    X = triangulate_dlt(P, torch.tensor([[[0.3, 0.2]], [[0.3, 0.2]]], dtype=F64), torch.ones(2, 1, dtype=F64))
    assert X[0, 3].abs() < 1e-12
    torch.testing.assert_close(X[0, :2] / X[0, 2], torch.tensor([0.3, 0.2], dtype=F64))


def test_gradcheck(generator):
    s = two_views(n=6)
    seen = (torch.stack([s.first, s.second]) / 100 + 0.01 * torch.randn(2, 6, 2, generator=generator, dtype=F64))
    P = torch.diag(torch.tensor([0.01, 0.01, 1.0], dtype=F64)) @ cameras(s)
    weight = torch.rand(2, 6, generator=generator, dtype=F64) + 0.2
    assert torch.autograd.gradcheck(triangulate_dlt, tuple(x.requires_grad_() for x in (P, seen, weight)))
    ray, rays = (torch.randn(*n, 3, generator=generator, dtype=F64).requires_grad_() for n in ((4,), (2, 4)))
    T = se3_inverse(se3_exp(torch.randn(2, 6, generator=generator, dtype=F64))).requires_grad_()
    w = torch.rand(2, 4, generator=generator, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(inverse_depth_along_ray, (ray, rays, T, w))


def test_one_view_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        triangulate_dlt(torch.rand(1, 3, 4), torch.rand(1, 5, 2), torch.ones(1, 5))


def test_the_flow_of_a_moving_camera_gives_its_depth_back():
    views = plane_clip(2, 2, 12, 16)
    T = se3_inverse(views.T_world_camera[:, 1]) @ views.T_world_camera[:, 0]
    K = views.K[:, 0]
    K_wider = K * torch.tensor([0.7, 0.8, 1])[:, None]
    flow, front = rigid_flow(views.depth[:, 0], T, K, K_wider)
    assert front.all()
    torch.testing.assert_close(inverse_depth_of_flow(flow, T, K, K_wider), 1 / views.depth[:, 0], rtol=1e-3, atol=0)
    behind = inverse_depth_of_flow(flow.flip(1), T, K, K)  # whatever the flow, there is an answer
    assert behind.isfinite().all()
    still = torch.eye(4).expand(2, 4, 4)
    assert (inverse_depth_of_flow(torch.zeros_like(flow), still, K, K) == 0).all()
