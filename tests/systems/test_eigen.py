"""Eigen's system: the tests that a fake would fail."""

import math
from dataclasses import replace

import torch

from epipole.engine.fit import Train, fit
from epipole.systems.depth.eigen import PRESETS, Eigen, augmented
from tests.scene import plane_clip

TINY = replace(PRESETS["small"], height=76, width=100, channels=(4, 4, 4, 4, 4), hidden=16, edges=7, fine=8)


def system(**changes) -> Eigen:
    torch.manual_seed(0)
    return Eigen(replace(TINY, **changes))


def test_weights_of_its_layers():
    """Kernel areas times channels, plus biases, of the coarse and the fine network's convolutions, and of the two fully
    connected layers, which go from 256 maps of 6x8 to one of 55x74."""
    coarse = [(121, 3, 96), (25, 96, 256), (9, 256, 384), (9, 384, 384), (9, 384, 256), (48, 256, 4096),
              (1, 4096, 55 * 74)]
    fine = [(81, 3, 63), (25, 64, 64), (25, 64, 1)]
    with torch.device("meta"):
        paper = Eigen()
    for network, layers, weights in ((paper.coarse, coarse, 70_757_734), (paper.fine, fine, 119_437)):
        count = sum(p.numel() for p in network.parameters())
        assert count == sum(area * before * after + after for area, before, after in layers) == weights


def test_a_wrong_scale_costs_nothing_at_balance_one_and_half_its_square_at_a_half():
    truth = 1 + torch.rand(2, 1, 12, 16)
    known, log_depth = torch.ones_like(truth) > 0, truth.log()
    for balance, cost in ((1.0, 0.0), (0.5, 0.5 * math.log(3) ** 2), (0.0, math.log(3) ** 2)):
        objective = system(balance=balance).objective
        assert objective(log_depth, truth, known) < 1e-10
        assert abs(objective(log_depth + math.log(3), truth, known) - cost) < 1e-5


def test_unknown_depth_does_not_count():
    truth = 1 + torch.rand(1, 1, 12, 16)
    known = torch.rand(1, 1, 12, 16) > 0.5
    log_depth = torch.rand(1, 1, 12, 16)
    objective = system().objective
    spoiled = torch.where(known, truth, torch.nan)
    torch.testing.assert_close(objective(log_depth, spoiled, known), objective(log_depth, truth, known))


def test_the_second_stage_leaves_the_coarse_network_as_it_is():
    learner, views = system(), plane_clip(1)
    coarse, fine = ({k: v.clone() for k, v in net.state_dict().items()} for net in (learner.coarse, learner.fine))
    fit(learner, lambda _: views, Train(steps=2, device="cpu"), learner.coarse_loss)
    assert not all(torch.equal(v, coarse[k]) for k, v in learner.coarse.state_dict().items())
    assert all(torch.equal(v, fine[k]) for k, v in learner.fine.state_dict().items())
    coarse = {k: v.clone() for k, v in learner.coarse.state_dict().items()}
    fit(learner, lambda _: views, Train(steps=2, device="cpu"), learner.fine_loss)
    assert all(torch.equal(v, coarse[k]) for k, v in learner.coarse.state_dict().items())
    assert not all(torch.equal(v, fine[k]) for k, v in learner.fine.state_dict().items())


def test_both_stages_at_once_are_the_two_stages():
    """The fine network's loss does not reach the coarse one."""
    learner, views = system(augment=False, dropout=0.0), plane_clip(1)
    terms = learner.loss(views)
    torch.testing.assert_close(terms, learner.coarse_loss(views) | learner.fine_loss(views))
    terms["fine"].backward()
    assert all(p.grad is None for p in learner.coarse.parameters())


def test_depth_is_the_exponential_of_the_map_at_the_image_s_size():
    learner, views = system().eval(), plane_clip(1)
    learner.fine.forward = lambda image, coarse: torch.full((len(image), 1, 17, 23), math.log(2.5))
    torch.testing.assert_close(learner(views).depth, torch.full_like(views.depth, 2.5))


def test_augmentation_keeps_depth_true_to_the_camera():
    """A fronto-parallel wall at 3 m comes nearer by the scale, 1 to 1.5, and images change."""
    torch.manual_seed(0)
    image, depth = torch.rand(50, 3, 24, 32), torch.full((50, 1, 24, 32), 3.0)
    known = torch.ones_like(depth) > 0
    changed, nearer, seen = augmented(image, depth, known)
    scale = 3 / nearer.flatten(1).mean(1)
    assert scale.min() >= 1
    assert scale.max() <= 1.5
    assert scale.std() > 0.1
    assert (nearer.flatten(1).std(1) < 1e-5).all()
    assert 0.9 < seen.float().mean() <= 1
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert ((changed - image).abs().flatten(1).mean(1) > 0.01).all()


def test_colours_are_the_only_thing_that_changes_an_even_image():
    torch.manual_seed(0)
    image = torch.full((200, 3, 8, 8), 0.5)
    depth = torch.ones(200, 1, 8, 8)
    gains = augmented(image, depth, depth > 0)[0][:, :, 4, 4] / 0.5
    assert gains.min() >= 0.8
    assert gains.max() <= 1.2
    assert (gains.std(0) > 0.08).all()
    assert torch.corrcoef(gains.mT)[0, 1].abs() < 0.3  # each channel by itself


def test_evaluation_does_not_augment():
    learner, views = system().eval(), plane_clip(1)
    assert torch.equal(learner.learned_from(views)[1], views.depth.flatten(0, 1))
    learner.train()
    assert not torch.equal(learner.learned_from(views)[1], views.depth.flatten(0, 1))
