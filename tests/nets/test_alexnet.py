"""The convolutional AlexNet with its coarse-to-fine head."""

import pytest
import torch

from epipole.nets.alexnet import CoarseToFine


def test_weights_of_its_layers():
    """Kernel areas times channels, plus biases, of L1 .. L7 and the four maps."""
    layers = [(121, 3, 96), (25, 96, 256), (9, 256, 384), (9, 384, 384), (9, 384, 256), (25, 256, 2048),
              (1, 2048, 2048), (9, 96, 1), (9, 96, 1), (9, 256, 1), (9, 2048, 1)]
    with torch.device("meta"):
        count = sum(p.numel() for p in CoarseToFine().parameters())
    assert count == sum(area * before * after + after for area, before, after in layers) == 21_075_268


@pytest.mark.parametrize("size", [(64, 96), (37, 61)])
def test_four_maps_of_a_quarter_down_to_a_thirty_second(size):
    maps = CoarseToFine(0.06, start=0.5)(torch.rand(2, 3, *size))
    assert [m.shape for m in maps] == [(2, 1, -(-size[0] // f), -(-size[1] // f)) for f in (4, 8, 16, 32)]
    assert all((m - 0.5).abs().max() < 0.1 for m in maps)


def test_a_finer_map_is_the_coarser_one_enlarged_plus_what_its_features_show():
    net = CoarseToFine(0.06)
    for block in list(net.maps)[:-1]:
        torch.nn.init.zeros_(block.weight)
    fine, middle, _, coarse = net(torch.rand(1, 3, 64, 64))
    torch.testing.assert_close(fine.mean(), coarse.mean())
    torch.testing.assert_close(torch.nn.functional.interpolate(middle, (16, 16), mode="bilinear"), fine)
