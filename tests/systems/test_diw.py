"""Depth in the Wild: the tests that a fake would fail."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from epipole.systems.depth.diw import PRESETS, DepthInTheWild
from epipole.types.views import Views
from tests.scene import plane_clip

TINY = replace(PRESETS["small"], width=0.05)


def system(**changes) -> DepthInTheWild:
    torch.manual_seed(0)
    return DepthInTheWild(replace(TINY, **changes))


def one_pair(z: Tensor, relation: int) -> Tensor:
    """The loss of the pixels 0 and 3 of a map."""
    a, b, r = (torch.tensor([[n]]) for n in (0, 3, relation))
    return system().objective(z, a, b, r, torch.ones(1, 1, dtype=torch.bool))


def rank_correlation(a: Tensor, b: Tensor) -> float:
    ranks = torch.stack([x.flatten().argsort().argsort().float() for x in (a, b)])
    return float(torch.corrcoef(ranks)[0, 1])


def test_equal_z_costs_log_2_where_one_is_farther_and_nothing_where_none_is():
    z = torch.full((1, 1, 2, 2), 0.7)
    assert math.isclose(one_pair(z, 1), math.log(2), rel_tol=1e-6)
    assert math.isclose(one_pair(z, -1), math.log(2), rel_tol=1e-6)
    assert one_pair(z, 0) == 0


def test_the_farther_point_is_drawn_to_larger_z():
    z = torch.zeros(1, 1, 2, 2, requires_grad=True)
    one_pair(z, 1).backward()
    assert z.grad.flatten().tolist() == [-0.5, 0, 0, 0.5]


def test_the_loss_does_not_see_a_constant():
    z = torch.randn(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    for r in (-1, 0, 1):
        torch.testing.assert_close(one_pair(z + 5, r), one_pair(z, r))


def test_relations_follow_depth_and_its_tolerance():
    a, b = torch.tensor([[2.0, 1.0, 1.0, 1.0, torch.nan]]), torch.tensor([[1.0, 2.0, 1.015, 1.03, 1.0]])
    known = torch.tensor([[True, True, True, True, False]])
    assert system().relation(a, b, known).tolist() == [[1, -1, 0, -1, 0]]


def ordered_by_single_pairs(sign: int) -> float:
    """Rank correlation with the truth of a map that learned from one pair of random pixels a step."""
    generator = torch.Generator().manual_seed(0)
    depth = 1 + 9 * torch.rand(1, 1, 6, 8, generator=generator)
    z, learner = torch.zeros(1, 1, 6, 8, requires_grad=True), system()
    optimiser = torch.optim.SGD([z], 0.5)
    for _ in range(1500):
        a, b = torch.randint(48, (2, 1, 1), generator=generator)
        known = torch.ones(1, 1, dtype=torch.bool)
        relation = sign * learner.relation(depth.flatten(1).gather(1, a), depth.flatten(1).gather(1, b), known)
        optimiser.zero_grad()
        learner.objective(z, a, b, relation, known).backward()
        optimiser.step()
    return rank_correlation(z.detach(), depth)


def test_single_pairs_order_the_whole_map_and_flipped_ones_turn_it_round():
    assert ordered_by_single_pairs(1) > 0.95
    assert ordered_by_single_pairs(-1) < -0.95


def test_no_metric_value_is_seen():
    """Any monotone change of the depth leaves the loss as it is."""
    views, learner = plane_clip(1, 2, 32, 48), system(equal=0.0)
    fields = views.keep(DepthInTheWild.needs).fields()
    losses = []
    for depth in (views.depth, 0.1 * views.depth**3):
        torch.manual_seed(0)
        losses.append(learner.loss(Views(**fields | {"depth": depth}))["ordinal"])
    assert torch.equal(*losses)


def test_pairs_of_unknown_depth_do_not_count():
    views, learner = plane_clip(1, 1, 32, 48), system()
    nothing = torch.zeros_like(views.depth_valid)
    fields = views.keep(DepthInTheWild.needs).fields() | {"depth_valid": nothing, "depth": views.depth * torch.nan}
    loss = learner.loss(Views(**fields))["ordinal"]
    loss.backward()
    assert loss == 0
    assert all(p.grad.isfinite().all() for p in learner.parameters())


def test_predicted_depth_has_the_level_and_the_spread_of_the_training_images():
    """The middle over batches of the mean and the standard deviation of log depth, whatever z is."""
    views, learner = plane_clip(2, 1, 32, 48), system()
    for factor in (1.0, 4.0):
        learner.loss(Views(**views.keep(learner.needs).fields() | {"depth": factor * views.depth}))
    known = views.depth[views.depth_valid].log()
    log_depth = learner.eval()(views.keep(learner.reads)).depth.log()
    torch.testing.assert_close(log_depth.mean((1, 2, 3, 4)), (known.mean() + math.log(2)).expand(2))
    torch.testing.assert_close(log_depth.flatten(1).std(1), known.std().expand(2))


def test_predicted_depth_has_the_order_of_z():
    views, learner = plane_clip(1, 1, 32, 48), system().eval()
    with torch.no_grad():
        depth, z = learner(views.keep(learner.reads)).depth, learner.z(views.image[:, 0])
    assert rank_correlation(depth, z) == 1
    assert (depth > 0).all()
