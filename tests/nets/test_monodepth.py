"""Networks of two disparities."""

import pytest
import torch

from epipole.nets.monodepth import ResNetDisparity, VggDisparity


def weights(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameter_counts_of_the_reference():
    with torch.device("meta"):
        assert weights(VggDisparity()) == 31_600_072
        assert weights(ResNetDisparity()) == 49_466_152


@pytest.mark.parametrize("net", [VggDisparity, ResNetDisparity])
@pytest.mark.parametrize("size", [(64, 96), (17, 37)])
def test_two_maps_at_four_scales_of_any_size(net, size):
    maps = net(0.06)(torch.rand(2, 3, *size))
    assert [m.shape for m in maps] == [(2, 2, -(-size[0] // 2**s), -(-size[1] // 2**s)) for s in range(4)]
    assert all(((m > 0) & (m < 1)).all() for m in maps)


def test_the_residual_encoder_halves_six_times_and_by_its_last_units():
    net = ResNetDisparity(0.06)
    x = torch.rand(1, 3, 64, 128)
    assert net.first(x).shape[-2:] == (32, 64)
    strides = [[unit.middle[0].stride[0] for unit in stage] for stage in net.stages]
    assert strides == [[1, 1, 2], [1, 1, 1, 2], [1, 1, 1, 1, 1, 2], [1, 1, 2]]
