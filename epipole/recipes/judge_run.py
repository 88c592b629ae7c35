"""Judges what a run left against a plain folder that knows the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..formats.run import RunFiles
from ..judges.camera import focal_error
from ..judges.depth import DepthFrame, DepthProtocol, judge_depth
from ..judges.motion import KITTI_LENGTHS, MotionProtocol, judge_motion, path_length
from ..judges.score import Score
from ..sources.plain import Truth, read_truth
from ..types.errors import InputError

SAME_SHAPE = 1.2  # aspect ratios of footage and truth that differ by more than this factor are two different clips


def judge_run(
    run_folder: str | Path,
    truth_folder: str | Path,
    depth: DepthProtocol | None = None,
    motion: MotionProtocol | None = None,
) -> list[Score]:
    """Every score that the truth allows, each with its protocol; frames are matched by their order.

    abs_rel, sq_rel, rmse, rmse_log, log10, silog, delta_1, delta_2, delta_3, scale_spread; ate, ate_percent,
    ate_snippet, ate_snippet_rmse, rpe_translation, rpe_rotation, t_rel, r_rel; focal_error; wall_s, peak_memory_mb.
    Raises InputError where run and truth cannot belong to the same clip, or the run lacks what is judged.
    """
    run, truth = RunFiles(run_folder), read_truth(truth_folder)
    if len(run.depth) != len(run.path):
        raise InputError(f"the run has {len(run.path)} frames with a pose and {len(run.depth)} with depth; "
                         "the same `epipole learn` again finishes it")
    check_same_clip(truth, len(run.path), run.image_size)
    scores = []
    if truth.depth is not None:
        scores += judge_depth(_Frames(run, truth), depth, truth.unit)
    if truth.T_world_camera is not None:
        scores += judge_motion(run.path, truth.T_world_camera, motion, truth.unit)
    if truth.K is not None:
        percent = focal_error(run.intrinsics, run.image_size, truth.K, (truth.width, truth.height))
        source = run.about["intrinsics"].get("source", "unknown")
        scores.append(Score("focal_error", percent, "%", protocol=f"mean over fx and fy; intrinsics {source}"))
    return scores + _costs(run)


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
    """Predictions beside the truth, one frame at a time, as often as asked for."""

    def __init__(self, run: RunFiles, truth: Truth) -> None:
        self.run, self.truth = run, truth

    def __iter__(self) -> Iterator[DepthFrame]:
        assert self.truth.depth is not None
        for i in range(len(self.truth.images)):
            known = self.truth.depth[i]
            if len(known.z):
                yield DepthFrame(self.run.depth[i], *known)


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
