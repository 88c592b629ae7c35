"""What the learned network says about images: depth, how unsure it is, and where its surfaces are steep."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8

from ...engine.precision import channels_last, networks_in_bf16
from ...engine.system import System
from ...types.views import Views
from .correspond import KeyImages

STEEP = 0.08
"""Where depth changes by more than this share from one pixel to the next there is an edge rather than a surface: a
road seen from a car changes by 0.07 at 20 m."""


class Predicted(NamedTuple):
    """z and the log of the variance of log z."""

    depth: Float32[np.ndarray, "*b h w"]
    log_variance: Float32[np.ndarray, "*b h w"]


KeyDepth = Callable[[int], Predicted]
"""Key frame number (counted among key frames) -> what the network says about it."""


class Predictor:
    """A trained system as a function of RGB images of the network's size, [b, h, w, 3].

    The networks compute in bfloat16 with channels last, as in training.
    """

    def __init__(self, system: System, device: torch.device | str = "cpu", bf16: bool = True) -> None:
        self.system, self.device, self.bf16 = system.eval().to(device), device, bf16
        channels_last(system)

    def __call__(self, images: UInt8[np.ndarray, "b h w 3"]) -> Predicted:
        image = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)[:, None] / 255
        with torch.inference_mode(), networks_in_bf16(self.system, self.bf16):
            prediction = self.system(Views(image=image))
        return Predicted(*(x[:, 0, 0].float().cpu().numpy() for x in (prediction.depth, prediction.log_variance)))

    def of_key_frames(self, keys: KeyImages) -> KeyDepth:
        """The same as a function of the number of a key frame."""
        return lambda k: Predicted(*(x[0] for x in self(keys.colour[[k]])))


def typical_depth(depth_of: KeyDepth, key_frames: int, most: int = 64) -> float:
    """Median of the median depths of key frames, at most `most` of them, evenly spaced."""
    chosen = np.unique(np.linspace(0, key_frames - 1, min(most, key_frames)).round().astype(int))
    return float(np.median([np.median(depth_of(int(k)).depth) for k in chosen]))


def steep(depth: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels on or beside an edge of depth: a neighbour along a row or column differs by more than `STEEP`."""
    log = np.log(depth)
    edge = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        jump = np.abs(np.diff(log, axis=axis)) > STEEP
        first, last = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        first[axis], last[axis] = (1, 0), (0, 1)
        edge |= np.pad(jump, first) | np.pad(jump, last)
    return edge
