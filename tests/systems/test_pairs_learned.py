"""Tiny networks of flow and stereo learn what they are for: on pairs that they have not seen they beat saying the same
of every pair."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from epipole.engine.fit import Train, fit
from epipole.engine.system import System
from epipole.systems.flow import flownet, unflow
from epipole.systems.stereo.gcnet import PRESETS, GCNet
from epipole.types.views import Views

UNSEEN = 10**6                 # no training draws this seed
SIDE, FARTHEST = 64, 8         # px: images for flow, and their largest shift along each axis
NARROW = {"width": 0.1}        # of FlowNet's channels


def textures(
    count: int, height: int, width: int, generator: torch.Generator, sizes: tuple[int, ...] = (2, 5, 12)
) -> Tensor:
    """Random colours with detail of several sizes, in [0, 1]."""
    mixed = torch.zeros(count, 3, height, width)
    for size in sizes:
        coarse = torch.rand(count, 3, height // size + 2, width // size + 2, generator=generator)
        mixed += F.interpolate(coarse, (height, width), mode="bilinear")
    return mixed / len(sizes)


def planes(seed: int, scenes: int = 2, h: int = 32, w: int = 64, most: int = 20) -> Views:
    """Rectified pairs of walls at whole disparities from 1 to `most`, known where the right image shows them too: what
    it does not takes longer to guess than a short training lasts."""
    g = torch.Generator().manual_seed(seed)
    canvas = textures(scenes, h, w + most, g)
    d = torch.randint(1, most + 1, (scenes,), generator=g)
    right = torch.stack([c[..., k : k + w] for c, k in zip(canvas, d.tolist(), strict=True)])
    disparity = d.float().reshape(-1, 1, 1, 1, 1).expand(scenes, 2, 1, h, w)
    both = torch.arange(w) >= disparity
    return Views(image=torch.stack([canvas[..., :w], right], 1), disparity=disparity * both, disparity_valid=both)


def shifted(seed: int, scenes: int = 4, farthest: int = FARTHEST, sizes: tuple[int, ...] = (2, 5, 12)) -> Views:
    """Pairs of which the second image is the first one moved by whole pixels, each by others."""
    g = torch.Generator().manual_seed(seed)
    canvas = textures(scenes, SIDE + 2 * FARTHEST, SIDE + 2 * FARTHEST, g, sizes)
    t = torch.randint(-farthest, farthest + 1, (scenes, 2), generator=g)
    first, second = (torch.stack([c[:, FARTHEST - y : FARTHEST - y + SIDE, FARTHEST - x : FARTHEST - x + SIDE]
                                  for c, (x, y) in zip(canvas, shift.tolist(), strict=True)]) for shift in (0 * t, t))
    flow = torch.stack([t, -t], 1).float()[..., None, None].expand(scenes, 2, 2, SIDE, SIDE)
    return Views(image=torch.stack([first, second], 1), flow=flow.contiguous(),
                 flow_known=torch.ones(scenes, 2, 1, SIDE, SIDE, dtype=torch.bool))


def flow_error(system: System, steps: int, batches: Callable[..., Views] = shifted) -> float:
    """Average end-point error of what so many steps taught, as a share of that of saying that nothing moves."""
    fit(system, batches, Train(steps=steps, learning_rate=1e-3, warmup=20, final=0.1, device="cpu"))
    views = batches(UNSEEN, scenes=32)
    with torch.no_grad():
        found = system(views.keep(system.reads)).flow
    return float((found - views.flow).norm(dim=2).mean() / views.flow.norm(dim=2).mean())


@pytest.fixture(scope="module")
def gcnet() -> GCNet:
    torch.manual_seed(0)
    model = GCNet(replace(PRESETS["small"], channels=4, units=2))
    return fit(model, planes, Train(steps=150, learning_rate=5e-3, final=0.1, device="cpu"))


@pytest.mark.slow
def test_gc_net_is_far_better_than_the_mean_of_every_row(gcnet):
    """What a network that does not look would say at best: the mean over the training set, row by row."""
    views, taught = planes(UNSEEN, 8), torch.cat([planes(step).disparity[:, 0] for step in range(50)])
    truth, valid = views.disparity[:, 0], views.disparity_valid[:, 0]
    with torch.no_grad():
        found = gcnet(views.keep(gcnet.reads)).disparity
    rows = taught.sum((0, -1), keepdim=True) / (taught > 0).sum((0, -1), keepdim=True)
    error, baseline = ((x - truth).abs()[valid].mean() for x in (found, rows))
    assert error < 0.2 * baseline


@pytest.mark.slow
def test_a_right_image_moved_by_four_pixels_moves_what_gc_net_says_by_four(gcnet):
    image = planes(UNSEEN, 8, w=96, most=12).image
    moved = torch.stack([image[:, 0], image[:, 1].roll(-4, -1)], 1)
    with torch.no_grad():
        gap = gcnet(Views(image=moved)).disparity - gcnet(Views(image=image)).disparity
    inner = gap[..., 32:-16]  # what neither image's border reaches
    assert (inner - 4).abs().mean() < 0.8  # it is wrong by 0.4 px in both pairs


@pytest.mark.slow
def test_what_correlates_features_learns_flow_far_quicker_than_what_stacks_images():
    torch.manual_seed(0)
    stacked, matched = (flow_error(kind(replace(flownet.PRESETS["small"], **NARROW)), 200)
                        for kind in (flownet.FlowNetS, flownet.FlowNetC))
    assert stacked < 0.8
    assert matched < 0.5
    assert matched < 0.75 * stacked


@pytest.mark.slow
def test_flow_is_learned_without_labels_unless_smoothness_weighs_as_in_the_paper():
    """Slopes that a quarter of the size shows, moved within the census's reach."""
    pairs = partial(shifted, farthest=4, sizes=(12, 24))
    short = replace(unflow.PRESETS["short"], **NARROW)
    errors = []
    for smoothness in (short.smoothness, unflow.PRESETS["paper"].smoothness):
        torch.manual_seed(0)
        errors.append(flow_error(unflow.UnFlow(replace(short, smoothness=smoothness)), 300, pairs))
    assert errors[0] < 0.8
    assert errors[1] > 0.95
