"""The hourglass of Depth in the Wild."""

import pytest
import torch

from epipole.nets.hourglass import Hourglass, Inception


def test_weights_of_the_paper():
    with torch.device("meta"):
        net = Hourglass()
    normed = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    cancelled = sum(m.num_features for m in normed)  # the authors' biases before batch-norm
    assert sum(p.numel() for p in net.parameters()) == 5_546_689
    assert 5_546_689 + cancelled == 5_553_761
    assert sum(m.affine for m in normed) == 1


@pytest.mark.parametrize("size", [(32, 48), (19, 33), (1, 2)])
def test_maps_have_the_size_of_the_image(size):
    net = Hourglass(0.05).eval()
    assert net(torch.rand(2, 3, *size)).shape == (2, 1, *size)


def test_a_module_looks_as_far_as_its_largest_kernel():
    module, x = Inception(4, 8, 4, (3, 7, 11)).eval(), torch.rand(1, 4, 15, 15, requires_grad=True)
    module(x)[0, :, 7, 7].sum().backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    assert seen.any(0).nonzero().flatten().tolist() == list(range(2, 13))
    assert module(x).shape == (1, 8, 15, 15)


def test_the_way_round_is_added_to_the_way_through():
    torch.manual_seed(0)
    level, x = Hourglass(0.05).eval().levels, torch.rand(1, 8, 4, 6)
    with torch.no_grad():
        half = level.through(x)
        assert half.shape[-2:] == (2, 3)
        torch.testing.assert_close(level(x), level.around(x) + half.repeat_interleave(2, 2).repeat_interleave(2, 3))
