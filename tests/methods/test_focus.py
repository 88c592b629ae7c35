"""Depth from focus without learning."""

import pytest
import torch

from epipole.geometry.pyramid import gaussian_blur
from epipole.methods.focus import SharpestSlice
from epipole.types.errors import InputError
from epipole.types.views import Views


def two_halves(generator: torch.Generator) -> Views:
    """The left half is in focus in slice 1, the right half in slice 3."""
    texture = torch.rand(2, 3, 24, 48, generator=generator)
    left = torch.arange(48) < 24
    slices = [torch.where(left, *(gaussian_blur(texture, 0.1 + abs(n - k)) for k in (1, 3))) for n in range(4)]
    return Views(image=torch.stack(slices, 1), focus=torch.tensor([1.0, 2.0, 3.0, 5.0]).expand(2, 4))


def test_every_pixel_has_the_distance_of_its_sharpest_slice(generator):
    depth = SharpestSlice()(two_halves(generator)).depth
    assert depth.shape == (2, 4, 1, 24, 48)
    assert (depth[..., :18] == 2).all()
    assert (depth[..., 30:] == 5).all()


def test_it_follows_the_focus_and_not_the_order(generator):
    views = two_halves(generator)
    turned = views.map(lambda x: x.flip(1))
    assert torch.equal(SharpestSlice()(turned).depth, SharpestSlice()(views).depth)
    alone = views.map(lambda x: x[0])  # unbatched
    assert torch.equal(SharpestSlice()(alone).depth, SharpestSlice()(views).depth[0])


def test_sharpness_is_the_variance_of_the_laplacian(generator):
    image = torch.rand(1, 1, 9, 9, generator=generator)
    edges = [image[0, 0, y - 1, x] + image[0, 0, y + 1, x] + image[0, 0, y, x - 1] + image[0, 0, y, x + 1]
             - 4 * image[0, 0, y, x] for y in (3, 4, 5) for x in (3, 4, 5)]
    found = SharpestSlice(3).sharpness(image)[0, 0, 4, 4]
    torch.testing.assert_close(found, torch.stack(edges).var(correction=0))


def test_a_single_image_has_no_focus_to_compare():
    with pytest.raises(InputError, match="slices"):
        SharpestSlice()(Views(image=torch.rand(1, 3, 8, 8), focus=torch.ones(1)))
