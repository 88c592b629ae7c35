"""The ICP loss: what it measures, and each gradient rule against what it claims to be."""

import math

import pytest
import torch

from epipole.geometry.icp import icp
from epipole.geometry.motion import move, se3, se3_exp, se3_inverse, so3_exp
from epipole.losses.points import icp_exact_gradient, icp_paper_gradient

F64 = torch.float64
EYE = torch.eye(4, dtype=F64)
BOTH = pytest.mark.parametrize("loss", [icp_paper_gradient, icp_exact_gradient])


def box(generator: torch.Generator, n: int = 500) -> torch.Tensor:
    return 4 * torch.rand(n, 3, generator=generator, dtype=F64)


def total(found) -> torch.Tensor:
    """|T' - I|_1 + |r|_1, means of absolute values."""
    return found.motion.abs().mean() + found.residual.abs().mean()


def numerical(f, x: torch.Tensor, h: float = 1e-6) -> torch.Tensor:
    """Central differences of a scalar function."""
    gradient = torch.zeros_like(x)
    for k in range(x.numel()):
        step = torch.zeros_like(x)
        step.view(-1)[k] = h
        gradient.view(-1)[k] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


# ---- what it measures

@BOTH
def test_planted_translation_and_no_residual(generator, loss):
    a = box(generator)
    found = loss(a, EYE, a + torch.tensor([0.05, 0, 0], dtype=F64))
    torch.testing.assert_close(found.motion, torch.tensor([0.05, 0, 0, 0, 0, 0], dtype=F64))
    assert found.residual.abs().max() < 1e-12


@BOTH
def test_planted_rotation_in_degrees(generator, loss):
    a = box(generator) - 2
    R = so3_exp(torch.tensor([0, math.radians(2), 0], dtype=F64))
    rotation = torch.rad2deg(loss(a, EYE, a @ R.T).motion[3:])
    assert (rotation - torch.tensor([0, 2.0, 0], dtype=F64)).abs().max() < 0.1


@BOTH
def test_zero_for_the_right_motion(generator, loss):
    a, T = box(generator), se3_exp(torch.randn(6, generator=generator, dtype=F64))
    assert total(loss(a, T, move(T, a))) < 1e-12


@BOTH
def test_trimmed_pairs_have_no_say(generator, loss):
    b = box(generator, 100)
    a = b.clone()
    a[:20] += 8.0
    found = loss(a, EYE, b, 10, 0.2)
    assert found.matched.tolist() == [False] * 20 + [True] * 80
    assert total(found) < 1e-12
    assert total(loss(a, EYE, b)) > 0.1


@BOTH
def test_it_is_icp_of_so_many_iterations(generator, loss):
    a = box(generator, 100)
    b = move(se3_exp(torch.tensor([0.5, -0.4, 0.3, 0.1, -0.2, 0.15], dtype=F64)), a)
    motions = [loss(a, EYE, b, n).motion for n in (1, 3, 5)]
    for n, motion in zip((1, 3, 5), motions, strict=True):
        torch.testing.assert_close(motion[:3], icp(a, b, n).T_target_source[:3, 3])
    assert (motions[0] - motions[1]).abs().max() > 1e-3
    assert (motions[1] - motions[2]).abs().max() > 1e-3


def test_both_gradients_belong_to_the_same_value(generator):
    a, b = box(generator), box(generator)
    for x, y in zip(icp_paper_gradient(a, EYE, b), icp_exact_gradient(a, EYE, b), strict=True):
        torch.testing.assert_close(x, y)


# ---- the paper's three rules

