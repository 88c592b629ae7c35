"""Left-right consistency."""

import pytest
import torch

from epipole.losses.photometric import masked_mean
from epipole.losses.stereo import left_right

F64 = torch.float64


def constant(value: float) -> torch.Tensor:
    return torch.full((1, 1, 4, 20), value, dtype=F64)


def test_equal_constant_disparities_agree_and_unequal_ones_do_not():
    (left, seen), (right, _) = left_right(constant(3.0), constant(3.0))
    assert left.max() == right.max() == 0
    assert seen[..., 3:].all()
    assert not seen[..., :3].any()  # x - 3 is out of view
    for difference, _ in left_right(constant(3.0), constant(5.0)):
        torch.testing.assert_close(difference, constant(2.0))


def test_it_is_the_formula_pixel_by_pixel(generator):
    left, right = (4 * torch.rand(1, 1, 3, 20, generator=generator, dtype=F64) for _ in range(2))
    (by_left, _), (by_right, _) = left_right(left, right)
    for x in (6, 11):
        for result, mine, other, sign in ((by_left, left, right, -1), (by_right, right, left, 1)):
            at = x + sign * float(mine[0, 0, 1, x])
            low, part = int(at), at - int(at)
            found = (1 - part) * float(other[0, 0, 1, low]) + part * float(other[0, 0, 1, low + 1])
            assert float(result[0, 0, 1, x]) == pytest.approx(abs(float(mine[0, 0, 1, x]) - found))


def test_a_step_seen_from_both_sides_agrees_but_where_it_is_hidden():
    """A box 6 px before a wall 2 px: left pixels 10..13 are the box, right ones 4..7."""
    left, right = constant(2.0), constant(2.0)
    left[..., 10:14], right[..., 4:8] = 6, 6
    (difference, seen), _ = left_right(left, right)
    hidden = torch.zeros(20, dtype=torch.bool)
    hidden[6:10] = True  # the wall's left pixels 6..9 fall behind the box in the right image
    torch.testing.assert_close(difference[0, 0, 0, 2:] > 0, hidden[2:])
    assert masked_mean(difference, seen & ~hidden) == 0


def test_mirroring_the_pair_swaps_the_two(generator):
    left, right = (4 * torch.rand(1, 1, 3, 20, generator=generator, dtype=F64) for _ in range(2))
    (by_left, seen_left), (by_right, seen_right) = left_right(left, right)
    (mirrored_left, mirrored_seen), (mirrored_right, _) = left_right(right.flip(-1), left.flip(-1))
    torch.testing.assert_close(mirrored_left, by_right.flip(-1))
    torch.testing.assert_close(mirrored_right, by_left.flip(-1))
    assert torch.equal(mirrored_seen, seen_right.flip(-1))
    assert not torch.equal(seen_left, seen_right)


def test_disparity_far_out_of_view_has_a_finite_gradient():
    left = constant(1e6).requires_grad_()
    (difference, seen), _ = left_right(left, constant(1.0))
    masked_mean(difference, seen).backward()
    assert not seen.any()
    assert torch.equal(left.grad, torch.zeros_like(left))


def test_gradcheck(generator):
    left, right = (1 + torch.rand(1, 1, 2, 8, generator=generator, dtype=F64) for _ in range(2))

    def maps(x, y):
        (a, _), (b, _) = left_right(x, y)
        return a[..., 3:-3], b[..., 3:-3]

    assert torch.autograd.gradcheck(maps, (left.requires_grad_(), right.requires_grad_()))
