"""Coarser depth and smoother images."""

import pytest
import scipy.ndimage
import torch

from epipole.geometry.pyramid import area_means, depth_level, gaussian_blur, halvings


def test_depth_is_picked_and_never_averaged():
    depth = torch.tensor([1.0, 9.0]).repeat_interleave(8).expand(1, 1, 12, 16)
    valid = torch.ones(1, 1, 12, 16, dtype=torch.bool)
    valid[..., :6, :] = False
    small, known = depth_level(depth, valid, (4, 6))
    assert small.shape == known.shape == (1, 1, 4, 6)
    assert set(small.flatten().tolist()) == {1.0, 9.0}
    assert known[0, 0, :, 0].tolist() == [False, False, True, True]


def test_maps_shrink_to_the_means_of_areas_whatever_leads_them():
    x = torch.rand(2, 3, 1, 8, 12)
    blocks = x.unflatten(-2, (4, 2)).unflatten(-1, (4, 3)).mean((-3, -1))
    torch.testing.assert_close(area_means(x, (4, 4)), blocks)
    torch.testing.assert_close(area_means(x[0], (4, 4)), blocks[0])
    assert area_means(x, (8, 12)) is x


def test_sizes_are_halved_while_they_are_large_enough():
    assert halvings((96, 128), 5, 17) == [(96, 128), (48, 64), (24, 32)]
    assert halvings((9, 9), 3, 17) == [(9, 9)]


def test_the_pixel_nearest_to_the_centre_is_picked():
    row = torch.arange(9.0).expand(1, 1, 3, 9)
    small, _ = depth_level(row, row >= 0, (1, 3))
    assert small.flatten().tolist() == [1, 4, 7]


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.0])
def test_blur_is_scipy_s(sigma):
    image = torch.rand(2, 3, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = scipy.ndimage.gaussian_filter(image.numpy(), (0, 0, sigma, sigma), mode="nearest",
                                             radius=[0, 0, *2 * [-int(-3 * sigma // 1)]])
    torch.testing.assert_close(gaussian_blur(image, sigma), torch.from_numpy(expected))


def test_blur_has_a_gradient():
    image = torch.rand(1, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: gaussian_blur(x, 1.0), (image,))
