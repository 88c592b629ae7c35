"""DDFF: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from epipole.engine.fit import Train, fit
from epipole.geometry.pyramid import gaussian_blur
from epipole.systems.depth.ddff import PRESETS, Ddff
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.scene import plane_clip, plane_stack

TINY = replace(PRESETS["small"], width=0.05, dropout=0.0)


def system(**changes) -> Ddff:
    torch.manual_seed(0)
    return Ddff(replace(TINY, **changes)).eval()


def with_images(views: Views, image: Tensor) -> Views:
    return Views(**views.fields() | {"image": image})


def test_weights_of_the_paper():
    with torch.device("meta"):
        assert sum(p.numel() for p in Ddff().parameters()) == 39_790_348


def test_before_it_has_learned_anything_near_slices_count_more():
    """From random weights it has learned next to nothing after 400 steps: an error of 0.137, where truth spreads by
    0.141, instead of 0.039."""
    weight = system().fuse.weight.flatten()
    torch.testing.assert_close(weight, torch.tensor([5, 4, 3, 2, 1]) / 15)


def test_stacks_of_any_size_and_one_depth_for_all_slices():
    learner, views = system(), plane_stack(2, 5, 50, 70)
    with torch.no_grad():
        depth = learner(views.keep(learner.reads)).depth
    assert depth.shape == (2, 5, 1, 50, 70)
    assert (depth == depth[:, :1]).all()
    assert depth.min() > 0
    assert depth.max() <= 20 + 1e-4


def test_slices_may_come_in_any_order_but_not_with_anothers_focus():
    learner, views = system(), plane_stack(1)
    order = torch.tensor([3, 0, 4, 2, 1])
    with torch.no_grad():
        there = learner.disparity(views)
        torch.testing.assert_close(learner.disparity(views.map(lambda x: x[:, order])), there)
        assert (learner.disparity(with_images(views, views.image[:, order])) - there).abs().max() > 1e-5


def test_slices_and_the_weights_of_their_fusion_belong_together():
    learner, views = system(), plane_stack(1)
    order = torch.tensor([3, 0, 4, 2, 1])
    with torch.no_grad():
        there = learner.disparity(views)
        learner.fuse.weight.copy_(learner.fuse.weight[:, order].clone())
        torch.testing.assert_close(learner.disparity(with_images(views, views.image[:, order])), there)


def test_the_loss_is_the_squared_error_of_inverse_depth_where_it_is_known():
    disparity, depth = torch.full((1, 1, 4, 4), 0.5), torch.full((1, 1, 4, 4), 2.0)
    valid = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    objective = system().objective
    assert objective(disparity, depth, valid) == 0
    assert float(objective(disparity, depth / 2, valid)) == pytest.approx(0.25)
    valid[..., 2:, :] = False
    wild = torch.where(valid, depth / 2, torch.nan)
    assert float(objective(disparity, wild, valid)) == pytest.approx(0.25)
    assert objective(disparity, wild, torch.zeros_like(valid)) == 0


def test_what_is_no_stack_of_its_length_is_refused():
    with pytest.raises(InputError, match="slices"):
        system().loss(plane_stack(1, 4))
    with pytest.raises(InputError, match="slices"):
        system(slices=3)(Views(image=plane_clip().image[:, :, :2], focus=torch.ones(2, 3)))


def stacks(step: int, count: int = 4, size: int = 32) -> Views:
    """Two random slices of a random texture are in focus, one left and one right of a random column; the others are the
    more blurred, the farther they are from those."""
    g = torch.Generator().manual_seed(step)
    texture = gaussian_blur(torch.rand(count, 3, size, size, generator=g), 0.7)
    blurred = torch.stack([texture, *(gaussian_blur(texture, 0.8 * r) for r in range(1, 5))], 1)
    left, right = torch.randint(5, (2, count, 1), generator=g)
    column = torch.randint(size // 4, 3 * size // 4, (count, 1), generator=g)
    place = torch.where(torch.arange(size) < column, left, right)[:, None, None, None].expand(-1, 1, 1, size, -1)
    slices = torch.arange(5)[:, None, None, None]
    away = (place - slices).abs().expand(-1, -1, 3, -1, -1)
    depth = (1 / (0.2 + 0.1 * place)).expand(-1, 5, -1, -1, -1)
    focus = (1 / (0.2 + 0.1 * torch.arange(5.0))).expand(count, 5)
    return Views(image=blurred.gather(1, away), focus=focus, depth=depth, depth_valid=torch.ones_like(depth) > 0)


@pytest.mark.slow
def test_it_learns_which_slice_is_sharp_and_nothing_else():
    """On textures that it has not seen; slices are 0.1 apart. Stacks in the wrong order ruin it, and stacks without any
    blur say nothing of depth."""
    learner = fit(system(width=0.125), stacks, Train(steps=200, learning_rate=5e-3, final=0.01, device="cpu"))
    views = stacks(10**6, 8)
    sharp = views.map(lambda x: x[:1])
    copies = with_images(sharp, gaussian_blur(torch.rand(1, 3, 32, 32), 0.7)[:, None].expand(-1, 5, -1, -1, -1))
    with torch.no_grad():
        found = learner.disparity(views) - 1 / views.depth[:, 0]
        shuffled = learner.disparity(with_images(views, views.image[:, [3, 0, 4, 2, 1]])) - 1 / views.depth[:, 0]
        flat = learner.disparity(copies)
    assert found.square().mean().sqrt() < 0.05
    assert shuffled.square().mean().sqrt() > 0.1
    assert flat.std() < 0.05
