"""FlowNet's networks."""

import pytest
import torch

from epipole.nets.flownet import FlowNetC, FlowNetS, full_size, padded


def test_it_is_padded_by_its_border_to_the_next_multiple():
    image = torch.rand(1, 3, 60, 65)
    large = padded(image)
    assert large.shape == (1, 3, 64, 128)
    assert torch.equal(large[..., :60, :65], image)
    assert torch.equal(large[..., 63, :65], image[..., 59, :])
    assert padded(image[..., :60, :64], 4).shape == (1, 3, 60, 64)


def test_a_constant_map_stays_constant_and_block_centres_keep_their_place():
    assert (full_size(torch.full((1, 2, 16, 16), 3.0), 50, 60) == 3).all()
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    x = full_size(4 * ramp + 1.5, 64, 64)[0, 0, 0]  # the middle of each block of four pixels
    torch.testing.assert_close(x[2:-2], torch.arange(64.0)[2:-2])


def test_every_scale_sees_the_coarser_map():
    net, image = FlowNetS(0.1).eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = net(image, image)
        net.refinement.predict[0].weight += 1
        after = net(image, image)
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("shared", [2, 3])
def test_images_are_compared_after_so_many_layers(shared):
    seen = []

    def cost(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.extend([a.shape, b.shape])
        return a[:, :5]

    maps = FlowNetC(cost, 5, 0.1, shared)(*torch.rand(2, 1, 3, 64, 128))
    assert [shape[-2:] for shape in seen] == 2 * [(64 >> shared, 128 >> shared)]
    assert [tuple(m.shape[-2:]) for m in maps] == [(64 >> s, 128 >> s) for s in range(2, 7)]


def test_what_fits_is_all_that_the_second_image_tells():
    """With a cost that tells nothing, FlowNetC does not know its second image."""
    net = FlowNetC(lambda a, b: torch.zeros_like(a[:, :5]), 5, 0.1).eval()
    first, second, other = torch.rand(3, 1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(first, second)[0], net(first, other)[0])
        assert not torch.equal(net(first, second)[0], net(other, second)[0])
