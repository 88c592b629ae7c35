"""How unsure joined depth is: asked of key frames that never spoke to each other, on the clip itself."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ...geometry.camera import project, transform, unproject
from ...geometry.sample import sample

ONE_SIGMA = 68.27       # per cent of a Gaussian that lie within one deviation
ANOTHER = 0.7           # of log depth: what is farther apart is another surface, hidden from one of the two
LEAST = 1000            # points below which nothing is known

SHARED_BY_ALL = 1.7
"""What all views of a clip err alike (one network, one path, flow that fails at the same places) does not show between
them: deviations are so many times as large. Chosen by hand, once, on the red kitchen and a rendered room, so that
intervals of 50 % hold about half of the pixels; KITTI had no say (`benchmarks/doubt.py`, docs/results/map.md)."""


class Two(NamedTuple):
    """log z and its information (1 / variance) in two frames, and the motion between them."""

    here: Float[Tensor, "2 h w"]
    there: Float[Tensor, "2 h w"]
    T_there_here: Float[Tensor, "4 4"]


def apart(two: Two, K: Float[Tensor, "3 3"]) -> Float[Tensor, "p"]:
    """Differences of log depth at the points that both frames see, in the deviations that the two claim together."""
    cloud = transform(two.T_there_here[None], unproject(two.here[:1].exp()[None], K[None]))
    pixels, front = project(cloud, K[None])
    there, inside = sample(two.there[None], pixels)
    difference = there[:, :1] - cloud[:, 2:].clamp(min=1e-3).log()
    variance = 1 / two.here[1] + 1 / there[:, 1:].clamp(min=1e-9)
    return (difference / variance.sqrt())[inside & front & (difference.abs() < ANOTHER)]


def doubt(pairs: Iterable[Two], K: Float[Tensor, "3 3"]) -> float:
    """What deviations have to be multiplied with, so that those of these frames are as large as their differences
    (in the middle 68 %: hidden surfaces and edges make long tails), and `SHARED_BY_ALL` as large again."""
    found = [apart(two, K).abs().numpy() for two in pairs]
    values = np.concatenate(found) if found else np.empty(0)
    between = float(np.percentile(values, ONE_SIGMA)) if len(values) >= LEAST else 1.0
    return SHARED_BY_ALL * between
