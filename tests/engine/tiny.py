"""A system and data small enough to train in a blink."""

import torch
from torch import Tensor, nn

from epipole.engine.system import System
from epipole.types.predictions import Depth
from epipole.types.views import Views


class Tiny(System):
    """Regresses depth; dropout and batch norm make it depend on random numbers and on buffers."""

    paper = "none"
    needs = frozenset({"image", "depth"})
    reads = frozenset({"image"})

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2),
                                 nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, views: Views) -> Depth:
        return Depth(depth=self.net(views.image.flatten(0, 1)).exp().unflatten(0, views.image.shape[:2]))

    def loss(self, views: Views) -> dict[str, Tensor]:
        error = (self(views).depth - views.depth).abs()
        return {"depth": error.mean(), "worst": 0.1 * error.amax()}


def make(seed: int = 0) -> Tiny:
    torch.manual_seed(seed)
    return Tiny()


def batches(step: int) -> Views:
    """A batch that is a function of the step."""
    g = torch.Generator().manual_seed(step)
    image = torch.rand(2, 1, 3, 8, 12, generator=g)
    return Views(image=image, depth=1 + image.mean(2, keepdim=True), K=torch.eye(3).repeat(2, 1, 1, 1))
