"""Heads on an encoder's features."""

import pytest
import torch

from epipole.nets.depth_decoder import DepthDecoder, PoseDecoder
from epipole.nets.resnet import ResNet

RESNET18 = (64, 64, 128, 256, 512)
SMALL = (4, 6, 8, 10, 12)


def weights(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def features(h: int, w: int, channels: tuple[int, ...] = SMALL) -> list[torch.Tensor]:
    return [torch.randn(2, c, -(-h // 2**s), -(-w // 2**s)) for s, c in enumerate(channels, 1)]


def test_parameter_counts_of_the_reference():
    with torch.device("meta"):
        assert weights(DepthDecoder(RESNET18)) == 3_152_724
        assert weights(PoseDecoder(512, motions=2)) == 1_314_572
        assert weights(ResNet(18)) + weights(DepthDecoder(RESNET18)) == 14_329_236


@pytest.mark.parametrize("size", [(64, 96), (61, 83), (32, 32), (17, 24)])
def test_four_scales_of_any_size(size):
    with torch.no_grad():
        maps = DepthDecoder(SMALL, 2)(features(*size), size)
    assert [tuple(m.shape) for m in maps] == [(2, 2, *(-(-n // 2**s) for n in size)) for s in range(4)]
    assert all(0 < m.min() < m.max() < 1 for m in maps)


def test_every_skip_reaches_the_finest_map():
    net, given = DepthDecoder(SMALL), [f.requires_grad_() for f in features(64, 96)]
    net(given, (64, 96))[0].sum().backward()
    assert all(f.grad.abs().sum() > 0 for f in given)


def test_the_border_is_reflected():
    """A constant feature stays constant up to the border, which zeros around it would bend."""
    net = DepthDecoder(SMALL)
    with torch.no_grad():
        for m in net([torch.ones_like(f) for f in features(64, 96)], (64, 96)):
            assert (m - m[..., :1, :1]).abs().max() < 1e-5


def test_motion_starts_near_zero_and_has_one_vector_for_each():
    with torch.no_grad():
        motion = PoseDecoder(512, motions=2)(torch.randn(3, 512, 4, 13))
    assert motion.shape == (3, 2, 6)
    assert 0 < motion.abs().max() < 0.02


def test_maps_and_motions_are_float32_in_bfloat16():
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert DepthDecoder(SMALL)(features(32, 32), (32, 32))[0].dtype == torch.float32
        assert PoseDecoder(12)(torch.randn(1, 12, 2, 2)).dtype == torch.float32
