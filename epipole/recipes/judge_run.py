"""Judges what a run left against a plain folder that knows the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..formats.run import RunFiles
from ..geometry.camera import resize_intrinsics
from ..judges.camera import focal_error
from ..judges.depth import DepthFrame, DepthProtocol, judge_depth, mean_depth
from ..judges.depth_uncertainty import DepthUncertaintyProtocol, UncertainDepth, judge_depth_uncertainty
from ..judges.flicker import FlickerFrame, judge_flicker
from ..judges.motion import KITTI_LENGTHS, MotionProtocol, judge_motion, path_length
from ..judges.score import Score
from ..sources.plain import DepthMaps, KnownDepth, SparseDepth, Truth, read_truth
from ..types.errors import InputError

SOME = 100        # frames, evenly spread, from which the mean depth of every row is taken, and uncertainty is judged
SAME_SHAPE = 1.2  # aspect ratios of footage and truth that differ by more than this factor are two different clips


def judge_run(
    run_folder: str | Path,
    truth_folder: str | Path,
    depth: DepthProtocol | None = None,
    motion: MotionProtocol | None = None,
) -> list[Score]:
    """Every score that the truth allows, each with its protocol; frames are matched by their order.

    abs_rel, sq_rel, rmse, rmse_log, log10, silog, delta_1, delta_2, delta_3, scale_spread, beside a constant depth and
    the mean depth per row of this very clip; of the depth's uncertainty ause, nll, coverage_error_50,
    coverage_error_90, ece, error_correlation; ate, ate_percent, ate_snippet, ate_snippet_rmse, rpe_translation,
    rpe_rotation, t_rel, r_rel; focal_error; and what needs no truth: flicker and hidden, of the run's depth along its
    own path; wall_s, peak_memory_mb.
    Raises InputError where run and truth cannot belong to the same clip, or the run lacks what is judged.
    """
    run, truth = RunFiles(run_folder), read_truth(truth_folder)
    if len(run.depth) != len(run.path):
        raise InputError(f"the run has {len(run.path)} frames with a pose and {len(run.depth)} with depth; "
                         "the same command again finishes it")
    check_same_clip(truth, len(run.path), run.image_size)
    scores = []
    if truth.depth is not None:
        some = _Frames(run, truth.depth, SOME)
        scores += judge_depth(_Frames(run, truth.depth), depth, truth.unit, mean_depth(some, depth))
        scores += judge_depth_uncertainty(_Uncertain(some), DepthUncertaintyProtocol(depth=of_the_clip(depth)))
    if truth.T_world_camera is not None:
        scores += judge_motion(run.path, truth.T_world_camera, motion, truth.unit)
    if truth.K is not None:
        K = run.intrinsics if run.lens is None else run.lens.K
        percent = focal_error(K, run.image_size, truth.K, (truth.width, truth.height))
        source = run.about["intrinsics"].get("source", "unknown")
        scores.append(Score("focal_error", percent, "%", protocol=f"mean over fx and fy; intrinsics {source}"))
    return scores + _flicker(run) + _costs(run)


def of_the_clip(depth: DepthProtocol | None) -> DepthProtocol:
    """The protocol under which uncertainty is judged: depth has one scale for the whole clip, or says metres, and what
    is uncertain is how it errs under that."""
    depth = depth or DepthProtocol()
    return depth if depth.scaling == "none" else replace(depth, scaling="global")


def why_absent(truth_folder: str | Path) -> list[str]:
    """Sentences that say which scores a truth does not allow, and why."""
    truth = read_truth(truth_folder)
    reasons = []
    if truth.depth is None:
        reasons.append("no depth scores: the truth has neither depth/ nor sparse_depth.npz")
    if truth.K is None:
        reasons.append("no focal_error: the truth has no intrinsics")
    if truth.T_world_camera is None:
        reasons.append("no path scores: the truth has no poses")
    elif not truth.metric:
        reasons.append("no t_rel and r_rel: the true path is not in metres")
    elif path_length(truth.T_world_camera) <= KITTI_LENGTHS[0]:
        reasons.append(f"no t_rel and r_rel: the true path is {path_length(truth.T_world_camera):.4g} m long, and "
                       f"their shortest segment {KITTI_LENGTHS[0]} m")
    return reasons


class _Frames:
    """Predictions beside the truth, of all frames that have one, or of at most so many, evenly spread, one frame at a
    time, as often as asked for."""

    def __init__(self, run: RunFiles, depth: DepthMaps | SparseDepth, most: int | None = None) -> None:
        self.run, self.depth, known = run, depth, depth.known
        self.chosen = known if most is None else known[:: max(1, -(-len(known) // most))]

    def __iter__(self) -> Iterator[DepthFrame]:
        return (frame for _, frame in self.numbered())

    def numbered(self) -> Iterator[tuple[int, DepthFrame]]:
        """With the frames' numbers."""
        for i in self.chosen:
            known = straight(self.run, self.depth[i])
            if len(known.z):
                yield i, DepthFrame(self.run.depth[i], *known)


def straight(run: RunFiles, known: KnownDepth) -> KnownDepth:
    """What is known of the footage's pixels, at the pixels of the run's straightened picture, as far as it is in it."""
    if run.lens is None or not len(known.z):
        return known
    size = np.array([known.width, known.height]) / run.image_size
    at, shown = run.straight_pixels((known.pixels + 0.5) / size - 0.5)
    return KnownDepth((at[shown] + 0.5) * size - 0.5, known.z[shown], known.width, known.height)


class _Uncertain:
    """The same with the uncertainty of every depth."""

    def __init__(self, frames: _Frames) -> None:
        self.frames = frames

    def __iter__(self) -> Iterator[UncertainDepth]:
        return (UncertainDepth(frame, self.frames.run.log_variance[i]) for i, frame in self.frames.numbered())


def _flicker(run: RunFiles) -> list[Score]:
    """None where no two consecutive frames see anything of each other."""
    width, height = run.image_size
    h, w = run.depth[0].shape
    K = resize_intrinsics(torch.from_numpy(run.intrinsics), w / width, h / height).numpy()
    frames = (FlickerFrame(np.asarray(z), K, T) for z, T in zip(run.depth, run.path, strict=True))
    try:
        return judge_flicker(frames)
    except InputError:
        return []


def check_same_clip(truth: Truth, frames: int, size: tuple[int, int]) -> None:
    """Raises InputError if a clip of so many frames of (width, height) cannot be the one that the truth is of."""
    if frames != len(truth.images):
        raise InputError(f"the clip has {frames} frames and the truth in {truth.folder} {len(truth.images)}; "
                         "give the truth of the clip that is learned")
    width, height = size
    if not 1 / SAME_SHAPE < width / height * truth.height / truth.width < SAME_SHAPE:
        raise InputError(f"the clip's frames are {width}x{height} and those of the truth in {truth.folder} "
                         f"{truth.width}x{truth.height}; give the truth of the clip that is learned")


def _costs(run: RunFiles) -> list[Score]:
    """wall_s and peak_memory_mb as the run measured them; wall_s falls back to the sum of its phases."""
    measured = {entry["name"]: Score.from_dict(entry) for entry in run.about.get("scores") or []}
    phases = run.about.get("phases") or []
    if phases and "wall_s" not in measured:
        seconds = sum(float(phase["seconds"]) for phase in phases)
        measured["wall_s"] = Score("wall_s", seconds, "s", protocol="sum of the phases of learning")
    return [measured[name] for name in ("wall_s", "peak_memory_mb") if name in measured]
