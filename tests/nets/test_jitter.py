"""Changes of colour in training."""

import pytest
import torch

from epipole.nets.jitter import colour_jitter, gamma_brightness_colour, luminance, turned

BOTH = pytest.mark.parametrize("change", [gamma_brightness_colour, colour_jitter])


def scenes(count: int = 200) -> torch.Tensor:
    """Scenes of two frames that are the same in all scenes."""
    torch.manual_seed(0)
    return (0.2 + 0.4 * torch.rand(1, 2, 3, 2, 3)).repeat(count, 1, 1, 1, 1)


@BOTH
def test_half_the_scenes_change_and_stay_within_range(change):
    before = scenes()
    after = change(before)
    same = (after == before).flatten(1).all(1)
    assert 0.35 < same.float().mean() < 0.65
    assert after.min() >= 0
    assert after.max() <= 1
    assert len({tuple(x.flatten().tolist()) for x in after[~same]}) == int((~same).sum())  # each in its own way


@BOTH
def test_frames_of_a_scene_change_alike(change):
    before = scenes()[:, :1].expand(-1, 2, -1, -1, -1)
    after = change(before)
    torch.testing.assert_close(after[:, 0], after[:, 1])


def test_no_strength_changes_nothing():
    before = scenes()
    torch.testing.assert_close(colour_jitter(before, 0.0, 0.0), before, atol=2e-3, rtol=0)


def test_turning_the_hue_keeps_luminance_and_a_whole_circle_brings_it_back():
    before = scenes(2)
    quarter = turned(before, torch.full((2,), torch.pi / 2))
    torch.testing.assert_close(luminance(quarter), luminance(before), atol=1e-3, rtol=0)
    assert (quarter - before).abs().max() > 0.05
    torch.testing.assert_close(turned(before, torch.full((2,), 2 * torch.pi)), before, atol=1e-5, rtol=0)
