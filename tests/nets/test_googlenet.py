"""GoogLeNet's trunk."""

import pytest
import torch

from epipole.nets.googlenet import GoogLeNet


def test_weights_and_maps_of_the_paper():
    """6,998,552 with the classifier of 1000 classes, without branches."""
    with torch.device("meta"):
        net = GoogLeNet()
        maps = net(torch.rand(1, 3, 224, 224))
    assert sum(p.numel() for p in net.parameters()) == 5_973_552 == 6_998_552 - 1025 * 1000
    assert [tuple(m.shape[1:]) for m in maps] == [(512, 14, 14), (528, 14, 14), (1024, 7, 7)]
    assert net.channels == [512, 528, 1024]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_small_odd_images_and_narrow_trunks(batch_norm):
    net = GoogLeNet(0.05, batch_norm).eval()
    maps = net(torch.rand(2, 3, 33, 47))
    assert [tuple(m.shape[-2:]) for m in maps] == [(3, 3), (3, 3), (2, 2)]
    assert [m.shape[1] for m in maps] == net.channels
