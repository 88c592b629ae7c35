"""Residual encoders."""

import pytest
import torch

from epipole.nets.resnet import ResNet


def weights(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("depth", "inputs", "count"), [
    (18, 3, 11_176_512), (18, 6, 11_185_920), (34, 3, 21_284_672), (50, 3, 23_508_032),
    (101, 3, 42_500_160), (152, 3, 58_143_808)])
def test_parameter_counts_without_the_classifier(depth, inputs, count):
    with torch.device("meta"):
        assert weights(ResNet(depth, inputs)) == count


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (1, 1)])
def test_features_halve_the_size_five_times(size):
    net = ResNet(18).eval()
    with torch.no_grad():
        features = net(torch.rand(1, 3, *size))
    assert [f.shape[1] for f in features] == list(net.channels) == [64, 64, 128, 256, 512]
    for level, f in enumerate(features, 1):
        assert tuple(f.shape[-2:]) == tuple(-(-n // 2**level) for n in size)


def test_the_deep_one_has_four_times_the_channels():
    net = ResNet(50).eval()
    with torch.no_grad():
        features = net(torch.rand(1, 3, 32, 32))
    assert [f.shape[1] for f in features] == list(net.channels) == [64, 256, 512, 1024, 2048]


def test_a_narrow_one_has_its_share_of_the_channels():
    net = ResNet(18, width=0.25).eval()
    with torch.no_grad():
        features = net(torch.rand(1, 3, 32, 32))
    assert [f.shape[1] for f in features] == list(net.channels) == [16, 16, 32, 64, 128]


def test_names_are_torchvision_s():
    names = set(ResNet(18).state_dict())
    assert {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight",
            "layer2.0.downsample.1.num_batches_tracked", "layer4.1.bn2.bias"} <= names
    assert "layer1.0.downsample.0.weight" not in names  # no projection where nothing changes
    assert len(names) == 120
    assert "layer1.0.downsample.0.weight" in set(ResNet(50).state_dict())


def test_one_block_is_the_formula():
    block = ResNet(18).layer2[0].eval()
    x = torch.rand(1, 64, 8, 8)
    conv = torch.nn.functional.conv2d
    with torch.no_grad():
        y = block.bn1(conv(x, block.conv1.weight, stride=2, padding=1)).relu()
        y = block.bn2(conv(y, block.conv2.weight, padding=1))
        shortcut = block.downsample[1](conv(x, block.downsample[0].weight, stride=2))
        torch.testing.assert_close(block(x), (y + shortcut).relu())


def test_every_weight_learns_also_from_a_single_pixel():
    net = ResNet(18).train()
    sum(f.square().mean() for f in net(torch.rand(1, 3, 32, 32))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_the_dense_one_computes_the_same_features_at_every_place():
    """Its coarsest features, picked where the other one has some, are the other one's, away from the border."""
    torch.manual_seed(0)
    plain, dense = ResNet(18).eval(), ResNet(18, dense=True).eval()
    dense.load_state_dict(plain.state_dict())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        sparse, full = plain(image), dense(image)
    assert [tuple(f.shape[-2:]) for f in full] == [(32, 32), (16, 16), (8, 8), (8, 8), (8, 8)]
    torch.testing.assert_close(full[3][..., ::2, ::2], sparse[3], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(full[4][..., ::4, ::4], sparse[4], atol=1e-5, rtol=1e-4)
