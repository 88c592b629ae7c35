"""The fields of the bench: who competes, on what, under which judge, and what stands in the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from ...sources.source import Source
from ...systems import SYSTEMS, load
from ...types.errors import InputError
from ...types.predictions import Depth, Disparity, Flow, Motion, Pose, Prediction, TwoViewGeometry
from ..samples import OF_FOCUS, Data, Shape, flow_pairs, focal_stacks, sequences, stereo_pairs
from .baselines import (
    NEAREST_POSE,
    SHARPEST,
    Baseline,
    depth_baselines,
    flow_baselines,
    focus_baselines,
    motion_baselines,
    pose_baselines,
    stereo_baselines,
)
from .judging import (
    METRES,
    Judge,
    Looks,
    judge_depth_maps,
    judge_flows,
    judge_pairs,
    judge_paths,
    judge_poses,
    judge_stacks,
)

TELLS_SCALE = frozenset({"depth", "baseline", "disparity", "T_world_camera"})  # training with one of these
UNSURE = ("ause", "coverage_error_90")  # scores of what comes with a variance
UP_TO_SCALE = frozenset({"diw", "demon"})  # learn from depth what is nearer, or depth in units of the motion


@dataclass(frozen=True)
class Field:
    """One kind of prediction.

    fields   what every training sample carries beside what a system needs
    frames   of a clip, where nobody says
    shown    scores in the table
    rivals   which of them are compared with which baseline's
    beside   baselines that the judge itself computes, because they are told the truth at every start
    """

    prediction: type[Prediction]
    tests: Callable[[Data, Shape, Path], Sequence[Source]]
    judge: Judge
    baselines: Callable[[Source, Looks], list[Baseline]]
    shown: tuple[str, ...]
    rivals: tuple[tuple[str, str], ...]
    fields: frozenset[str] = frozenset()
    frames: int = 3
    beside: tuple[str, ...] = ()


FIELDS = {
    "depth": Field(
        Depth, sequences, judge_depth_maps, depth_baselines,
        ("abs_rel", "delta_1", "rmse_log", "scale_spread", "abs_rel" + METRES, "delta_1" + METRES, *UNSURE),
        (("abs_rel", "constant depth"), ("abs_rel" + METRES, "train-set mean"))),
    "focus": Field(
        Depth, lambda data, shape, cache: [focal_stacks(data, shape, cache)], judge_stacks, focus_baselines,
        ("abs_rel" + METRES, "delta_1" + METRES, "disparity_rms", "bad_pix", "bumpiness", "rank_correlation"),
        (("abs_rel" + METRES, "train-set mean"), ("abs_rel" + METRES, SHARPEST), ("rank_correlation", SHARPEST)),
        OF_FOCUS | {"depth", "depth_valid"}, frames=5),
    "motion": Field(
        Motion, lambda data, shape, cache: sequences(data, shape, cache, {"imu"}), judge_paths, motion_baselines,
        ("ate_percent", "ate_snippet_rmse", "rpe_rotation", "t_rel" + METRES, "r_rel" + METRES),
        (("rpe_rotation", "train-set mean motion"), ("t_rel" + METRES, "constant velocity"),
         ("t_rel" + METRES, "train-set mean motion")),
        beside=("constant velocity",)),
    "pose": Field(
        Pose, sequences, judge_poses, pose_baselines,
        ("median_rotation", "median_translation", "share_right"),
        (("median_rotation", NEAREST_POSE), ("median_translation", NEAREST_POSE)), frames=1),
    "stereo": Field(
        Disparity, lambda data, shape, cache: [stereo_pairs(data, shape, cache)], judge_pairs, stereo_baselines,
        ("epe", "epe_seen", "d1", "bad_1", "bad_3", *UNSURE), (("epe", "SGM"), ("bad_3", "SGM")),
        frozenset({"disparity", "disparity_valid", "baseline"}), beside=("constant disparity",)),
    "flow": Field(
        Flow, lambda data, shape, cache: [flow_pairs(data, shape, cache)], judge_flows, flow_baselines,
        ("aee", "aee_seen", "aae", "fl_all"), (("aee", "no flow"), ("aee", "DIS")),
        frozenset({"flow", "flow_valid"}), frames=2),
}


def field_named(name: str) -> Field:
    """The field of this name; raises InputError for any other."""
    if name not in FIELDS:
        raise InputError(f"there is no bench of '{name}': choose one of {', '.join(FIELDS)}")
    return FIELDS[name]


def systems_of(field: str) -> list[str]:
    """Every system whose prediction the field judges; what reads focus competes on focal stacks alone."""
    asked = field_named(field)
    return [name for name in SYSTEMS if issubclass(predicted(name), asked.prediction)
            and bool(load(name).reads & OF_FOCUS) == bool(asked.fields & OF_FOCUS)]


def predicted(name: str) -> type[Prediction]:
    """The type that a system predicts."""
    return get_type_hints(load(name).forward)["return"]


def views_for_depth(name: str) -> int:
    """How many views of a clip a system compares to see depth."""
    return 2 if issubclass(predicted(name), TwoViewGeometry) else 1


def knows_metres(name: str) -> bool:
    """Whether a system's training tells it how long a metre is."""
    return bool(load(name).needs & TELLS_SCALE) and name not in UP_TO_SCALE
