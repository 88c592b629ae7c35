"""What no loss of view synthesis can know: the unit of depth and translation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epipole.geometry.epipolar import essential_from_motion, sampson_distance
from epipole.geometry.motion import move, se3, se3_exp, se3_inverse
from epipole.geometry.warp import inverse_warp
from epipole.losses.census import grey, soft_census
from epipole.losses.photometric import masked_mean
from epipole.losses.ssim import ssim_l1
from tests.scene import plane_clip

F64 = torch.float64


def scene() -> tuple[torch.Tensor, ...]:
    """target, source, depth, R and t of T_source_target, K; depth and motion are wrong, so that there is a loss."""
    views = plane_clip(2, 2, 24, 32)
    T = se3_inverse(views.T_world_camera[:, 1]) @ views.T_world_camera[:, 0]
    u = torch.linspace(0.9, 1.2, 32)
    parts = views.image[:, 0], views.image[:, 1], u * views.depth[:, 0], T[:, :3, :3], 1.3 * T[:, :3, 3], views.K[:, 0]
    return tuple(x.to(F64) for x in parts)


def photometric(depth: torch.Tensor, t: torch.Tensor, loss=ssim_l1) -> torch.Tensor:
    target, source, _, R, _, K = scene()
    synthetic, mask = inverse_warp(source, depth, se3(R, t), K, K)
    return masked_mean(loss(synthetic, target), mask)


def census(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    pad = (1, 1, 1, 1)
    return torch.nn.functional.pad(soft_census(grey(a), grey(b), 1), pad)


@settings(deadline=None, max_examples=20)
@given(scale=st.floats(0.1, 100))
def test_the_photometric_loss_is_unchanged_under_depth_and_translation_scaled_together(scale):
    _, _, depth, _, t, _ = scene()
    for loss in (ssim_l1, census):
        before = photometric(depth, t, loss)
        assert float(photometric(scale * depth, scale * t, loss)) == pytest.approx(float(before), rel=1e-9)
        assert before > 0


def test_scaling_one_of_the_two_changes_it():
    _, _, depth, _, t, _ = scene()
    before = photometric(depth, t)
    assert abs(photometric(1.2 * depth, t) - before) > 0.01 * before
    assert abs(photometric(depth, 1.2 * t) - before) > 0.01 * before


def test_its_gradient_has_no_share_along_the_common_scale():
    """Euler: of degree 0 in (depth, t) together, so depth . dL/ddepth + t . dL/dt = 0, neither part being zero."""
    _, _, depth, _, t, _ = scene()
    depth, t = depth.requires_grad_(), t.requires_grad_()
    by_depth, by_t = torch.autograd.grad(photometric(depth, t), (depth, t))
    along_depth, along_t = float((depth * by_depth).sum().detach()), float((t * by_t).sum().detach())
    assert abs(along_depth) > 1e-4
    assert along_depth + along_t == pytest.approx(0, abs=1e-9 * abs(along_depth))


def test_the_epipolar_error_does_not_know_the_length_of_a_translation_and_leads_to_its_direction(generator):
    """Matches on the planes z = 1 of a known motion: no error at it, at any length; descent finds the rest of it."""
    true = torch.tensor([0.3, -0.1, 0.2, 0.05, -0.1, 0.08], dtype=F64)
    points = torch.rand(40, 3, generator=generator, dtype=F64) * 4 + torch.tensor([-2, -2, 3])
    moved = move(se3_exp(true), points)
    first, second = points[:, :2] / points[:, 2:], moved[:, :2] / moved[:, 2:]

    def error(twist: torch.Tensor, length: float = 1.0) -> torch.Tensor:
        T = se3_exp(twist)
        E = essential_from_motion(se3(T[:3, :3], length * T[:3, 3]))
        return sampson_distance(E, first, second)

    assert max(float(error(true, k).abs().max()) for k in (1.0, 100.0)) < 1e-12
    twist = (true + 0.05).requires_grad_()
    torch.testing.assert_close(error(twist, 7.0), error(twist))
    optimiser = torch.optim.LBFGS([twist], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def closure():
        optimiser.zero_grad()
        value = 1e4 * error(twist).square().mean()
        value.backward()
        return value

    optimiser.step(closure)
    found, wanted = se3_exp(twist.detach()), se3_exp(true)
    torch.testing.assert_close(found[:3, :3], wanted[:3, :3], atol=1e-4, rtol=0)
    assert torch.cosine_similarity(found[:3, 3], wanted[:3, 3], dim=0) > 0.9999
