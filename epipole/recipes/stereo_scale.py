"""The factor by a second camera beside the first: rectified pairs, and depth from their disparity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..formats.run import RunFiles
from ..methods.stereo import STEPS, Sgm
from ..pipelines import scale
from ..pipelines.places import matched, root_sift
from ..pipelines.scale import FEWEST, Scale
from ..sources.folder import FolderFootage
from ..sources.footage import Footage, Frame
from ..sources.video import open_footage
from ..types.errors import InputError
from ..types.known import Known
from ..types.views import Views

PAIRS = 40              # that are asked, evenly spread
WIDTH = 640             # px, at most, at which they are matched
SEARCHED = 0.25         # of the width, up to which disparity is looked for
LEAST = 1.0             # px; smaller disparities tell depth badly
LOOKED_AT = 3           # pairs that show whether they are rectified
MATCHES = 20            # of points in these, at least
ROW, ALIKE = 2.0, 0.6   # px by which a point may leave its row, and the share of points that may not


def same_moments(left: Footage, right: Footage, frames: int) -> list[tuple[int, int]]:
    """Numbers of a frame of the left camera and of the right one's image of the same moment: by name where images have
    names in common, else in order. Raises InputError where neither can be."""
    if left.lens is not None:
        raise InputError("scale cannot be found by stereo: the clip is straightened while it is read, and its rows are "
                         "no longer those of the right camera; rectify both first")
    if (left.width, left.height) != (right.width, right.height):
        raise InputError(f"{right.name} has images of {right.width}x{right.height}, and the clip of "
                         f"{left.width}x{left.height}; rectified pairs have one size")
    if isinstance(left, FolderFootage) and isinstance(right, FolderFootage):
        numbers = {file.stem: k for k, file in enumerate(right.files)}
        named = [(k, numbers[file.stem]) for k, file in enumerate(left.files) if file.stem in numbers]
        if len(named) >= FEWEST:
            return named
    if (count := right.count()) != frames:
        raise InputError(f"{right.name} has {count} images, and the clip {frames} frames; give an image for every "
                         "frame, or images with the frames' names")
    return [(k, k) for k in range(frames)]


def pairs(
    left: Footage, right: Footage, moments: list[tuple[int, int]], most: int
) -> Iterator[tuple[Frame, Frame]]:
    """At most so many of these moments, evenly spread, at a width of at most `WIDTH`."""
    some = [moments[k] for k in np.unique(np.linspace(0, len(moments) - 1, most).round().astype(int))]
    width = min(WIDTH, left.width)
    both = dict(some)
    other = {frame.number: frame for frame in right.read(width, only=set(both.values()))}
    for frame in left.read(width, only=set(both)):
        if both[frame.number] in other:
            yield frame, other[both[frame.number]]


def check_stereo(known: Known, left: Footage, frames: int) -> tuple[Footage, list[tuple[int, int]]]:
    """The right camera's images and which of them belongs to which frame. Raises InputError where a look at some shows
    that they are not rectified with the clip's, or not those of the right camera."""
    right = open_footage(known.stereo or Path())
    moments = same_moments(left, right, frames)
    leaps = [leap(*both) for both in pairs(left, right, moments, LOOKED_AT)]
    x, y = torch.cat(leaps).unbind(1)
    if len(x) < MATCHES:
        raise InputError(f"the images of {right.name} and the clip show {len(x)} points in common; they have to show "
                         "the same moments")
    if float((y.abs() < ROW).double().mean()) < ALIKE:
        raise InputError(f"points are seen in other rows in {right.name} than in the clip (by "
                         f"{float(y.abs().median()):.3g} px, median): rectify the pairs first")
    if float((x > -ROW).double().mean()) < ALIKE:
        raise InputError(f"points lie farther right in {right.name} than in the clip: it seems to be the left camera's")
    return right, moments


def leap(left: Frame, right: Frame) -> Float[Tensor, "n 2"]:
    """From where a point is seen in the right image to where it is seen in the left one, px."""
    first, second = (root_sift(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)) for frame in (left, right))
    both = matched(first, second)
    return first.points[both[:, 0]] - second.points[both[:, 1]]


def by_stereo(run: RunFiles, known: Known, left: Footage) -> Scale:
    """Depth of each pair beside the run's. Raises InputError where the pairs do not fit, or their depths differ."""
    right, moments = check_stereo(known, left, len(run.path))
    width = min(WIDTH, left.width)
    focal = float(run.intrinsics[0, 0]) * width / left.width
    sgm = Sgm(disparities=max(STEPS, STEPS * round(SEARCHED * width / STEPS)), fill=False)
    measured = focal * float(known.baseline or 0)
    there = ((_depth(sgm, both, measured), torch.from_numpy(run.depth[both[0].number]).double())
             for both in pairs(left, right, moments, PAIRS))
    return scale.by_depth(there, f"stereo baseline of {known.baseline:g} m")


def _depth(sgm: Sgm, both: tuple[Frame, Frame], focal_baseline: float) -> Float[Tensor, "h w"]:
    """NaN where the images do not match."""
    images = torch.stack([torch.from_numpy(frame.image).permute(2, 0, 1).float() / 255 for frame in both])
    d = sgm(Views(image=images)).disparity[0].double()
    return torch.where(d >= LEAST, focal_baseline / d.clamp(min=LEAST), torch.nan)
