"""Judges depth maps, as Eigen et al. 2014 and Zhou et al. 2017 do: each image's errors, then their mean over images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64

from ..geometry.sample import sample
from ..types.errors import InputError
from .score import Protocol, Score, better

CROPS = {  # top, bottom, left, right as shares of the image
    "none": (0.0, 1.0, 0.0, 1.0),
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.03594771, 0.96405229),
}
NAMES = ("abs_rel", "sq_rel", "rmse", "rmse_log", "delta_1", "delta_2", "delta_3")
TINY = 1e-6  # depths below are judged as this, so that their inverse is finite


@dataclass(frozen=True)
class DepthProtocol(Protocol):
    """How depth is compared with the truth.

    scaling  median: every image by median(truth) / median(prediction); global: all images by the median of those
             ratios; none: predictions are in metres
    crop     the part of the image that counts: all of it, Garg's or Eigen's
    near     truth at or below this does not count, and predictions are raised to it
    cap      truth at or beyond this does not count, and predictions are lowered to it
    """

    scaling: Literal["none", "median", "global"] = "median"
    crop: Literal["none", "garg", "eigen"] = "none"
    near: float = 1e-3
    cap: float = float("inf")

    def words(self) -> str:
        scaling = {"none": "no scaling", "median": "each image median-scaled", "global": "one scale for all images"}
        crop = "whole image" if self.crop == "none" else f"{self.crop.capitalize()} crop"
        return (f"{scaling[self.scaling]}, {crop}, truth in ({self.near:g}, {self.cap:g}), "
                "inverse depth read bilinearly at the truth's pixels, mean over images")


class DepthFrame(NamedTuple):
    """One image's prediction (of any resolution) and the truth: z at pixels (x, y) of an image of width x height."""

    prediction: Float[np.ndarray, "h w"]
    pixels: Float64[np.ndarray, "n 2"]
    z: Float64[np.ndarray, "n"]
    width: int
    height: int


def judge_depth(frames: Iterable[DepthFrame], protocol: DepthProtocol | None = None, unit: str = "m") -> list[Score]:
    """abs_rel, sq_rel, rmse, rmse_log, delta_1, delta_2, delta_3, each beside what a constant depth scores; and
    scale_spread.

    `frames` is read one at a time; for scaling "global" it is read twice and must be a collection, not an iterator.
    scale_spread is the standard deviation of median(truth) / median(prediction) over images, divided by its mean.
    Raises InputError where nothing can be compared.
    """
    protocol = protocol or DepthProtocol()
    common = _common_scales(frames, protocol) if protocol.scaling == "global" else (1.0, 1.0)
    rows, constant_rows, ratios = [], [], []
    for frame in frames:
        counts = _counts(frame, protocol)
        if not counts.any():
            continue
        true, predicted = frame.z[counts], look_up(frame)[counts]
        ratios.append(float(np.median(true) / np.median(predicted)))
        own = ratios[-1], float(np.median(true))
        scale, constant = own if protocol.scaling == "median" else common
        rows.append(_errors(np.clip(predicted * scale, protocol.near, protocol.cap), true))
        constant_rows.append(_errors(np.full_like(true, np.clip(constant, protocol.near, protocol.cap)), true))
    if not rows:
        raise InputError("no pixel's depth can be judged: the truth knows none within the protocol's crop and range")
    how = f"{protocol}, {len(rows)} images"
    constants = np.mean(constant_rows, 0).tolist() if protocol.scaling != "none" else None  # it has no scale of its own
    scores = [
        Score(name, float(value), unit if name in ("sq_rel", "rmse") else "", better(name), how,
              {"constant depth": constants[i]} if constants else {})
        for i, (name, value) in enumerate(zip(NAMES, np.mean(rows, 0), strict=True))
    ]
    if len(ratios) > 1:
        scores.append(Score("scale_spread", float(np.std(ratios) / np.mean(ratios)), protocol=how))
    return scores


def look_up(frame: DepthFrame) -> Float64[np.ndarray, "n"]:
    """The prediction at the truth's pixels, by bilinear interpolation of inverse depth.

    On a dense truth this is what resizing to its resolution gives. Raises InputError for depth that is not finite.
    """
    if not np.isfinite(frame.prediction).all():
        raise InputError("a predicted depth is not finite and cannot be judged")
    inverse = torch.from_numpy(1 / np.maximum(frame.prediction.astype(np.float64), TINY))
    h, w = frame.prediction.shape
    at = (frame.pixels + 0.5) * [w / frame.width, h / frame.height] - 0.5
    return 1 / sample(inverse[None, None], torch.from_numpy(at.T[None, :, None].copy()))[0].numpy()[0, 0, 0]


def _counts(frame: DepthFrame, protocol: DepthProtocol) -> Bool[np.ndarray, "n"]:
    """Which of the truth's pixels the protocol compares; the crop's borders are cut to whole pixels."""
    top, bottom, left, right = CROPS[protocol.crop]
    x, y = frame.pixels.T
    inside = (y >= int(top * frame.height) - 0.5) & (y < int(bottom * frame.height) - 0.5)
    inside &= (x >= int(left * frame.width) - 0.5) & (x < int(right * frame.width) - 0.5)
    return inside & (frame.z > protocol.near) & (frame.z < protocol.cap)


def _common_scales(frames: Iterable[DepthFrame], protocol: DepthProtocol) -> tuple[float, float]:
    """The medians over images of median(truth) / median(prediction), and of median(truth)."""
    ratios = [
        (np.median(frame.z[counts]) / np.median(look_up(frame)[counts]), np.median(frame.z[counts]))
        for frame in frames if (counts := _counts(frame, protocol)).any()
    ]
    ratio, constant = np.median(ratios, 0) if ratios else (1.0, 1.0)
    return float(ratio), float(constant)


def _errors(predicted: Float64[np.ndarray, "n"], true: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "7"]:
    """The seven numbers of Eigen et al. 2014 for one image, in the order of NAMES."""
    difference = predicted - true
    log = np.log(predicted) - np.log(true)
    within = [np.mean(np.abs(log) < k * np.log(1.25)) for k in (1, 2, 3)]
    return np.array([np.mean(np.abs(difference) / true), np.mean(difference**2 / true),
                     np.sqrt(np.mean(difference**2)), np.sqrt(np.mean(log**2)), *within])
