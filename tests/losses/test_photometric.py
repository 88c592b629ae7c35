"""Photometric maps and the masked mean."""

import pytest
import torch

from epipole.losses.photometric import C1, C2, dssim, erode, masked_mean, ssim_l1

F64 = torch.float64


def images(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.rand(2, 3, 6, 7, generator=generator, dtype=F64) for _ in range(2))


def dssim_by_hand(a: torch.Tensor, b: torch.Tensor, y: int, x: int) -> float:
    """One box of one channel, with moments from numpy's definitions."""
    a, b = a[y:y + 3, x:x + 3].flatten(), b[y:y + 3, x:x + 3].flatten()
    var_a, var_b, cov = a.var(correction=0), b.var(correction=0), ((a - a.mean()) * (b - b.mean())).mean()
    ssim = (2 * a.mean() * b.mean() + C1) * (2 * cov + C2)
    ssim /= (a.mean() ** 2 + b.mean() ** 2 + C1) * (var_a + var_b + C2)
    return float(((1 - ssim) / 2).clamp(0, 1))


def test_dssim_is_the_definition_box_by_box(generator):
    a, b = images(generator)
    result = dssim(a, b)
    assert result.shape == (2, 3, 4, 5)
    for n, c, y, x in ((0, 0, 0, 0), (1, 2, 3, 4), (0, 1, 2, 1)):
        assert float(result[n, c, y, x]) == pytest.approx(dssim_by_hand(a[n, c], b[n, c], y, x), abs=1e-12)


def test_dssim_is_zero_for_equal_images_and_symmetric(generator):
    a, b = images(generator)
    assert dssim(a, a).abs().max() < 1e-12
    torch.testing.assert_close(dssim(a, b), dssim(b, a))


def test_dssim_of_bf16_images_is_computed_in_float32(generator):
    """E[x^2] - E[x]^2 has no correct digit in bfloat16."""
    a = torch.rand(1, 1, 8, 8, generator=generator).bfloat16()
    assert dssim(a, a).dtype == torch.float32
    assert dssim(a, a).abs().max() < 1e-4


def test_dssim_takes_clips(generator):
    a, b = images(generator)
    torch.testing.assert_close(dssim(a[:, None], b[:, None])[:, 0], dssim(a, b))


def test_dssim_gradcheck(generator):
    a, b = images(generator)
    b = 0.5 * a + 0.5 * b  # away from the clip
    assert torch.autograd.gradcheck(dssim, (a[:1, :1].requires_grad_(), b[:1, :1].requires_grad_()))


def test_ssim_l1_mixes_both(generator):
    a, b = images(generator)
    assert ssim_l1(a, b).shape == (2, 1, 6, 7)
    torch.testing.assert_close(ssim_l1(a, b, 0.0), (a - b).abs().mean(1, keepdim=True))
    torch.testing.assert_close(ssim_l1(a, b, 1.0)[..., 1:-1, 1:-1], dssim(a, b).mean(1, keepdim=True))


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
