"""Nearer, turned and mirrored."""

import math

import pytest
import torch

from epipole.geometry.zoom import zoomed

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
