"""Depth by bins: the tests that a fake would fail."""

import math
from dataclasses import replace

import pytest
import torch

from epipole.nets.crf import Crf
from epipole.systems.depth.cao import PRESETS, Cao
from epipole.types.views import Views
from tests.scene import plane_clip

TINY = replace(PRESETS["small"], bins=20)
ALL = torch.ones(1, 1, 1, 1, dtype=torch.bool)


def system(**changes) -> Cao:
    torch.manual_seed(0)
    return Cao(replace(TINY, **changes))


def sure_of(learner: Cao, chosen: int, height: int = 1, width: int = 1) -> torch.Tensor:
    """Logits that put most of the probability on one bin."""
    logits = torch.zeros(1, learner.config.bins, height, width)
    logits[:, chosen] = 4.0
    return logits


@pytest.mark.parametrize(("name", "encoder", "bins"), [("paper", 42_500_160, 100), ("kitti", 58_143_808, 50)])
def test_weights_of_the_paper_and_maps_of_an_eighth(name, encoder, bins):
    with torch.device("meta"):
        paper = Cao(PRESETS[name])
        assert paper.net(torch.rand(1, 3, 188, 621)).shape == (1, bins, 24, 78)
    assert sum(p.numel() for p in paper.parameters()) == encoder + (2048 + 1) * bins


def test_bins_are_even_in_log_depth_and_hold_their_centres():
    learner = system()
    centres = learner.centres(torch.zeros(1)).exp()
    torch.testing.assert_close(centres[[0, -1]], torch.tensor([0.2, 20.0]))
    torch.testing.assert_close(centres[1:] / centres[:-1], torch.full((19,), 100 ** (1 / 19)))
    assert torch.equal(learner.bin_of(centres.view(1, 1, 1, -1)), torch.arange(20).view(1, 1, -1))
    assert learner.bin_of(torch.tensor([[[[1e-9, 1e9]]]])).tolist() == [[[0, 19]]]


def test_a_near_miss_costs_less_than_a_far_one_and_a_hit_least():
    learner = system()
    depth = learner.centres(torch.zeros(1))[10].exp().view(1, 1, 1, 1)
    hit, near, far = (float(learner.objective(sure_of(learner, k), depth, ALL)) for k in (10, 11, 15))
    assert hit < near < far
    narrow = system(alpha=1e6)  # plain cross-entropy, which sees no order
    near, far = (float(narrow.objective(sure_of(narrow, k), depth, ALL)) for k in (11, 15))
    expected = torch.nn.functional.cross_entropy(sure_of(narrow, 11), torch.tensor([[[10]]]))
    assert near == pytest.approx(far) == pytest.approx(float(expected))


def test_the_best_answer_costs_nothing():
    learner = system(threshold=1.0)
    depth = learner.centres(torch.zeros(1))[7].exp().view(1, 1, 1, 1)
    gaussian = -0.2 * (torch.arange(20.0) - 7).square().view(1, 20, 1, 1)
    assert float(learner.objective(gaussian, depth, ALL)) == pytest.approx(0, abs=1e-5)


def test_what_is_decided_teaches_no_more():
    learner = system()
    depth = learner.centres(torch.zeros(1))[[3, 3]].exp().view(1, 1, 1, 2)
    logits = sure_of(learner, 3, 1, 2)
    logits[:, 3, 0, 0] = 9.0  # beyond the threshold; the other pixel has 0.74 before, 0.48 with 2.9
    logits[:, 3, 0, 1] = 2.9
    logits.requires_grad_()
    learner.objective(logits, depth, ALL.expand(1, 1, 1, 2)).backward()
    assert not logits.grad[..., 0].any()
    assert logits.grad[..., 1].any()


def test_depth_variance_and_confidence_are_those_of_the_bins():
    learner = system(crf=Crf(iterations=0))
    p = torch.zeros(20)
    p[4], p[6] = 0.25, 0.75
    learner.net.forward = lambda image: p.clamp(min=1e-12).log().view(1, 20, 1, 1).expand(len(image), 20, 4, 6)
    views = Views(image=torch.rand(1, 2, 3, 32, 48))
    found, centres = learner(views), learner.centres(p)
    mean = 0.25 * centres[4] + 0.75 * centres[6]
    torch.testing.assert_close(found.depth, mean.exp().expand(1, 2, 1, 32, 48))
    variance = 0.25 * 0.75 * (centres[6] - centres[4]) ** 2 + learner.width**2 / 12
    torch.testing.assert_close(found.log_variance, variance.log().expand(1, 2, 1, 32, 48))
    torch.testing.assert_close(learner.confidence(views), torch.full((1, 2, 1, 4, 6), 0.75))


def test_the_field_draws_an_outlier_back():
    learner = system(crf=Crf(appearance=0.3, position=3.0, smoothness=0.2))
    logits = sure_of(learner, 5, 5, 5)
    logits[..., 2, 2] = 0
    logits[:, 15, 2, 2] = 1.0
    learner.net.forward = lambda image: logits
    depth = learner(Views(image=torch.full((1, 1, 3, 40, 40), 0.5))).depth
    assert abs(math.log(float(depth[0, 0, 0, 20, 20])) - float(learner.centres(depth)[5])) < learner.width


def test_unknown_depth_may_be_anything():
    views, learner = plane_clip(1, 1, 32, 48), system()
    hole = torch.ones_like(views.depth_valid)
    hole[..., :16, :] = False
    fields = views.keep(Cao.needs).fields() | {"depth_valid": hole}
    a, b = (learner.loss(Views(**fields | {"depth": torch.where(hole, views.depth, filler)}))["information_gain"]
            for filler in (1.0, torch.nan))
    assert torch.equal(a, b)
