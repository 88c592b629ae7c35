"""Rectified stereo."""

import pytest
import torch

from epipole.geometry.rectified import depth_of_disparity, disparity_flow, linearised_warp
from epipole.geometry.warp import flow_warp
from tests.scene import plane_pair

F64 = torch.float64


def waves(width: int = 60) -> torch.Tensor:
    """A row of smooth colours [1 2 3 w]."""
    x = torch.arange(width, dtype=F64)
    return torch.stack([torch.sin(0.2 * x), torch.cos(0.13 * x)])[None, :, None].expand(1, 2, 3, width).clone()


def test_disparity_leads_from_the_left_view_to_the_right_one():
    views = plane_pair(1)
    torch.testing.assert_close(disparity_flow(views.disparity[:, 0]), views.flow[:, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(disparity_flow(-views.disparity[:, 1]), views.flow[:, 1], atol=1e-4, rtol=0)


def test_depth_is_focal_length_times_baseline_over_disparity():
    views = plane_pair(2)
    torch.testing.assert_close(depth_of_disparity(views.disparity, views.K, views.baseline), views.depth)


def test_the_linearised_warp_has_the_value_of_the_bilinear_one():
    d = torch.linspace(2.0, 5.3, 60, dtype=F64).expand(1, 1, 3, 60)
    there, seen = linearised_warp(waves(), d)
    expected, inside = flow_warp(waves(), disparity_flow(d))
    torch.testing.assert_close(there, expected)
    assert torch.equal(seen, inside)


@pytest.mark.parametrize("shift", [3.0, 4.4])
def test_its_gradient_is_exactly_error_times_slope_and_about_the_bilinear_one(shift):
    """d/dD of (I_r(x - D) - I_l)^2 / 2 is -(I_r(x - D0) - I_l) dI_r/dx(x - D0)."""
    right, left = waves(), waves().roll(2, -1)

    def gradient(warp):
        d = torch.full((1, 1, 3, 60), shift, dtype=F64, requires_grad=True)
        (warp(d) - left).square().sum().div(2).backward()
        return d.grad[..., 8:-8]

    taylor = gradient(lambda d: linearised_warp(right, d)[0])
    slope = torch.zeros_like(right)
    slope[..., 1:-1] = (right[..., 2:] - right[..., :-2]) / 2
    flow = disparity_flow(torch.full((1, 1, 3, 60), shift, dtype=F64))
    error, along = flow_warp(right, flow)[0] - left, flow_warp(slope, flow)[0]
    torch.testing.assert_close(taylor, -(error * along).sum(1, keepdim=True)[..., 8:-8])
    bilinear = gradient(lambda d: flow_warp(right, disparity_flow(d))[0])
    assert (taylor - bilinear).abs().max() < 0.15 * bilinear.abs().max()
    assert (taylor - bilinear).abs().max() > 0
