"""Pose from many points."""

import cv2
import pytest
import torch

from epipole.geometry.camera import NEAR, intrinsics
from epipole.geometry.homogeneous import calibrate
from epipole.geometry.motion import move, se3_exp
from epipole.geometry.pnp import pnp, pnp_dlt, pnp_plane, refine_pose, reprojection
from tests.geometry.two_views import F64, pixels

K = intrinsics(500.0, 480.0, 320.0, 240.0)


def planted(b: int, n: int = 20, flat: bool = False, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """World points in a ball (or a disc) of radius about 2, cameras 6 away, and the pixels."""
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(b, n, 3, generator=g, dtype=F64)
    if flat:
        X[..., 2] = 0.2 + 0.1 * X[..., 0]
    T = se3_exp(0.5 * torch.randn(b, 6, generator=g, dtype=F64))
    T[:, 2, 3] = 6
    return X, T, pixels(move(T, X), K)


def ones(x: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(x[..., 0])


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_planted_pose_is_recovered(flat, dtype):
    X, T, x = planted(20, flat=flat)
    found = pnp(X.to(dtype), x.to(dtype), K.expand(20, 3, 3).to(dtype), ones(x).to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), T, atol=1e-4 if dtype == torch.float32 else 1e-11, rtol=0)


def test_linear_starts_are_exact_on_exact_pixels():
    for start, flat in ((pnp_dlt, False), (pnp_plane, True)):
        X, T, x = planted(20, flat=flat)
        torch.testing.assert_close(start(X, calibrate(x, K.expand(20, 3, 3)), ones(x)), T, atol=1e-8, rtol=0)


@pytest.mark.parametrize("flat", [False, True])
def test_no_solution_of_opencv_has_less_error(flat, generator):
    X, _, x = planted(30, flat=flat)
    x = x + torch.randn(x.shape, generator=generator, dtype=F64)
    found = pnp(X, x, K.expand(30, 3, 3), ones(x))
    cost = reprojection(found, X, x, K.expand(30, 3, 3))[0].square().sum((-1, -2))
    for b in range(30):
        _, w, t = cv2.solvePnP(X[b].numpy(), x[b].numpy(), K.numpy(), None, flags=cv2.SOLVEPNP_ITERATIVE)
        theirs = cv2.projectPoints(X[b].numpy(), w, t, K.numpy(), None)[0][:, 0]
        assert float(cost[b]) <= float((torch.tensor(theirs) - x[b]).square().sum()) * (1 + 1e-6)


def test_four_points_of_a_plane_are_enough():
    X, T, x = planted(10, n=4, flat=True)
    torch.testing.assert_close(pnp(X, x, K.expand(10, 3, 3), ones(x)), T, atol=1e-8, rtol=0)


def test_zero_weight_silences_an_outlier():
    X, T, x = planted(5)
    x[:, 0] += 300
    weight = ones(x)
    weight[:, 0] = 0
    torch.testing.assert_close(pnp(X, x, K.expand(5, 3, 3), weight), T, atol=1e-10, rtol=0)


def test_jacobian_is_that_of_finite_differences():
    X, T, x = planted(1, n=6)
    J = reprojection(T, X, x, K[None])[2]
    for k in range(6):
        step = 1e-6 * torch.eye(6, dtype=F64)[k]
        there, back = (reprojection(se3_exp(s * step) @ T, X, x, K[None])[0] for s in (1, -1))
        torch.testing.assert_close(J[..., k], (there - back) / 2e-6, rtol=1e-5, atol=1e-4)


def test_gradient_of_the_solution_is_that_of_finite_differences(generator):
    """With residuals that are not small, so that Gauss-Newton's curvature in place of the exact one would fail."""
    X, T, x = planted(1, n=5)
    x = x + 8 * torch.randn(x.shape, generator=generator, dtype=F64)
    weight = torch.rand(1, 5, generator=generator, dtype=F64) + 0.2
    inputs = tuple(z.clone().requires_grad_() for z in (X, x, K[None], weight))
    assert torch.autograd.gradcheck(lambda *z: 10 * refine_pose(T, *z, 25), inputs, eps=1e-4, atol=1e-5,
                                    fast_mode=True)


def test_gradcheck_of_the_linear_starts():
    X, _, x = planted(1, n=9)
    seen = calibrate(x, K[None]) + 0.01 * X[..., :2]
    inputs = tuple(z.detach().requires_grad_() for z in (X, seen, torch.linspace(0.3, 1, 9, dtype=F64)[None]))
    assert torch.autograd.gradcheck(pnp_dlt, inputs)
    flat = X * torch.tensor([1.0, 1, 0.01])
    assert torch.autograd.gradcheck(pnp_plane, (flat.requires_grad_(), *inputs[1:]))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("case", ["line", "one point", "no weight", "on the camera plane", "behind", "at the centre"])
def test_degenerate_points_have_finite_values_and_gradients(case, dtype):
    X, T, x = planted(1, n=12)
    weight = ones(x)
    if case == "line":
        X = torch.linspace(-1, 1, 12, dtype=F64)[:, None] * torch.tensor([[[1.0, 0.5, 0.2]]])
        x = pixels(move(T, X), K)
    if case == "one point":
        X, x = X[:, :1].expand(1, 12, 3), x[:, :1].expand(1, 12, 2)
    if case == "no weight":
        weight = 0 * weight
    inverse = torch.linalg.inv(T)[0]
    if case == "on the camera plane":
        X[0, 0] = inverse[:3, :3] @ torch.tensor([1.0, 1, 0], dtype=F64) + inverse[:3, 3]
    if case == "behind":
        X[0, 0] = inverse[:3, :3] @ torch.tensor([1.0, 1, -3], dtype=F64) + inverse[:3, 3]
    if case == "at the centre":
        X[0, 0] = inverse[:3, 3]
    X, x, weight, camera = (z.clone().to(dtype).requires_grad_() for z in (X, x, weight, K[None]))
    for found in (refine_pose(T.to(dtype), X, x, camera, weight), pnp(X, x, camera, weight),
                  pnp_dlt(X, calibrate(x, camera), weight), pnp_plane(X, calibrate(x, camera), weight)):
        found.cos().sum().backward()
        for z in (found, X.grad, x.grad, weight.grad):
            assert torch.isfinite(z).all()
        R = found.detach()[0, :3, :3].double()
        torch.testing.assert_close(R @ R.T, torch.eye(3, dtype=F64), atol=1e-5, rtol=0)


def test_a_point_that_begins_behind_the_camera_does_not_count():
    X, T, x = planted(1)
    inverse = torch.linalg.inv(T)[0]
    X[0, 0] = inverse[:3, :3] @ torch.tensor([1.0, 1, NEAR / 2], dtype=F64) + inverse[:3, 3]
    start = se3_exp(torch.tensor([[0.01, 0, 0, 0, 0.01, 0]], dtype=F64)) @ T
    counted = reprojection(start, X, x, K[None])[1]
    assert counted.sum() == 19
    torch.testing.assert_close(refine_pose(start, X, x, K[None], ones(x)), T, atol=1e-10, rtol=0)


def test_directions_that_the_points_leave_open_stay_as_they_were():
    """Points on a line through the axis: turning about the line changes nothing, and nothing turns."""
    X = torch.linspace(-1, 1, 9, dtype=F64)[None, :, None] * torch.tensor([1.0, 0, 0], dtype=F64)
    T = se3_exp(torch.tensor([[0, 0, 5.0, 0, 0, 0]], dtype=F64))
    x = pixels(move(T, X), K)
    turned = T @ se3_exp(torch.tensor([[0, 0, 0, 0.7, 0, 0]], dtype=F64))
    torch.testing.assert_close(refine_pose(turned, X, x, K[None], ones(x)), turned, atol=1e-9, rtol=0)


def test_fewer_points_than_needed_are_refused():
    with pytest.raises(ValueError, match="at least 4 points, got 3"):
        pnp(torch.rand(3, 3), torch.rand(3, 2), torch.eye(3), torch.ones(3))
    with pytest.raises(ValueError, match="at least 6 points, got 5"):
        pnp_dlt(torch.rand(5, 3), torch.rand(5, 2), torch.ones(5))
