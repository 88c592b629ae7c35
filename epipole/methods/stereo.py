"""Disparity that nothing was learned for: semi-global matching (Hirschmueller 2008; OpenCV), its holes filled."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from ..types.errors import InputError
from ..types.predictions import Disparity
from ..types.views import Views

STEPS = 16  # OpenCV gives sixteenths of a pixel, and takes a multiple of so many candidates


@dataclass(frozen=True)
class Sgm:
    """Semi-global matching along eight paths; reads `image`, left then right.

    What fails the check from right to left, or is not the best match by far, is filled from the farther of its
    neighbours in the row, as KITTI's benchmark does.
    """

    disparities: int = 64                # candidates 0, 1, ... px; a multiple of 16
    block: int = 5                       # px, the window that is compared
    uniqueness: int = 10                 # per cent by which the best match must win
    speckle: int = 100                   # px of a patch below which it is held for noise; 0: none
    fill: bool = True                    # otherwise what failed is 0

    def __call__(self, views: Views) -> Disparity:
        """Disparity (px) of view 0. Raises InputError for anything but pairs, or a wrong number of candidates."""
        if views.image.ndim < 4 or views.image.shape[-4] != 2:
            raise InputError(f"SGM reads pairs, left then right, not images {list(views.image.shape)}")
        if self.disparities % STEPS or self.disparities < STEPS:
            raise InputError(f"SGM takes a multiple of {STEPS} disparities, not {self.disparities}")
        pixels = (255 * views.image.detach().clamp(0, 1)).round().byte().cpu().movedim(-3, -1)
        pairs = pixels.reshape(-1, 2, *pixels.shape[-3:]).numpy()
        maps = np.stack([self._match(left, right) for left, right in pairs])
        *front, _, _, h, w = views.image.shape
        return Disparity(disparity=torch.from_numpy(maps).to(views.image).reshape(*front, 1, h, w))

    def _match(self, left: np.ndarray, right: np.ndarray) -> Float[np.ndarray, "h w"]:
        """A rim on the left lets OpenCV look at every column; a border that is repeated matches itself at no other
        disparity better than the truth does."""
        contrast = left.shape[-1] * self.block**2
        matcher = cv2.StereoSGBM.create(
            0, self.disparities, self.block, 8 * contrast, 32 * contrast, 1, 31, self.uniqueness, self.speckle, 2,
            cv2.STEREO_SGBM_MODE_HH,
        )
        rim = [(0, 0), (self.disparities, 0), (0, 0)]
        one, two = (np.ascontiguousarray(np.pad(image, rim, mode="edge")) for image in (left, right))
        found = matcher.compute(one, two)[:, self.disparities :].astype(np.float32) / STEPS
        valid = found >= 0
        return filled(found, valid) if self.fill else np.where(valid, found, 0)


def filled(disparity: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """What is not valid takes the smaller one of the next valid disparities to its left and right: occlusions show the
    background. Rows without any take the row above, or below; a map without any is 0."""
    rows = np.flatnonzero(valid.any(1))
    if not len(rows):
        return np.zeros_like(disparity)
    from_left, from_right = _carried(disparity, valid), _carried(disparity[:, ::-1], valid[:, ::-1])[:, ::-1]
    out = np.where(valid, disparity, np.minimum(from_left, from_right))
    nearest = rows[np.abs(np.arange(len(out))[:, None] - rows).argmin(1)]
    return out[nearest]


def _carried(disparity: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """The last valid value to the left of every pixel, infinite where there is none."""
    last = np.maximum.accumulate(np.where(valid, np.arange(valid.shape[1]), -1), 1)
    values = np.take_along_axis(disparity, np.maximum(last, 0), 1)
    return np.where(last >= 0, values, np.inf).astype(disparity.dtype)


STEREO: dict[str, Callable[[Views], Disparity]] = {"sgm": Sgm()}
