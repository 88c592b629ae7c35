"""How things move: rigid motions as functions of time in s, T_world_object [4, 4]."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from .meshes import Array, rigid
from .scene import Road
from .spline import turns_between, uncoupled

GRAVITY = 9.81


@dataclass(frozen=True)
class Looping:
    """Round and round closed cubic B-splines, one for the place and one for the rotation."""

    knots: Float64[Tensor, "k 4 4"]  # after the last one comes the first again
    interval: float  # s between two knots
    phase: float = 0.0  # s

    @cached_property
    def _closed(self) -> tuple[Tensor, Tensor]:
        """The knots, the first three again behind the last, and the turns between them."""
        knots = self.knots[torch.arange(len(self.knots) + 3) % len(self.knots)]
        return knots, turns_between(knots)

    def __call__(self, time: float) -> Array:
        u = (time + self.phase) / self.interval % len(self.knots)
        return uncoupled(*self._closed, torch.tensor([u], dtype=torch.float64))[0].numpy()


@dataclass(frozen=True)
class OnRoad:
    """Along a road at a constant speed, so far to its left (m); a negative speed drives, and faces, the other way."""

    road: Road
    start: float
    speed: float
    left: float

    def __call__(self, time: float) -> Array:
        point, heading = self.road(np.array([self.start + self.speed * time]))
        (x, y, _), angle = point[0], heading[0]
        turned = angle + (np.pi if self.speed < 0 else 0.0)
        return rigid(x - self.left * np.sin(angle), y + self.left * np.cos(angle), 0.0, turned)


@dataclass(frozen=True)
class Circling:
    """Round an ellipse on the floor, always facing ahead."""

    x: float
    y: float
    a: float         # half axes, m
    b: float
    rate: float      # rad/s
    phase: float

    def __call__(self, time: float) -> Array:
        angle = self.phase + self.rate * time
        ahead = np.arctan2(self.b * np.cos(angle) * self.rate, -self.a * np.sin(angle) * self.rate)
        return rigid(self.x + self.a * np.cos(angle), self.y + self.b * np.sin(angle), 0.0, ahead)


@dataclass(frozen=True)
class Bouncing:
    """Up and down on the spot without losing energy, spinning about the vertical."""

    x: float
    y: float
    height: float    # m
    spin: float      # rad/s
    phase: float     # s

    def __call__(self, time: float) -> Array:
        period = 2 * np.sqrt(2 * self.height / GRAVITY)
        t = (time + self.phase) % period
        return rigid(self.x, self.y, GRAVITY * t * (period - t) / 2, self.spin * time)
