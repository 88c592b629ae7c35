"""SSIM under a Gaussian window."""

import kornia
import pytest
import skimage.metrics
import torch

from epipole.losses.gaussian_ssim import gaussian_ssim

F64 = torch.float64


def images(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    a = torch.rand(2, 3, 24, 30, generator=generator, dtype=F64)
    return a, (a + 0.2 * torch.randn(a.shape, generator=generator, dtype=F64)).clamp(0, 1)


def test_it_is_scikit_images(generator):
    a, b = images(generator)
    result = gaussian_ssim(a, b)
    assert result.shape == (2, 3, 14, 20)
    for n in range(2):
        _, full = skimage.metrics.structural_similarity(
            a[n].numpy(), b[n].numpy(), data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True)
        torch.testing.assert_close(result[n], torch.from_numpy(full)[:, 5:-5, 5:-5])


def test_it_is_kornias(generator):
    a, b = images(generator)
    torch.testing.assert_close(gaussian_ssim(a, b), kornia.metrics.ssim(a, b, 11, eps=0.0, padding="valid"))


def test_equal_images_are_alike_and_negatives_are_not(generator):
    a, b = images(generator)
    torch.testing.assert_close(gaussian_ssim(a, a), torch.ones(2, 3, 14, 20, dtype=F64))
    torch.testing.assert_close(gaussian_ssim(a, b), gaussian_ssim(b, a))
    assert gaussian_ssim(a, 1 - a).max() < 0
    assert gaussian_ssim(a, 1 - a).min() >= -1


def test_flat_and_dark_images_have_values_and_gradients():
    a = torch.zeros(1, 1, 12, 12, requires_grad=True)
    value = gaussian_ssim(a, torch.zeros(1, 1, 12, 12))
    value.sum().backward()
    assert torch.equal(value.detach(), torch.ones(1, 1, 2, 2))
    assert torch.isfinite(a.grad).all()


def test_clips_and_single_images(generator):
    a, b = images(generator)
    torch.testing.assert_close(gaussian_ssim(a[:, None], b[:, None])[:, 0], gaussian_ssim(a, b))
    torch.testing.assert_close(gaussian_ssim(a[0], b[0]), gaussian_ssim(a, b)[0])


def test_an_image_smaller_than_the_window_is_refused():
    with pytest.raises(ValueError, match="11x11"):
        gaussian_ssim(torch.zeros(3, 10, 40), torch.zeros(3, 10, 40))


def test_gradcheck(generator):
    a, b = (i[:1, :1, :6, :5].contiguous().requires_grad_() for i in images(generator))
    assert torch.autograd.gradcheck(lambda x, y: gaussian_ssim(x, y, 5), (a, b))
