"""Garg's system on shifted pairs: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from epipole.systems.depth.garg import PRESETS, Garg
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.scene import plane_pair

H, W = 24, 96
TINY = replace(PRESETS["small"], width=0.06)


def system(**changes) -> Garg:
    torch.manual_seed(0)
    return Garg(replace(TINY, **changes))


def shifted(pixels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Waves of 8 and of 64 px, each colour with its own phase, seen so many px further left by the right camera."""
    x, phase = torch.arange(W + pixels), torch.arange(3.0)[:, None]
    rows = 0.5 + 0.2 * torch.sin(2 * torch.pi * x / 8 + 2 * phase) + 0.2 * torch.sin(2 * torch.pi * x / 64 - phase)
    wide = rows[None, :, None].expand(1, 3, H, W + pixels)
    return wide[..., :W], wide[..., pixels:]


def descended(pixels: int, start: float, levels: int, steps: int = 60, **changes) -> float:
    """The median disparity that descent finds (px), coarse to fine through so many levels from a constant start."""
    left, right = shifted(pixels)
    learner, share = system(**changes), torch.full((1, 1, 1, 1), start / W)
    for level in range(levels)[::-1]:
        size = (H >> level, W >> level)
        share = F.interpolate(share, size, mode="bilinear").detach().requires_grad_()
        optimiser = torch.optim.Adam([share], 0.1 / (W >> level))
        for _ in range(steps):
            optimiser.zero_grad()
            sum(learner.objective(left, right, [share]).values()).backward()
            optimiser.step()
    return float(W * share.detach().median())


@pytest.mark.parametrize("linearised", [True, False])
def test_a_shift_is_found_from_two_pixels_away(linearised):
    assert descended(8, 6.0, 1, linearised=linearised) == pytest.approx(8, abs=0.5)


def test_twenty_pixels_away_it_is_lost_without_the_coarse_levels_and_found_with_them():
    """The short waves fit every 8 px; averaged over 8 px they are gone."""
    assert descended(24, 5.0, 1) == pytest.approx(8, abs=1)
    assert descended(24, 5.0, 4) == pytest.approx(24, abs=0.5)


def test_terms_are_those_of_the_formula():
    left, right = shifted(8)
    flat = torch.full((1, 1, H, W), 8 / W)
    assert system().objective(left, right, [flat])["reconstruction"] < 1e-8
    assert system().objective(left, right, [flat])["smoothness"] == 0
    ramp = (torch.arange(W) * 0.5 / W).expand(1, 1, H, W)  # half a pixel per pixel
    slope = system(smoothness=0.01).objective(left, right, [ramp])["smoothness"]
    torch.testing.assert_close(slope, torch.tensor(0.01 * 0.25 * (W - 1) / W))
    error = (right - left).square().sum(1).mean()
    none = torch.zeros(1, 1, H, W)
    torch.testing.assert_close(system().objective(left, right, [none])["reconstruction"], error)


def test_stages_add_levels_from_the_coarsest_on():
    views = plane_pair(1)
    learner = system()
    maps = learner.net(views.image[:, 0])
    pair = views.image[:, 0], views.image[:, 1]
    for level in range(4):
        expected = learner.objective(*pair, maps[level:])
        torch.testing.assert_close(learner.loss_down_to(level)(views), expected)
    learner.loss_down_to(3)(views)["reconstruction"].backward()
    blocks = [m.weight.grad is not None for m in learner.net.maps]
    assert blocks == [False, False, False, True]


def test_depth_is_metric_by_focal_length_and_baseline():
    views = plane_pair(2)
    learner = system().eval()
    share = views.disparity.flatten(0, 1) / views.image.shape[-1]
    learner.net.forward = lambda _: [share]
    torch.testing.assert_close(learner(views).depth, views.depth)


def test_what_is_no_pair_is_refused_in_words():
    views = plane_pair(1).keep(Garg.needs)
    with pytest.raises(InputError, match="pairs"):
        system().loss(Views(image=views.image[:, :1], baseline=views.baseline[:, :1]))
