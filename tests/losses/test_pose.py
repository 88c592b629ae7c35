"""Pose losses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import quaternion_to_rotation, rotation_to_quaternion, se3, se3_exp, so3_exp
from epipole.losses.pose import quaternion_distance, reprojection
from epipole.losses.robust import charbonnier
from epipole.losses.weighting import laplace

F64 = torch.float64
K = intrinsics(300.0, 310.0, 160.0, 120.0)
SMALL = st.floats(-3, 3)


def cloud(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(2, 10, 3, generator=generator, dtype=F64) + torch.tensor([-0.5, -0.5, 3])


def seen(points: torch.Tensor, T: torch.Tensor) -> torch.Tensor:
    """Pixels by the projection matrix K [R t]."""
    x = torch.cat([points, torch.ones_like(points[..., :1])], -1) @ (K @ T[..., :3, :]).mT
    return x[..., :2] / x[..., 2:]


# ---- quaternions

@settings(deadline=None, max_examples=50)
@given(w=st.tuples(SMALL, SMALL, SMALL), length=st.floats(0.1, 10))
def test_a_quaternion_and_its_negative_are_the_same_rotation(w, length):
    q = rotation_to_quaternion(so3_exp(torch.tensor(w, dtype=F64)))
    for estimate in (q, -q):
        assert quaternion_distance(estimate, length * q) < 1e-12
        torch.testing.assert_close(quaternion_to_rotation(estimate), quaternion_to_rotation(q))


def test_it_is_the_chord_of_half_the_angle():
    for angle in (1e-6, 0.1, 1.0, 3.0):
        q = rotation_to_quaternion(so3_exp(torch.tensor([0, angle, 0], dtype=F64)))
        identity = torch.tensor([0, 0, 0, 1], dtype=F64)
        half = torch.tensor(angle / 4, dtype=F64)
        torch.testing.assert_close(quaternion_distance(q, identity), 2 * half.sin())


def test_it_draws_the_estimate_to_unit_length():
    q = torch.tensor([0, 0, 0, 3.0], dtype=F64, requires_grad=True)
    value = quaternion_distance(q, torch.tensor([0, 0, 0, 1.0], dtype=F64))
    value.backward()
    assert value == 2
    assert q.grad.tolist() == [0, 0, 0, 1]


def test_a_perfect_estimate_and_one_of_zero_length_have_finite_gradients():
    for estimate in (torch.eye(4)[3], torch.zeros(4)):
        q = estimate.clone().requires_grad_()
        quaternion_distance(q, torch.eye(4)[3]).backward()
        assert torch.isfinite(q.grad).all()


def test_posenets_two_weightings_have_the_right_pose_at_their_minimum(generator):
    """|dx| + beta |dq|, and e^-s |dx| + s + e^-t |dq| + t with s and t where the paper starts them."""
    truth = torch.tensor([1.0, -2, 0.5], dtype=F64), rotation_to_quaternion(so3_exp(torch.tensor([0.3, 0.2, -0.4])))

    def errors(x, q):
        return (x - truth[0]).norm(), quaternion_distance(q, truth[1].to(F64))

    s = torch.tensor([0.0, -3], dtype=F64)
    for total in (lambda dx, dq: dx + 500 * dq, lambda dx, dq: laplace(dx, s[0]) + laplace(dq, s[1])):
        x, q = torch.zeros(3, dtype=F64), torch.tensor([0, 0, 0, 1.0], dtype=F64)
        x, q = x.requires_grad_(), q.requires_grad_()
        optimiser = torch.optim.Adam([x, q], 0.05)
        for step in range(300):
            optimiser.param_groups[0]["lr"] = 0.05 * 0.98**step
            optimiser.zero_grad()
            total(*errors(x, q)).backward()
            optimiser.step()
        assert max(float(e.detach()) for e in errors(x, q)) < 1e-3


# ---- reprojection

def test_reprojection_is_the_projection_matrix(generator):
    points = cloud(generator)
    T = se3_exp(torch.tensor([[0.1, 0.2, 0, 0.05, -0.1, 0.2], [0, 0, 0.3, 0, 0.2, 0]], dtype=F64))
    pixels = 100 * torch.rand(2, 10, 2, generator=generator, dtype=F64)
    residual, front = reprojection(points, pixels, T, K.expand(2, 3, 3))
    torch.testing.assert_close(residual, seen(points, T) - pixels)
    assert front.all()


def test_the_true_pose_has_no_error_and_a_sideways_step_has_f_dx_over_z(generator):
    points = cloud(generator)
    T = se3(torch.eye(3, dtype=F64), torch.zeros(3, dtype=F64)).expand(2, 4, 4)
    aside = T.clone()
    aside[:, 0, 3] = 0.2
    pixels = seen(points, T)
    assert reprojection(points, pixels, T, K.expand(2, 3, 3))[0].abs().max() < 1e-10
    residual = reprojection(points, pixels, aside, K.expand(2, 3, 3))[0]
    torch.testing.assert_close(residual[..., 0], 300 * 0.2 / points[..., 2])
    torch.testing.assert_close(residual[..., 1], torch.zeros(2, 10, dtype=F64), atol=1e-10, rtol=0)


def test_moving_world_and_camera_together_changes_nothing(generator):
    points, T = cloud(generator), se3_exp(torch.tensor([[0.1, 0, 0, 0, 0.1, 0]], dtype=F64)).expand(2, 4, 4)
    pixels = seen(points, T) + torch.randn(2, 10, 2, generator=generator, dtype=F64)
    G = se3_exp(torch.tensor([1.0, 2, 3, 0.4, 0.5, 0.6], dtype=F64))
    moved = points @ G[:3, :3].mT + G[:3, 3]
    once, _ = reprojection(points, pixels, T, K.expand(2, 3, 3))
    again, _ = reprojection(moved, pixels, T @ torch.linalg.inv(G), K.expand(2, 3, 3))
    torch.testing.assert_close(again, once)


def test_descent_on_the_geometric_loss_finds_the_pose(generator):
    """Kendall & Cipolla 2017: pixels as the true pose sees them, no weight between metres and radians."""
    points, true = cloud(generator)[:1], torch.tensor([[0.1, -0.05, 0.2, 0.03, 0.05, -0.04]], dtype=F64)
    pixels = seen(points, se3_exp(true))
    xi = torch.zeros(1, 6, dtype=F64, requires_grad=True)
    optimiser = torch.optim.LBFGS([xi], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = charbonnier(reprojection(points, pixels, se3_exp(xi), K[None])[0].square(), 1.0).sum(-1).mean()
        value.backward()
        return value

    optimiser.step(closure)
    torch.testing.assert_close(xi.detach(), true, atol=1e-4, rtol=0)


@pytest.mark.parametrize("z", [0.0, -1.0, 1e-9])
def test_a_point_on_the_camera_plane_or_behind_is_marked_and_finite(z):
    points = torch.tensor([[[0.3, 0.2, z], [0, 0, 2]]], requires_grad=True)
    residual, front = reprojection(points, torch.zeros(1, 2, 2), torch.eye(4)[None], K[None].float())
    residual.sum().backward()
    assert front.tolist() == [[False, True]]
    assert torch.isfinite(residual).all()
    assert torch.isfinite(points.grad).all()


def test_gradcheck(generator):
    points, q = cloud(generator)[:, :3].requires_grad_(), torch.randn(5, 4, generator=generator, dtype=F64)
    T = se3_exp(torch.full((2, 6), 0.05, dtype=F64)).requires_grad_()
    pixels = torch.zeros(2, 3, 2, dtype=F64)
    assert torch.autograd.gradcheck(lambda p, t: reprojection(p, pixels, t, K.expand(2, 3, 3))[0], (points, T))
    truth = torch.randn(5, 4, generator=generator, dtype=F64)
    assert torch.autograd.gradcheck(quaternion_distance, (q.requires_grad_(), truth.requires_grad_()))
