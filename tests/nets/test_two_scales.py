"""Eigen's two stacks."""

import torch

from epipole.nets.two_scales import Coarse, Fine, map_size


def test_the_paper_s_sizes():
    """228 x 304 pixels become maps of 55 x 74, and the features before the fully connected layer are 6 x 8."""
    assert map_size(228, 304) == (55, 74)
    image = torch.rand(1, 3, 228, 304)
    net = Coarse(228, 304, (4, 4, 4, 4, 4), 8, 0.5)
    assert net.features(image).shape == (1, 4, 6, 8)
    coarse = net(image)
    assert coarse.shape == (1, 1, 55, 74)
    assert Fine(7, 8)(image, coarse).shape == (1, 1, 55, 74)


def test_weights_of_the_paper_s_layers():
    layers = [(121, 3, 96), (25, 96, 256), (9, 256, 384), (9, 384, 384), (9, 384, 256),
              (6 * 8, 256, 4096), (1, 4096, 55 * 74)]
    with torch.device("meta"):
        coarse = sum(p.numel() for p in Coarse(228, 304, (96, 256, 384, 384, 256), 4096, 0.5).parameters())
        fine = sum(p.numel() for p in Fine().parameters())
    assert coarse == sum(area * before * after + after for area, before, after in layers)
    assert fine == (81 * 3 + 1) * 63 + (25 * 64 + 1) * 64 + 25 * 64 + 1


def test_the_coarse_map_sees_the_whole_image_and_the_fine_one_its_parts():
    torch.manual_seed(0)  # all of four channels may be silent
    image = torch.rand(1, 3, 114, 152, requires_grad=True)
    coarse = Coarse(114, 152, (4, 4, 4, 4, 4), 32, 0.0)(image)
    coarse[0, 0, 0, 0].backward()
    assert image.grad[..., -30:, -40:].any()
    image.grad = None
    Fine(7, 8)(image, coarse.detach())[0, 0, 0, 0].backward()
    assert image.grad.any()
    assert not image.grad[..., 50:, :].any()
    assert not image.grad[..., 50:].any()
