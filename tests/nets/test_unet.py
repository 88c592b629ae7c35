"""The encoder-decoder with skips."""

import pytest
import torch

from epipole.nets.unet import ResidualBlock, UNet, coordinates

WIDTHS = (8, 12, 16, 20)


def net(outputs: int = 2, **more: int) -> UNet:
    torch.manual_seed(0)
    return UNet(outputs, WIDTHS, **more)


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (17, 80), (5, 3), (1, 1)])
def test_maps_have_the_size_of_the_image(size):
    with torch.no_grad():
        assert net(3)(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_a_level_halves_the_size():
    shapes = []
    model = net()
    for block in model.down:
        block.register_forward_hook(lambda *call: shapes.append(tuple(call[-1].shape[1:])))
    model(torch.rand(1, 3, 48, 64))
    assert shapes == [(12, 12, 16), (16, 6, 8), (20, 3, 4)]


def test_other_inputs_than_colours():
    assert net(1, inputs=5)(torch.rand(1, 5, 16, 16)).shape == (1, 1, 16, 16)


def test_the_first_maps_are_flat(generator):
    with torch.no_grad():
        out = net()(torch.rand(2, 3, 48, 64, generator=generator) - 0.45)
    assert 0 < out.std() < 0.05
    assert out.abs().max() < 0.2


def test_a_gradient_reaches_every_weight(generator):
    model = net()
    model(torch.rand(1, 3, 32, 48, generator=generator)).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def influence(model: UNet, at: tuple[int, int], size: tuple[int, int] = (64, 64)) -> torch.Tensor:
    """Gradient of the map at one pixel by every pixel of the image."""
    image = torch.full((1, 3, *size), 0.3, requires_grad=True)
    model.eval()(image)[0, 0, at[0], at[1]].backward()
    assert image.grad is not None
    return image.grad[0].abs().sum(0)


def test_a_pixel_sees_itself_sharply_and_the_whole_image_a_little():
    """Skips lead past the bottleneck; the bottleneck leads everywhere."""
    seen = influence(net(), (20, 30))
    assert seen[20, 30] > 10 * seen.mean()
    assert (seen > 0).float().mean() > 0.9


def reach(model: UNet) -> tuple[int, int]:
    """How far, in pixels, what a pixel sees lies from it: the nearest and the farthest in its row."""
    row = torch.nonzero(influence(model, (30, 30))[30])[:, 0]
    return int((row - 30).abs().min()), int((row - 30).abs().max())


def test_every_level_has_its_skip():
    """With what lies below silenced, the image itself reaches two 3x3 convolutions far, the stem a little farther."""
    model = net()
    for p in model.down.parameters():
        p.data.zero_()
    near, far = reach(model)
    assert near == 0
    assert 5 < far < 15
    model.stem[0].weight.data.zero_()
    assert reach(model) == (0, 2)


def test_it_knows_where_it_is():
    """A uniform image gives different maps left and right, above and below, only by the coordinates."""
    with torch.no_grad():
        out = net()(torch.full((1, 3, 64, 64), 0.3))[0, 0]
    inner = out[16:48, 16:48]
    assert inner.std() > 1e-4
    assert not torch.allclose(inner[:, 0], inner[:, -1], atol=1e-4)


def test_coordinates_run_from_minus_one_to_one_x_first():
    xy = coordinates(torch.rand(2, 3, 3, 5, dtype=torch.float64))
    assert xy.dtype == torch.float64
    assert xy[1, 0, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert xy[1, 1, :, 4].tolist() == [-1, 0, 1]


def test_a_clip_in_the_batch_does_not_change_its_neighbours(generator):
    model, images = net().eval(), torch.rand(3, 3, 32, 48, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(model(images)[:1], model(images[:1]), atol=1e-6, rtol=1e-5)


def test_it_learns_a_map_that_has_edges(generator):
    """A square on a random background, told by its colour alone: flat within and sharp at its rim."""
    model, image = net(1), torch.rand(1, 3, 32, 32, generator=generator)
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:20, 10:25] = 1
    image = image * 0.3 + 0.5 * target
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(120):
        optimiser.zero_grad()
        error = (model(image) - target).abs().mean()
        error.backward()
        optimiser.step()
    assert error < 0.05


def test_a_residual_block_with_silent_convolutions_is_its_shortcut(generator):
    block, x = ResidualBlock(4, 6, 2), torch.rand(1, 4, 9, 8, generator=generator)
    with torch.no_grad():
        block.second[1].weight.zero_()  # type: ignore[index]
        torch.testing.assert_close(block(x), torch.nn.functional.elu(block.shortcut(x)))
    assert block(x).shape == (1, 6, 5, 4)
