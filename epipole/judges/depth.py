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
from .score import Protocol, Score
from .tally import Average, average_words

CROPS = {  # top, bottom, left, right as shares of the image
    "none": (0.0, 1.0, 0.0, 1.0),
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.03594771, 0.96405229),
    "nyu": (45 / 480, 471 / 480, 41 / 640, 601 / 640),
}
NAMES = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "delta_1", "delta_2", "delta_3")
TINY = 1e-6  # depths below are judged as this, so that their inverse is finite
ROWS = 64  # of a mean depth per row

Values = Float64[np.ndarray, "n"]


@dataclass(frozen=True)
class DepthProtocol(Protocol):
    """How depth is compared with the truth.

    scaling  none: predictions are in metres; median: every image by median(truth) / median(prediction); ratio: by
             the median of truth / prediction, which does not jump where the median depth lies between two surfaces;
             global: all images by the median of those; least_squares: every image by the factor, affine: by factor and
             shift, that minimise sum (s p + t - g)^2; affine_inverse: the same on inverse depth (Ranftl et al. 2020)
    crop     the part of the image that counts: all of it, Garg's or Eigen's of KITTI, or Eigen's of NYU
    near     truth at or below this does not count, and predictions are raised to it
    cap      truth at or beyond this does not count, and predictions are lowered to it
    average  images: errors of each image, then their mean over images; pixels: over the pixels of all images at once
    """

    scaling: Literal["none", "median", "ratio", "global", "least_squares", "affine", "affine_inverse"] = "median"
    crop: Literal["none", "garg", "eigen", "nyu"] = "none"
    near: float = 1e-3
    cap: float = float("inf")
    average: Average = "images"

    def words(self) -> str:
        return f"{self.words_of_scaling()}, {average_words(self.average)}"

    def words_of_scaling(self) -> str:
        """What is compared: all but the mean."""
        scaling = {"none": "no scaling", "median": "each image median-scaled",
                   "ratio": "each image scaled by the median ratio", "global": "one scale for all images",
                   "least_squares": "each image scaled by least squares",
                   "affine": "each image scaled and shifted by least squares",
                   "affine_inverse": "each image's inverse depth scaled and shifted by least squares"}
        crop = {"none": "whole image", "garg": "Garg crop", "eigen": "Eigen crop", "nyu": "Eigen's NYU crop"}
        return (f"{scaling[self.scaling]}, {crop[self.crop]}, truth in ({self.near:g}, {self.cap:g}), "
                "inverse depth read bilinearly at the truth's pixels")


class DepthFrame(NamedTuple):
    """One image's prediction (of any resolution) and the truth: z at pixels (x, y) of an image of width x height."""

    prediction: Float[np.ndarray, "h w"]
    pixels: Float64[np.ndarray, "n 2"]
    z: Float64[np.ndarray, "n"]
    width: int
    height: int


class MeanDepth(NamedTuple):
    """What a training set's depth is on average, everywhere and per row (from the image's top to its bottom)."""

    mean: float
    rows: Float64[np.ndarray, "rows"]


def judge_depth(
    frames: Iterable[DepthFrame], protocol: DepthProtocol | None = None, unit: str = "m", train: MeanDepth | None = None
) -> list[Score]:
    """abs_rel, sq_rel, rmse, rmse_log, log10, silog (Eigen's scale-invariant error, of natural logs), delta_1, delta_2,
    delta_3, each beside what a constant depth scores and, given `train`, that training set's mean per row (and, without
    scaling, its mean, as a constant has no scale of its own); and scale_spread.

    `frames` is read one at a time; for scaling "global" it is read twice and must be a collection, not an iterator.
    scale_spread is the standard deviation of median(truth) / median(prediction) over images, divided by its mean; for
    scalings "ratio" and "global" that of the median of truth / prediction.
    Raises InputError where nothing can be compared.
    """
    protocol = protocol or DepthProtocol()
    common = common_scales(frames, protocol, train) if protocol.scaling == "global" else {}
    means: dict[str, list[Float64[np.ndarray, "9"]]] = {}
    counted, ratios = [], []
    for frame in frames:
        counts = counted_pixels(frame, protocol)
        if not counts.any():
            continue
        true, rivals = frame.z[counts], _rivals(frame, counts, protocol, train)
        counted.append(len(true))
        ratios.append(_scale(protocol.scaling, rivals[""], true))
        for name, depth in rivals.items():
            scaled = scaled_depth(protocol.scaling, depth, true, common.get(name, 1.0))
            means.setdefault(name, []).append(_means(np.clip(scaled, protocol.near, protocol.cap), true))
    if not counted:
        raise InputError("no pixel's depth can be judged: the truth knows none within the protocol's crop and range")
    numbers = {name: _average(rows, counted, protocol.average) for name, rows in means.items()}
    how, own = f"{len(counted)} images", numbers.pop("")
    scores = [protocol.score(name, float(own[i]), unit if name in ("sq_rel", "rmse") else "", how,
                             {rival: float(n[i]) for rival, n in numbers.items()}) for i, name in enumerate(NAMES)]
    if len(ratios) > 1:
        scores.append(protocol.score("scale_spread", float(np.std(ratios) / np.mean(ratios)), about=how))
    return scores


def mean_depth(frames: Iterable[DepthFrame], protocol: DepthProtocol | None = None) -> MeanDepth:
    """The mean depth of truths, everywhere and per row; rows that none knows are filled from their neighbours.

    Raises InputError if none knows any depth.
    """
    protocol = protocol or DepthProtocol()
    total, count = np.zeros(ROWS), np.zeros(ROWS)
    for frame in frames:
        counts = counted_pixels(frame, protocol)
        row = np.clip((frame.pixels[counts, 1] + 0.5) * ROWS / frame.height, 0, ROWS - 1).astype(int)
        total += np.bincount(row, frame.z[counts], ROWS)
        count += np.bincount(row, minlength=ROWS)
    known = np.flatnonzero(count)
    if not len(known):
        raise InputError("no mean depth: the truth knows none within the protocol's crop and range")
    rows = np.interp(np.arange(ROWS), known, total[known] / count[known])
    return MeanDepth(float(total.sum() / count.sum()), rows)


