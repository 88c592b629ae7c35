"""What learned systems are to beat: methods that look at nothing, that know the training set alone, or that compute."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ...judges.depth import mean_depth
from ...judges.paths import mean_motion
from ...methods.depth import ConstantDepth, RowDepth
from ...methods.flow import FLOWS, Refined
from ...methods.focus import SharpestSlice
from ...methods.motion import MeanMotion, NearestImage, NearestPose, TwoViewOdometry
from ...methods.stereo import STEPS, Sgm
from ...sources.source import Source
from ...types.views import Views
from .judging import Looks, Method, depth_frame, each

AT_MOST = 256      # training samples that means are taken over, spread evenly
SHARE = 0.25       # of the width, up to which semi-global matching looks for disparities
SHARPEST = "sharpest slice"
NEAREST_POSE = "nearest training pose (told the truth)"
WIDTH = 450        # px that it takes images for which are shown as they are


@dataclass(frozen=True)
class Baseline:
    """A method and its name; `metric`: whether it claims to know metres."""

    name: str
    method: Method
    metric: bool = True


def depth_baselines(train: Source, looks: Looks) -> list[Baseline]:
    """A constant and, where the training set knows depth, its mean, everywhere and per row."""
    constant = [Baseline("constant depth", ConstantDepth(), metric=False)]
    if "depth" not in train[0]:
        return constant
    nothing = np.ones((1, 1), np.float32)  # predicted; only the truth counts
    mean = mean_depth(depth_frame(nothing, view) for view in some_views(train))
    return [*constant, Baseline("train-set mean", ConstantDepth(mean.mean)),
            Baseline("mean per row", RowDepth(torch.from_numpy(mean.rows)))]


def focus_baselines(train: Source, looks: Looks) -> list[Baseline]:
    """The training set's means, and the focus of the slice that is sharpest around a pixel."""
    return [*depth_baselines(train, looks)[1:], Baseline(SHARPEST, SharpestSlice())]


def motion_baselines(train: Source, looks: Looks) -> list[Baseline]:
    """The training set's mean step, and odometry from the features of two views, whose steps are as long as that; of
    length 1 where the training set knows no path."""
    step, metric = np.eye(4), "T_world_camera" in train[0] and len(train[0].T_world_camera) > 1
    step[2, 3] = 1.0
    if metric:
        step = mean_motion([views.T_world_camera.double().numpy() for views in some(train)])
    length = float(np.linalg.norm(step[:3, 3]))
    mean = [Baseline("train-set mean motion", MeanMotion(torch.from_numpy(step)))] if metric else []
    return mean + [Baseline(f"two views by {name.upper()}", TwoViewOdometry(name, length), metric)
                   for name in ("sift", "orb")]


def pose_baselines(train: Source, looks: Looks) -> list[Baseline]:
    """The training image most alike, and the training pose nearest to the true one."""
    if "T_world_camera" not in train[0]:
        return []
    nearest = NearestImage.of(each(train))
    return [Baseline("most alike training image", nearest),
            Baseline(NEAREST_POSE, NearestPose(nearest.T_world_camera))]


def stereo_baselines(train: Source, looks: Looks) -> list[Baseline]:
    """Semi-global matching, its holes filled, with candidates up to a quarter of the width."""
    return [Baseline("SGM", sgm(looks.width))]


def sgm(width: int | None) -> Sgm:
    """For images of this width, none if it is unknown."""
    return Sgm(STEPS * math.ceil(SHARE * (width or WIDTH) / STEPS))


def flow_baselines(train: Source, looks: Looks) -> list[Baseline]:
    """No flow, Farneback, DIS, and DIS refined."""
    names = {"none": "no flow", "farneback": "Farneback", "dis": "DIS"}
    return [*(Baseline(name, FLOWS[key]) for key, name in names.items()), Baseline("DIS+v", Refined(FLOWS["dis"]))]


def some(train: Source) -> Iterator[Views]:
    """At most AT_MOST samples, spread evenly over the source."""
    count = min(len(train), AT_MOST)
    return (train[i * len(train) // count] for i in range(count))


def some_views(train: Source) -> Iterator[Views]:
    """Every single view in `some` samples."""
    return (views.map(lambda x, k=k: x[k : k + 1]) for views in some(train) for k in range(len(views.image)))
