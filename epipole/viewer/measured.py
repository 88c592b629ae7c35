"""What single frames measured, as points in the world that know how unsure they are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from ..geometry.camera import resize_intrinsics, transform, unproject
from .preview import decode
from .run_folder import RunFolder, evenly

FRAMES, STRIDE = 24, 2   # whose depth becomes points, at most; pixels of theirs, along each side


class Points(NamedTuple):
    """Points of several frames in the world, and how unsure each is."""

    points: Float[np.ndarray, "n 3"]
    colours: UInt8[np.ndarray, "n 3"]
    log_variance: Float[np.ndarray, "n"]

    def surest(self, percent: float) -> Points:
        """That share of them."""
        kept = self.log_variance <= np.percentile(self.log_variance, percent)
        return Points(*(part[kept] for part in self))


def measured_points(run: RunFolder, photos: dict[int, Path]) -> Points | None:
    """Depth of some frames as points in the world, in the colours of their small pictures; None where there is none."""
    parts = [part for i in evenly(sorted(photos), FRAMES) if (part := _points_of(run, photos, i)) is not None]
    return Points(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else None


def _points_of(run: RunFolder, photos: dict[int, Path], number: int) -> Points | None:
    said, picture, about = run.depth([number]), photo(photos, number), run.part("intrinsics")
    if said is None or "log_variance" not in said or picture is None or run.motion is None or "fx" not in about:
        return None
    z, (h, w) = said.depth[0].double(), said.depth.shape[-2:]
    K = torch.tensor([[about["fx"], 0, about["cx"]], [0, about["fy"], about["cy"]], [0, 0, 1]], dtype=torch.float64)
    K = resize_intrinsics(K, w / about["width"], h / about["height"])
    world = transform(run.motion.T_first_camera[number].double(), unproject(z, K))[:, ::STRIDE, ::STRIDE]
    colours = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)[::STRIDE, ::STRIDE]
    unsure = said.log_variance[0, 0, ::STRIDE, ::STRIDE].numpy()
    return Points(world.flatten(1).T.numpy(), colours.reshape(-1, 3).astype(np.uint8), unsure.reshape(-1))


def photo(photos: dict[int, Path], number: int) -> UInt8[np.ndarray, "h w 3"] | None:
    """The small picture of a frame; None where there is none."""
    return decode(photos[number].read_bytes()) if number in photos else None
