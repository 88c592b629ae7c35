"""The networks of SfM-Net."""

from itertools import pairwise

import torch

from epipole.nets.sfmnet import CHANNELS, ConvDeconv, MotionNet, StructureNet


def weights(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def convolutions(inputs: int) -> int:
    """3x3: one of the whole size, two at each half; up again, each after the first from twice as many."""
    pairs = [(inputs, 32)]
    for a, b in pairwise(CHANNELS):
        pairs += [(a, b), (b, b)]
    pairs += [(1024, 512), (1024, 256), (512, 128), (256, 64), (128, 32)]
    return sum(9 * a * b + b for a, b in pairs)


def test_weights_follow_from_the_layers():
    with torch.device("meta"):
        structure, motion = StructureNet(), MotionNet()
    assert weights(structure) == convolutions(3) + 64 + 1
    rows = 4 * (3 + 3 + 20 * 30)
    full = 4 * 12 * 1024 * 512 + 512 + 512 * 512 + 512 + 512 * rows + rows
    assert weights(motion) == convolutions(6) + 64 * 3 + 3 + full


def test_maps_have_the_images_size_and_the_bottom_a_thirty_second():
    torch.manual_seed(0)
    fine, bottom = ConvDeconv(3, 0.1)(torch.rand(2, 3, 37, 61))
    assert fine.shape[-2:] == (37, 61)
    assert bottom.shape[-2:] == (2, 2)


def test_depth_is_one_and_more():
    torch.manual_seed(0)
    depth = StructureNet(0.1)(torch.rand(2, 3, 33, 40))
    assert depth.min() >= 1
    assert depth.max() > 1


def test_a_pivot_is_the_expected_point_of_the_grid():
    net = MotionNet(1, 0.05, (1, 1), 8, (4, 6))
    heat = torch.zeros(1, 2, 24)
    heat[0, 1, 6 * 3 + 1] = 100  # row 3, column 1
    even, sure = net.expected(heat)[0]
    torch.testing.assert_close(even, torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(sure, torch.tensor([1.5 / 6, 3.5 / 4]))


def test_objects_come_after_the_camera_and_sines_stay_within_one():
    torch.manual_seed(0)
    raw = MotionNet(2, 0.05, (1, 1), 8, (4, 6))(torch.rand(2, 6, 32, 40))
    assert raw.logits.shape == (2, 2, 32, 40)
    assert raw.sines.shape == raw.translation.shape == (2, 3, 3)
    assert raw.sines.abs().max() < 1
