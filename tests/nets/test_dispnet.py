"""DispNet of SfMLearner."""

import pytest
import torch

from epipole.nets.dispnet import DispNet


def weights(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameter_count_of_the_paper():
    assert weights(DispNet()) == 31_596_900


@pytest.mark.parametrize(("size", "last"), [((128, 416), (16, 52)), ((61, 83), (8, 11)), ((24, 24), (3, 3))])
def test_four_scales_of_any_size(size, last):
    with torch.no_grad():
        disparities = DispNet(0.1).eval()(torch.rand(1, 3, *size))
    assert [tuple(d.shape[-2:]) for d in disparities[:: len(disparities) - 1]] == [size, last]
    assert len(disparities) == 4


def test_disparity_stays_in_its_range():
    net = DispNet(0.1)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(5)
        for d in net(torch.randn(2, 3, 32, 48)):
            assert d.min() >= 0.01
            assert d.max() <= 10.01


def test_finer_scales_see_the_coarser_disparity():
    """A change of the coarsest prediction alone reaches the finest."""
    net, image = DispNet(0.1).eval(), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        before = net(image)
        net.predict[0].bias += 1
        after = net(image)
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def test_one_image_of_one_pixel_at_the_bottom_trains_with_batch_norm():
    net = DispNet(0.1, batch_norm=True).train()
    sum(d.mean() for d in net(torch.rand(1, 3, 32, 32))).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_the_sigmoid_is_computed_in_float32():
    """In bfloat16 a disparity near 10 would come in steps of 0.06."""
    net, image, logits = DispNet(0.1).eval(), torch.rand(1, 3, 32, 48), []
    net.predict[-1].register_forward_hook(lambda *call: logits.append(call[-1]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        disparity = net(image)[0]
    assert logits[0].dtype == torch.bfloat16
    torch.testing.assert_close(disparity, 10 / (1 + torch.exp(-logits[0].float())) + 0.01, atol=1e-5, rtol=0)
