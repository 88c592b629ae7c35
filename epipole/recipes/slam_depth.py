"""Depth of every frame as CNN-SLAM left it on disk, in the unit of the path, and as unsure as it is."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..geometry.motion import se3_inverse
from ..pipelines.cnn_slam import CnnSlam
from .learn_video.cache import Rows
from .learn_video.doubt import SHARED_BY_ALL, Two, doubt
from .learn_video.predict import Predicted

STRANGERS = 9, 5, 3     # key frames apart, the first that a clip has: little of what one knew comes down to the other
ASKED = 24              # frames that are held against strangers, evenly spread


class SlamDepth:
    """Frame number -> depth and the log of the variance of its logarithm.

    That is more than the frames say of themselves: what views in a row say is joined as if they did not err alike,
    though all build upon one network's words. Nothing is surer than the network may be at best (`least` of the
    pipeline's key frames), and all deviations are multiplied by `doubt`.
    """

    def __init__(
        self, work: Path, seer: CnnSlam, T_first_camera: Float64[np.ndarray, "f 4 4"], K: Float[Tensor, "3 3"]
    ) -> None:
        self.frames, self.keys, self.log_units = Rows(work / "frames.npy"), Rows(work / "keys.npy"), seer.units().log()
        self.number_of = {frame: k for k, frame in enumerate(seer.key_frames)}
        self.key_of = np.array([frame.key for frame in seer.frames])
        self.placed = np.setdiff1d(np.arange(len(self.key_of)), seer.lost)
        self.path, self.K = torch.from_numpy(T_first_camera).float(), K.float()
        self.surest = np.float32(2 * np.log(seer.config.depth.least))

    def __call__(self, frame: int) -> Predicted:
        log, log_variance = self._said(frame)
        return Predicted(np.exp(log), log_variance + np.float32(2 * np.log(self.doubt)))

    @cached_property
    def doubt(self) -> float:
        """By how much frames differ that share no neighbour, in the deviations that they claim. That they agree better
        than they claim shows nothing, as key frame hands down to key frame what it knows."""
        return max(SHARED_BY_ALL, doubt(self._strangers(), self.K))

    def _strangers(self) -> Iterator[Two]:
        keys = self.key_of[self.placed]
        gap = next((gap for gap in STRANGERS if gap < keys[-1]), 1)
        later = np.searchsorted(keys, keys + gap)
        first = np.flatnonzero(later < len(keys))
        for i in first[:: -(-len(first) // ASKED) or 1]:
            a, b = int(self.placed[i]), int(self.placed[later[i]])
            yield Two(self._known(a), self._known(b), se3_inverse(self.path[b]) @ self.path[a])

    def _known(self, frame: int) -> Float[Tensor, "2 h w"]:
        """log z and its information."""
        log, log_variance = self._said(frame)
        return torch.from_numpy(np.stack([log, np.exp(-log_variance)]))

    def _said(self, frame: int) -> Float[np.ndarray, "2 h w"]:
        log, log_variance = self.keys[self.number_of[frame]] if frame in self.number_of else self.frames[frame]
        return np.stack([log + np.float32(self.log_units[frame]), np.maximum(log_variance, self.surest)])
