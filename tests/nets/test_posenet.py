"""Pose and explainability network of SfMLearner."""

import pytest
import torch

from epipole.nets.posenet import PoseNet, stacked


def weights(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("sources", "pose", "branch"), [(2, 1_590_668, 1_048_512), (4, 1_598_456, 1_061_776)])
def test_parameter_counts_of_the_paper(sources, pose, branch):
    plain, explained = PoseNet(sources + 1, sources), PoseNet(sources + 1, sources, explain=True)
    assert weights(plain) == pose
    assert weights(explained) - weights(plain) == branch


@pytest.mark.parametrize("size", [(128, 416), (61, 83)])
def test_masks_have_the_sizes_of_the_depth_pyramid(size):
    with torch.no_grad():
        vector, logits = PoseNet(3, 2, 0.1, explain=True)(torch.rand(2, 9, *size))
    assert vector.shape == (2, 2, 6)
    height, width = size
    for s, level in enumerate(logits):
        assert level.shape == (2, 2, 2, -(-height // 2**s), -(-width // 2**s))


def test_motion_starts_near_zero():
    with torch.no_grad():
        assert PoseNet(3, 2)(torch.rand(1, 9, 64, 96))[0].abs().max() < 0.02


def test_stacked_orders_frames():
    images = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(1, 3, 3, 2, 2)
    assert stacked(images, [1, 0, 2])[0, :, 0, 0].tolist() == [1, 1, 1, 0, 0, 0, 2, 2, 2]
