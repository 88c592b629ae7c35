"""Sparse depth and stereo together: the tests that a fake would fail."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from epipole.systems.depth.kuznietsov import PRESETS, Kuznietsov
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.scene import plane_clip, plane_pair

TINY = replace(PRESETS["small"], channels=32)


def system(**changes) -> Kuznietsov:
    torch.manual_seed(0)
    return Kuznietsov(replace(TINY, **changes))


def gain(views: Views) -> Tensor:
    return views.K[..., 0, 0] * views.baseline


def descended(views: Views, valid: Tensor, steps: int, size: tuple[int, int] = (16, 24)) -> Tensor:
    """Depth after descent on a map of inverse depth of this size, from a third too near."""
    coarse, learner = torch.full((2, 1, *size), 1.5 / 3).requires_grad_(), system()
    optimiser = torch.optim.Adam([coarse], 0.02)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        optimiser.zero_grad()
        rho = torch.nn.functional.interpolate(coarse, (16, 24), mode="bilinear", align_corners=True)[None]
        terms = learner.objective(views.image, gain(views), rho, views.depth, valid)
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
    return 1 / rho.detach()


def error(depth: Tensor, views: Views) -> float:
    return float((depth / views.depth - 1).abs().mean())


def test_maps_have_half_the_size_and_see_three_skips():
    with torch.device("meta"):
        paper = Kuznietsov()
        assert paper.net(torch.rand(1, 3, 188, 621)).shape == (1, 1, 94, 311)
    inputs = [up.up[0].parts["odd_odd"].weight.shape[1] for up in paper.net.decoder]
    assert inputs == [1024, 512 + 1024, 256 + 512, 128 + 256]


def test_weights_of_its_layers():
    """ResNet-50, a 1x1 convolution, up-projections (two 5x5 kernels and a 3x3 one, with batch-norm behind each), whose
    inputs bring the encoder's 1024, 512 and 256 channels along, and a 3x3 convolution."""
    encoder, bridge, last = 23_508_032, 2048 * 1024 + 2 * 1024, 9 * 64 + 1
    ups = [(1024, 512), (512 + 1024, 256), (256 + 512, 128), (128 + 256, 64)]
    decoder = sum(2 * 25 * before * after + 9 * after**2 + 3 * 2 * after for before, after in ups)
    with torch.device("meta"):
        count = sum(p.numel() for p in Kuznietsov().parameters())
    assert count == encoder + bridge + decoder + last == 80_766_209


@pytest.mark.parametrize("size", [(33, 47), (32, 64)])
def test_any_size_gives_positive_depth_of_that_size(size):
    with torch.no_grad():
        depth = system().eval()(Views(image=torch.rand(1, 1, 3, *size))).depth
    assert depth.shape == (1, 1, 1, *size)
    assert (depth > 0).all()
    assert (depth <= 100).all()


def test_the_truth_explains_both_views():
    views = plane_pair(1, 32, 48)
    none, learner = torch.zeros_like(views.depth_valid), system()
    right, wrong = (learner.objective(views.image, gain(views), factor / views.depth, views.depth, none)["photometric"]
                    for factor in (1, 1.5))
    assert right < 0.05 * wrong


def test_a_view_that_shows_depth_there_is_not_asked_twice():
    """The photometric term leaves out the pixels whose depth is known."""
    views = plane_pair(1, 16, 24)
    valid = torch.zeros_like(views.depth_valid)
    valid[..., 8, 12] = True
    rho = (1.3 / views.depth).requires_grad_()
    system().objective(views.image, gain(views), rho, views.depth, valid)["photometric"].backward()
    assert not rho.grad[..., 8, 12].any()
    assert rho.grad[..., 8, 10].all()


def test_more_known_depth_is_never_worse_than_stereo_alone():
    views = plane_pair(1, 16, 24)
    chance = torch.rand(views.depth.shape, generator=torch.Generator().manual_seed(0))
    errors = [error(descended(views, chance < share, 80), views) for share in (0.0, 0.01, 0.05, 1.0)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 < errors[0]


def test_a_bare_wall_comes_out_right_by_a_few_dots_alone():
    views = plane_pair(1, 16, 24)
    wall = Views(**views.fields() | {"image": torch.full_like(views.image, 0.5)})
    none, dots = torch.zeros_like(views.depth_valid), torch.zeros_like(views.depth_valid)
    dots[..., 2::6, 2::6] = True
    assert error(descended(wall, none, 20, (4, 5)), wall) > 0.25
    assert error(descended(wall, dots, 150, (4, 5)), wall) < 0.02


def test_sparse_depth_is_faded_in():
    views, learner = plane_pair(1, 32, 48), system(ramp=10.0).train()
    batch = views.keep(learner.needs)
    weights = []
    for _ in range(3):
        terms = learner.loss(batch)
        whole = learner.objective(views.image, gain(views), learner.inverse_depth(views.image[0])[None], views.depth,
                                  views.depth_valid)
        weights.append(float((terms["supervised"] / whole["supervised"]).detach()))
    assert weights == pytest.approx([math.exp(-10 / t) for t in (1, 2, 3)], rel=1e-3)
    assert learner.state_dict()["steps"] == 3  # a training that goes on goes on here
    learner.eval().loss(batch)
    assert learner.steps == 3


def test_two_frames_of_a_clip_are_refused():
    views = plane_clip(1, 2, 32, 48)
    fields = views.keep({"image", "K", "depth", "depth_valid"}).fields()
    with pytest.raises(InputError):
        system().loss(Views(**fields, baseline=torch.zeros(1, 2)))


def test_without_any_known_depth_gradients_are_finite():
    views, learner = plane_pair(1, 32, 48), system()
    fields = views.keep(learner.needs).fields() | {"depth_valid": torch.zeros_like(views.depth_valid),
                                                   "depth": views.depth * torch.nan}
    terms = learner.loss(Views(**fields))
    torch.stack(list(terms.values())).sum().backward()
    assert terms["supervised"] == 0
    assert all(p.grad.isfinite().all() for p in learner.parameters())
