"""FCRN: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch

from epipole.engine.fit import Train, fit
from epipole.systems.depth.fcrn import PRESETS, Fcrn
from epipole.types.views import Views
from tests.scene import plane_clip

TINY = replace(PRESETS["small"], channels=64)


def system(**changes) -> Fcrn:
    torch.manual_seed(0)
    return Fcrn(replace(TINY, **changes))


def test_weights_and_sizes_of_the_paper():
    with torch.device("meta"):
        paper = Fcrn()
        assert paper.net(torch.rand(1, 3, 228, 304)).shape == (1, 1, 128, 160)
    cancelled = 1024 + 9 * (512 + 256 + 128 + 64)  # biases that batch-norm takes away again, not kept here
    assert sum(p.numel() for p in paper.parameters()) == 63_563_009
    assert round((63_563_009 + cancelled) / 1e6, 2) == 63.57


def test_small_weights():
    with torch.device("meta"):
        small = Fcrn(PRESETS["small"])
    assert round(sum(p.numel() for p in small.parameters()) / 1e6, 1) == 12.6


def test_the_worst_error_of_the_batch_sets_the_loss_of_all_the_others():
    depth, valid = torch.full((2, 1, 4, 4), 3.0), torch.ones(2, 1, 4, 4, dtype=torch.bool)
    predicted = depth + 0.3
    plain = system().objective(predicted, depth, valid)
    assert abs(float(plain) - 0.3 * (1 + 0.04) / 0.4) < 1e-5  # (x^2 + c^2) / 2c with c = 0.2 x
    predicted[1, 0, 0, 0] = 13.0  # c = 2: all other errors count by their absolute value
    one = (10**2 + 2**2) / (2 * 2)
    assert abs(float(system().objective(predicted, depth, valid)) - (31 * 0.3 + one) / 32) < 1e-5


def test_what_is_not_known_does_not_count():
    views = plane_clip(1, 1, 48, 64)
    hole = torch.ones_like(views.depth_valid)
    hole[..., :20, :] = False
    wild = torch.where(hole, views.depth, torch.nan)
    fields = views.keep(Fcrn.needs).fields() | {"depth_valid": hole}
    a, b = (system().loss(Views(**fields | {"depth": d}))["berhu"] for d in (views.depth, wild))
    assert torch.equal(a, b)


def test_without_any_depth_the_loss_is_zero_and_its_gradient_finite():
    views, learner = plane_clip(1, 2, 48, 64), system()
    fields = views.keep(Fcrn.needs).fields() | {"depth_valid": torch.zeros_like(views.depth_valid)}
    loss = learner.loss(Views(**fields))["berhu"]
    loss.backward()
    assert loss == 0
    assert all(p.grad.isfinite().all() for p in learner.parameters())


@pytest.mark.slow
def test_it_learns_metres_not_only_shape():
    """Two scenes of the same shape, one four times as deep: no single answer is within 60 % of both."""
    views = plane_clip(2, 2, 32, 48)
    views = Views(**views.fields() | {"depth": views.depth * torch.tensor([1.0, 4.0])[:, None, None, None, None]})
    learner = fit(system(channels=128), lambda _: views, Train(steps=40, learning_rate=5e-3, final=0.01, device="cpu"))
    with torch.no_grad():
        error = (learner(views.keep(learner.reads)).depth / views.depth - 1).abs().mean((1, 2, 3, 4))
    assert error.max() < 0.2