def rough_pair(generator: torch.Generator, n: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A cloud, an ego-motion that is off, and the cloud it should meet, with noise that leaves residuals."""
    a = box(generator, n)
    T = se3_exp(torch.tensor([0.3, -0.2, 0.5, 0.1, 0.2, -0.1], dtype=F64))
    off = se3_exp(torch.tensor([0.02, -0.03, 0.01, 0.01, -0.005, 0.008], dtype=F64))
    return a, off @ T, move(T, a) + 0.02 * torch.randn(n, 3, generator=generator, dtype=F64)


def test_rule_1_ego_motion_gets_minus_the_gradient_of_the_motion(generator):
    a, T, b = rough_pair(generator)
    ego = torch.zeros(6, dtype=F64, requires_grad=True)
    found = icp_paper_gradient(a, se3_exp(ego) @ T, b)
    upstream = torch.randn(6, generator=generator, dtype=F64)
    (found.motion @ upstream).backward()
    torch.testing.assert_close(ego.grad, -upstream)


def test_rule_2_source_points_get_minus_the_gradient_of_the_residual(generator):
    """In the frame of the target, where the residual lives; the rotation takes it back into the source's frame."""
    a, T, b = rough_pair(generator)
    a.requires_grad_()
    found = icp_paper_gradient(a, T, b)
    upstream = torch.randn(found.residual.shape, generator=generator, dtype=F64)
    (found.residual * upstream).sum().backward()
    torch.testing.assert_close(a.grad, -upstream @ T[:3, :3])


def test_rule_3_the_target_has_no_gradient(generator):
    a, T, b = rough_pair(generator)
    b.requires_grad_()
    a.requires_grad_()
    total(icp_paper_gradient(a, T, b)).backward()
    assert b.grad is None


def test_motion_does_not_reach_the_points_nor_residuals_the_ego_motion(generator):
    a, T, b = rough_pair(generator)
    ego = torch.zeros(6, dtype=F64, requires_grad=True)
    a.requires_grad_()
    found = icp_paper_gradient(a, se3_exp(ego) @ T, b)
    by_motion = torch.autograd.grad(found.motion.sum(), a, retain_graph=True)[0]
    by_residual = torch.autograd.grad(found.residual.sum(), ego)[0]
    assert by_motion.abs().max() == by_residual.abs().max() == 0


def test_the_papers_gradient_is_not_the_numerical_one(generator):
    a, T, b = rough_pair(generator)
    a.requires_grad_()
    total(icp_paper_gradient(a, T, b)).backward()
    true = numerical(lambda x: total(icp_paper_gradient(x, T, b)), a.detach())
    assert (a.grad - true).abs().max() > 1e-3
    assert torch.nn.functional.cosine_similarity(a.grad.flatten(), true.flatten(), dim=0) > 0.5  # yet it descends


def test_the_papers_rule_for_the_ego_motion_is_right_to_first_order(generator):
    """ICP undoes whatever small motion is added to the ego-motion: T' exp(d) = const, hence dT'/dd = -I near T' = I."""
    a, T, b = rough_pair(generator)
    weights = torch.randn(6, generator=generator, dtype=F64)
    centre = se3(torch.eye(3, dtype=F64), move(T, a).mean(0))
    a, b = move(se3_inverse(centre) @ T, a), move(se3_inverse(centre), b)  # moments about the cloud's centre
    true = numerical(lambda x: icp_paper_gradient(a, se3_exp(x), b).motion @ weights, torch.zeros(6, dtype=F64))
    torch.testing.assert_close(true, -weights, atol=0.05, rtol=0)


def test_residuals_do_not_feel_the_ego_motion(generator):
    """Why the paper's rule may leave this path out: whatever small motion is added, ICP takes it away again."""
    a, T, b = rough_pair(generator)
    ego = torch.zeros(6, dtype=F64, requires_grad=True)
    residual = icp_exact_gradient(a, se3_exp(ego) @ T, b).residual
    upstream = torch.randn(residual.shape, generator=generator, dtype=F64)
    assert torch.autograd.grad((residual * upstream).sum(), ego)[0].abs().max() < 1e-6


# ---- the exact gradient

def test_exact_gradient_is_the_numerical_one(generator):
    """Correspondences stay as they are within a step of 1e-6, which freezes them."""
    a, T, b = rough_pair(generator, 15)
    ego = torch.zeros(6, dtype=F64)

    def parts(x, e, y):
        return icp_exact_gradient(x, se3_exp(e) @ T, y)[:2]

    assert torch.autograd.gradcheck(parts, (a.requires_grad_(), ego.requires_grad_(), b.requires_grad_()))


def test_exact_gradient_with_trimmed_pairs(generator):
    a, T, b = rough_pair(generator, 15)

    def parts(x, y):
        return icp_exact_gradient(x, T, y, 10, 0.3)[:2]

    assert torch.autograd.gradcheck(parts, (a.requires_grad_(), b.requires_grad_()))


# ---- descent goes the right way

@BOTH
def test_a_step_on_the_ego_motion_shrinks_the_motion_that_is_left(generator, loss):
    a = box(generator)
    b = move(se3_exp(torch.tensor([0.05, -0.03, 0.02, 0.01, -0.02, 0.015], dtype=F64)), a)
    ego = torch.zeros(6, dtype=F64, requires_grad=True)
    before = loss(a, se3_exp(ego), b).motion.abs().mean()
    before.backward()
    after = loss(a, se3_exp(ego.detach() - 0.03 * ego.grad), b).motion.abs().mean()
    assert after < 0.9 * before.detach()


@BOTH
def test_the_step_goes_where_icp_wants_to_go(generator, loss):
    """Squares instead of absolute values: the five entries that are zero but for rounding must not have a say."""
    a = box(generator)
    ego = torch.zeros(6, dtype=F64, requires_grad=True)
    (0.5 * loss(a, se3_exp(ego), a + torch.tensor([0.05, 0, 0], dtype=F64)).motion.square()).sum().backward()
    torch.testing.assert_close(-ego.grad[:3], torch.tensor([0.05, 0, 0], dtype=F64))


@BOTH
def test_descent_moves_the_displaced_point_to_its_match(generator, loss):
    b = box(generator, 100)
    a = b.clone()
    a[17, 2] -= 0.02
    a.requires_grad_()
    loss(a, EYE, b).residual.abs().sum().backward()
    assert a.grad[17, 2] < -0.99
    moved = (a - 0.005 * a.grad).detach()
    assert abs(moved[17, 2] - b[17, 2]) < 0.8 * 0.02


@BOTH
def test_descent_on_both_finds_the_ego_motion_and_the_shape(generator, loss):
    b = box(generator, 60)
    T = se3_exp(torch.tensor([0.05, -0.03, 0.02, 0.01, 0, -0.01], dtype=F64))
    a = (move(se3_inverse(T), b) + 0.01 * torch.randn(60, 3, generator=generator, dtype=F64)).requires_grad_()
    ego = torch.zeros(6, dtype=F64, requires_grad=True)
    first = total(loss(a, se3_exp(ego), b)).detach()
    optimiser = torch.optim.Adam([a, ego], 2e-3)
    for step in range(60):
        optimiser.param_groups[0]["lr"] = 2e-3 * 0.95**step
        optimiser.zero_grad()
        total(loss(a, se3_exp(ego), b)).backward()
        optimiser.step()
    assert total(loss(a, se3_exp(ego), b)).detach() < 0.2 * first


@BOTH
def test_float32_and_batches(generator, loss):
    a = box(generator, 2 * 50).view(2, 50, 3).float().requires_grad_()
    b = a.detach() + torch.tensor([[[0.05, 0, 0]], [[0, 0, -0.05]]])
    found = loss(a, torch.eye(4).expand(2, 4, 4), b)
    torch.testing.assert_close(found.motion[:, [0, 2]], torch.tensor([[0.05, 0], [0, -0.05]]), atol=1e-5, rtol=0)
    total(found).backward()
    assert torch.isfinite(a.grad).all()
