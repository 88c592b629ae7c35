"""Tiny networks of stereo learn what they are for: on pairs they have not seen they beat saying the same of every
pair."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from epipole.engine.fit import Train, fit
from epipole.systems.stereo.gcnet import PRESETS, GCNet
from epipole.types.views import Views

UNSEEN = 10**6  # no training draws this seed


def textures(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Random colours with detail at several scales, in [0, 1]."""
    mixed = torch.zeros(count, 3, height, width)
    for size in (2, 5, 12):
        coarse = torch.rand(count, 3, height // size + 2, width // size + 2, generator=generator)
        mixed += F.interpolate(coarse, (height, width), mode="bilinear")
    return mixed / 3


def planes(seed: int, scenes: int = 2, h: int = 32, w: int = 64, most: int = 20) -> Views:
    """Rectified pairs of walls at whole disparities from 1 to `most`."""
    g = torch.Generator().manual_seed(seed)
    canvas = textures(scenes, h, w + most, g)
    d = torch.randint(1, most + 1, (scenes,), generator=g)
    right = torch.stack([c[..., k : k + w] for c, k in zip(canvas, d.tolist(), strict=True)])
    disparity = d.float().reshape(-1, 1, 1, 1, 1).expand(scenes, 2, 1, h, w).contiguous()
    return Views(image=torch.stack([canvas[..., :w], right], 1), disparity=disparity,
                 disparity_valid=(torch.arange(w) >= disparity))


@pytest.mark.slow
def test_gc_net_is_far_better_than_the_mean_of_every_row():
    """What a network that does not look would say at best: the mean over the training set, row by row."""
    torch.manual_seed(0)
    model = GCNet(replace(PRESETS["small"], channels=4, units=2))
    fit(model, planes, Train(steps=100, learning_rate=5e-3, device="cpu"))
    views, taught = planes(UNSEEN, 8), torch.cat([planes(step).disparity[:, 0] for step in range(50)])
    truth, valid = views.disparity[:, 0], views.disparity_valid[:, 0]
    with torch.no_grad():
        found = model(views.keep(model.reads)).disparity
    rows = taught.mean((0, -1), keepdim=True)
    error, baseline = ((x - truth).abs()[valid].mean() for x in (found, rows))
    assert error < 0.2 * baseline
