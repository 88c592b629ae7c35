"""Nearer, turned and mirrored."""

import math

import pytest
import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.zoom import with_intrinsics, zoomed

ONE, NONE, NO = torch.ones(1), torch.zeros(1), torch.zeros(1, dtype=torch.bool)


@pytest.fixture
def view(generator):
    image = torch.rand(1, 3, 9, 9, generator=generator)
    depth = 1 + torch.rand(1, 1, 9, 9, generator=generator)
    return image, depth, torch.rand(1, 1, 9, 9, generator=generator) > 0.3


def test_nothing_changes_nothing(view):
    for found, given in zip(zoomed(*view, ONE, NONE, torch.zeros(1, 2), NO), view, strict=True):
        torch.testing.assert_close(found, given)


def test_a_mirror_and_a_quarter_turn_are_those_of_torch(view):
    image, depth, valid = view
    flipped = zoomed(*view, ONE, NONE, torch.zeros(1, 2), ~NO)
    torch.testing.assert_close(flipped[0], image.flip(-1))
    torch.testing.assert_close(flipped[1], depth.flip(-1))
    assert torch.equal(flipped[2], valid.flip(-1))
    turned = zoomed(*view, ONE, torch.tensor([math.pi / 2]), torch.zeros(1, 2), NO)[0]
    torch.testing.assert_close(turned[..., 1:-1, 1:-1], image.rot90(-1, (-2, -1))[..., 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_twice_as_large_is_half_as_far(view):
    """Every second pixel of the result is one of the input's."""
    image, depth, _ = view
    seen, nearer, _ = zoomed(*view, 2 * ONE, NONE, torch.zeros(1, 2), NO)
    torch.testing.assert_close(seen[..., ::2, ::2], image[..., 2:7, 2:7])
    torch.testing.assert_close(nearer[..., ::2, ::2], depth[..., 2:7, 2:7] / 2)


def test_a_shift_looks_aside_and_what_was_not_seen_is_unknown(view):
    image, _, valid = view
    seen, _, known = zoomed(*view, ONE, NONE, torch.tensor([[2.0, -1.0]]), NO)
    torch.testing.assert_close(seen[..., 1:, :-2], image[..., :-1, 2:])
    assert torch.equal(known[..., 1:, :-2], valid[..., :-1, 2:])
    assert not known[..., 0, :].any()
    assert not known[..., -2:].any()


def test_each_image_goes_its_own_way(view):
    both = [torch.cat([x, x]) for x in view]
    seen = zoomed(*both, torch.ones(2), torch.zeros(2), torch.zeros(2, 2), torch.tensor([False, True]))[0]
    torch.testing.assert_close(seen[0], seen[1].flip(-1))


def lens(f: float, c: float) -> torch.Tensor:
    return intrinsics(f, f, c, c).float()[None]


def test_the_same_lens_sees_the_same_and_a_longer_one_the_middle(view):
    image = view[0]
    seen, inside = with_intrinsics(image, lens(8.0, 4.0), lens(8.0, 4.0), 9, 9)
    torch.testing.assert_close(seen, image)
    assert inside.all()
    seen, _ = with_intrinsics(image, lens(8.0, 4.0), lens(16.0, 4.0), 9, 9)
    torch.testing.assert_close(seen[..., ::2, ::2], image[..., 2:7, 2:7])


def test_a_wider_lens_knows_what_it_does_not_see_and_size_is_free(view):
    image = view[0]
    seen, inside = with_intrinsics(image, lens(8.0, 4.0), lens(8.0, 5.0), 11, 13)
    torch.testing.assert_close(seen[..., 1:10, 1:10], image)
    assert inside.sum() == 81
    assert inside[..., 1:10, 1:10].all()


def test_looked_up_by_the_nearest_pixel_only_what_was_there_comes_out(view):
    seen, _ = with_intrinsics(view[1], lens(8.0, 4.0), lens(5.3, 3.1), 7, 6, "nearest")
    assert torch.isin(seen, view[1]).all()
