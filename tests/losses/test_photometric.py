"""The masked mean, and the mask over boxes."""

import torch

from epipole.losses.photometric import erode, masked_mean


def test_masked_mean_divides_by_the_mask_broadcast_over_channels(generator):
    x = torch.rand(2, 3, 4, 5, generator=generator)
    mask = torch.rand(2, 1, 4, 5, generator=generator) > 0.5
    torch.testing.assert_close(masked_mean(x, mask), x[mask.expand_as(x)].mean())


def test_pushing_pixels_out_of_view_does_not_lower_the_masked_mean():
    x = torch.ones(1, 1, 4, 4)
    half = torch.arange(16).view(1, 1, 4, 4) < 8
    assert masked_mean(x, half) == masked_mean(x, torch.ones_like(half)) == 1


def test_values_under_the_mask_reach_neither_value_nor_gradient():
    x = torch.tensor([1.0, torch.nan, 3.0], requires_grad=True)
    value = masked_mean(x, torch.tensor([True, False, True]))
    value.backward()
    assert value == 2
    assert x.grad.tolist() == [0.5, 0, 0.5]


def test_an_empty_mask_gives_zero_with_zero_gradient():
    x = torch.ones(3, requires_grad=True)
    value = masked_mean(x, torch.zeros(3, dtype=torch.bool))
    value.backward()
    assert value == 0
    assert x.grad.tolist() == [0, 0, 0]


def test_erode_is_the_minimum_over_each_box(generator):
    mask = torch.rand(2, 1, 6, 7, generator=generator) > 0.1
    result = erode(mask)
    for y in range(4):
        for x in range(5):
            assert torch.equal(result[:, 0, y, x], mask[:, 0, y:y + 3, x:x + 3].flatten(1).all(1))
