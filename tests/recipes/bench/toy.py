"""Systems of a few weights, which train in a moment, and how they come into the table of contents."""

import sys
from dataclasses import dataclass

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from epipole.engine.system import System
from epipole.losses.photometric import masked_mean
from epipole.systems import SYSTEMS
from epipole.types.predictions import Depth, Disparity, Flow
from epipole.types.views import Views


@dataclass(frozen=True)
class Config:
    most: float = 8.0


PRESETS = {"paper": Config(), "small": Config(), "near": Config(most=4.0)}


class ToyStereo(System):
    paper = "https://example.org"
    needs = frozenset({"image", "disparity", "disparity_valid"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config, self.net = config, nn.Conv2d(6, 1, 5, padding=2)

    def forward(self, views: Views) -> Disparity:
        return Disparity(disparity=self.config.most * self.net(views.image.flatten(1, 2)).sigmoid())

    def loss(self, views: Views) -> dict[str, Tensor]:
        return {"l1": masked_mean((self(views).disparity - views.disparity[:, 0]).abs(), views.disparity_valid[:, 0])}


class ToyUnsure(ToyStereo):
    def forward(self, views: Views) -> Disparity:
        """With a deviation of half a pixel everywhere."""
        disparity = super().forward(views).disparity
        return Disparity(disparity=disparity, log_variance=(0.25 * disparity / disparity).log())


class ToyFlow(System):
    paper = "https://example.org"
    needs = reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config, self.net = config, nn.Conv2d(3, 2, 5, padding=2)

    def forward(self, views: Views) -> Flow:
        return Flow(flow=self.net(views.image.flatten(0, 1)).unflatten(0, views.image.shape[:2]))

    def loss(self, views: Views) -> dict[str, Tensor]:
        return {"length": self(views).flow.abs().mean()}


class ToyBlind(ToyStereo):
    needs = frozenset({"image", "baseline"})


class ToyDepth(System):
    paper = "https://example.org"
    needs = frozenset({"image", "depth", "depth_valid"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config, self.net = config, nn.Conv2d(3, 1, 4, stride=4)

    def forward(self, views: Views) -> Depth:
        """At a quarter of the size, with a ramp that the image does not show."""
        depth = self.config.most * self.net(views.image.flatten(0, 1)).sigmoid()
        ramp = depth.new_ones(depth.shape[-2:]).cumsum(-1) / depth.shape[-1]
        return Depth(depth=(depth + ramp).unflatten(0, views.image.shape[:2]))

    def loss(self, views: Views) -> dict[str, Tensor]:
        coarse = self(views).depth.mean((-2, -1))
        return {"mean": F.l1_loss(coarse, views.depth.mean((-2, -1)))}


class ToyScaleless(ToyDepth):
    needs = frozenset({"image"})

    def loss(self, views: Views) -> dict[str, Tensor]:
        return {"nothing": self(views).depth.log().std()}


def install(patch: pytest.MonkeyPatch, *more: str) -> None:
    """Into the table, for one test: those that the bench's tests are about, and `more`."""
    patch.setitem(sys.modules, "epipole.systems.stereo.toy", sys.modules[__name__])
    for name in ("ToyStereo", "ToyBlind", "ToyDepth", "ToyScaleless", *more):
        patch.setitem(SYSTEMS, name.lower(), f"stereo.toy:{name}")