def look_up(frame: DepthFrame) -> Float64[np.ndarray, "n"]:
    """The prediction at the truth's pixels, by bilinear interpolation of inverse depth.

    On a dense truth this is what resizing to its resolution gives. Raises InputError for depth that is not finite.
    """
    if not np.isfinite(frame.prediction).all():
        raise InputError("a predicted depth is not finite and cannot be judged")
    return 1 / read_at(1 / np.maximum(frame.prediction.astype(np.float64), TINY), frame)


def read_at(values: Float[np.ndarray, "h w"], frame: DepthFrame) -> Float64[np.ndarray, "n"]:
    """A map of any resolution at the truth's pixels, by bilinear interpolation."""
    h, w = values.shape
    at = (frame.pixels + 0.5) * [w / frame.width, h / frame.height] - 0.5
    map_ = torch.from_numpy(values.astype(np.float64))[None, None]
    return sample(map_, torch.from_numpy(at.T[None, :, None].copy()))[0].numpy()[0, 0, 0]


def counted_pixels(frame: DepthFrame, protocol: DepthProtocol) -> Bool[np.ndarray, "n"]:
    """Which of the truth's pixels the protocol compares; the crop's borders are cut to whole pixels."""
    top, bottom, left, right = CROPS[protocol.crop]
    x, y = frame.pixels.T
    inside = (y >= int(top * frame.height) - 0.5) & (y < int(bottom * frame.height) - 0.5)
    inside &= (x >= int(left * frame.width) - 0.5) & (x < int(right * frame.width) - 0.5)
    return inside & (frame.z > protocol.near) & (frame.z < protocol.cap)


def _rivals(
    frame: DepthFrame, counts: Bool[np.ndarray, "n"], protocol: DepthProtocol, train: MeanDepth | None
) -> dict[str, Float64[np.ndarray, "k"]]:
    """Depths at the judged pixels, before scaling: the prediction's, under "", and the baselines'."""
    rivals = {"": look_up(frame)[counts]}
    if protocol.scaling != "none":
        rivals["constant depth"] = np.ones(int(counts.sum()))
    elif train is not None:
        rivals["train-set mean"] = np.full(int(counts.sum()), train.mean)
    if train is not None:
        at = (frame.pixels[counts, 1] + 0.5) * len(train.rows) / frame.height - 0.5
        rivals["mean per row"] = np.interp(at, np.arange(len(train.rows)), train.rows)
    return rivals


def common_scales(
    frames: Iterable[DepthFrame], protocol: DepthProtocol, train: MeanDepth | None = None
) -> dict[str, float]:
    """The median over images of the median of truth / prediction, of the prediction (under "") and every baseline."""
    ratios: dict[str, list[float]] = {}
    for frame in frames:
        counts = counted_pixels(frame, protocol)
        if counts.any():
            for name, depth in _rivals(frame, counts, protocol, train).items():
                ratios.setdefault(name, []).append(_scale("global", depth, frame.z[counts]))
    return {name: float(np.median(r)) for name, r in ratios.items()}


def scaled_depth(scaling: str, p: Values, g: Values, common: float) -> Values:
    """Predicted depths p of an image, laid over its truth g; see DepthProtocol."""
    if scaling in ("affine", "affine_inverse"):
        x, y = (1 / p, 1 / g) if scaling == "affine_inverse" else (p, g)
        s, t = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
        return 1 / np.maximum(s * x + t, TINY) if scaling == "affine_inverse" else s * x + t
    if scaling in ("median", "ratio"):
        return p * _scale(scaling, p, g)
    if scaling == "least_squares":
        return p * float((g * p).sum() / (p * p).sum())
    return p * common


def _scale(scaling: str, p: Values, g: Values) -> float:
    """What lays an image's depths p over its truth g, if one factor may."""
    return float(np.median(g / np.maximum(p, TINY)) if scaling in ("ratio", "global") else np.median(g) / np.median(p))


def _means(p: Values, g: Values) -> Float64[np.ndarray, "9"]:
    """The means over an image's pixels from which `_numbers` makes the scores."""
    difference, log = p - g, np.log(p) - np.log(g)
    within = [np.mean(np.abs(log) < k * np.log(1.25)) for k in (1, 2, 3)]
    return np.array([np.mean(np.abs(difference) / g), np.mean(difference**2 / g), np.mean(difference**2),
                     np.mean(log**2), np.mean(np.abs(log)), np.mean(log), *within])


def _numbers(means: Float64[np.ndarray, "9"]) -> Float64[np.ndarray, "9"]:
    """The numbers of Eigen et al. 2014, in the order of NAMES; silog^2 = mean(e^2) - mean(e)^2 (their eq. 1)."""
    abs_rel, sq_rel, square, square_log, abs_log, log, *within = means
    return np.array([abs_rel, sq_rel, np.sqrt(square), np.sqrt(square_log), abs_log / np.log(10),
                     np.sqrt(max(square_log - log**2, 0.0)), *within])


def _average(rows: list[Float64[np.ndarray, "9"]], counted: list[int], average: Average) -> Float64[np.ndarray, "9"]:
    if average == "pixels":
        return _numbers(np.average(rows, axis=0, weights=counted))
    return np.mean([_numbers(row) for row in rows], 0)
