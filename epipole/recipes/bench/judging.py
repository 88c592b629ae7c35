"""Whatever gives a prediction, on views whose truth is known, before the judge of its type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from ...engine.system import System
from ...judges.depth import DepthFrame, DepthProtocol, judge_depth
from ...judges.depth_uncertainty import DepthUncertaintyProtocol, UncertainDepth, judge_depth_uncertainty
from ...judges.disparity import DisparityFrame, judge_disparity
from ...judges.disparity_uncertainty import DisparityUncertaintyProtocol, uncertain_values
from ...judges.flow import FlowFrame, judge_flow
from ...judges.focus import FocusFrame, judge_focus
from ...judges.motion import MotionProtocol, judge_motion
from ...judges.pose import PoseFrame, judge_pose
from ...judges.score import Score
from ...judges.uncertainty import UncertaintyFrame, judge_uncertainty
from ...methods.focus import SharpestSlice
from ...sources.source import Source
from ...sources.wrap import Clips, Joined, resized
from ...types.errors import InputError
from ...types.predictions import Prediction
from ...types.views import Views

TEXTURED = 0.02  # root of the variance of the Laplacian of 9x9 px of the sharpest slice, from which they are textured
METRES = " [m]"  # behind the names of scores for which nothing was scaled


@dataclass(frozen=True)
class Looks:
    """How test data is shown: images `width` px wide (None: as they are), paths in clips of so many frames, each `gap`
    after the one before, depth in the first of `views` frames; `metric`: whether what is judged claims to know
    metres."""

    width: int | None
    frames: int = 3
    gap: int = 1
    metric: bool = True
    views: int = 1


Method = Callable[[Views], Prediction]
DepthMaps = dict[str, Float32[np.ndarray, "_ _"]]
Judge = Callable[[Method, Sequence[Source], Looks], list[Score]]


def each(source: Source) -> Iterator[Views]:
    """Every sample of a source, in order."""
    return (source[i] for i in range(len(source)))


@torch.no_grad()
def predict(method: Method, views: Views, looks: Looks) -> dict[str, Tensor]:
    """The fields of the prediction for unbatched views, each with one scene; a system sees only what it `reads`."""
    seen = views if looks.width in (None, views.image.shape[-1]) else resized(views, looks.width or 0)
    batch = Views.collate([seen])
    if isinstance(method, System):
        batch = batch.keep(method.reads).to(next(method.parameters()).device)
    return method(batch).to("cpu").fields()


def judge_depth_maps(method: Method, parts: Sequence[Source], looks: Looks) -> list[Score]:
    """Scores of `judge_depth`, each image median-scaled and, where metres are claimed, as they are; of a method that
    says how unsure it is those of `judge_depth_uncertainty`, too."""
    views = Joined([Clips(part, looks.views, looks.gap) for part in parts])
    return _depth_scores(_depth_maps(method, views, looks), views, looks)


def judge_stacks(method: Method, parts: Sequence[Source], looks: Looks) -> list[Score]:
    """The same of focal stacks, whose slices have one depth, and the scores of `judge_focus`."""
    stacks = Joined(parts)
    maps = _depth_maps(method, stacks, looks)
    frames = (focus_frame(seen["depth"], stack) for seen, stack in zip(maps, each(stacks), strict=True))
    return _depth_scores(maps, stacks, looks) + judge_focus(frames)


def _depth_maps(method: Method, views: Source, looks: Looks) -> list[DepthMaps]:
    """Of the first view of every sample: depth and, where it is given, log_variance."""
    found = (predict(method, view, looks) for view in each(views))
    return [{name: seen[name][0, 0, 0].numpy() for name in ("depth", "log_variance") if name in seen} for seen in found]


def _depth_scores(maps: list[DepthMaps], views: Source, looks: Looks) -> list[Score]:
    def frames() -> Iterator[DepthFrame]:
        return (depth_frame(seen["depth"], view) for seen, view in zip(maps, each(views), strict=True))

    median = DepthProtocol("median")
    scores = judge_depth(frames(), median)
    scores += in_metres(judge_depth(frames(), DepthProtocol("none"))) if looks.metric else []
    if not all("log_variance" in seen for seen in maps):
        return scores
    unsure = (UncertainDepth(frame, seen["log_variance"]) for frame, seen in zip(frames(), maps, strict=True))
    return scores + judge_depth_uncertainty(unsure, DepthUncertaintyProtocol(depth=median))


def depth_frame(prediction: Float32[np.ndarray, "_ _"], views: Views) -> DepthFrame:
    """Predicted depth beside the truth of a single view, or of a clip's first one."""
    z, valid = views.depth[0, 0].numpy(), views.depth_valid[0, 0].numpy()
    y, x = np.nonzero(valid)
    pixels = np.stack([x, y], 1).astype(np.float64)
    return DepthFrame(prediction, pixels, z[valid].astype(np.float64), z.shape[1], z.shape[0])


def focus_frame(prediction: Float32[np.ndarray, "_ _"], stack: Views) -> FocusFrame:
    """Predicted depth, enlarged to the truth's size, beside the truth of a focal stack."""
    z, valid = stack.depth[0, 0].numpy(), stack.depth_valid[0, 0].numpy()
    disparity = F.interpolate(torch.from_numpy(1 / prediction)[None, None], z.shape, mode="bilinear",
                              align_corners=False)[0, 0].numpy()
    textured = SharpestSlice().sharpness(stack.image).amax((0, 1)).numpy() >= TEXTURED**2
    return FocusFrame(disparity, 1 / np.where(valid, z, 1), valid, textured)


def judge_paths(method: Method, parts: Sequence[Source], looks: Looks) -> list[Score]:
    """Scores of `judge_motion`, means over sequences: aligned by Sim(3) and, where metres are claimed, not at all."""
    rows = []
    for part in parts:
        truth = np.stack([part[i].T_world_camera[0].double().numpy() for i in range(0, len(part), looks.gap)])
        path = path_of(method, part, looks)
        scores = judge_motion(path, truth, MotionProtocol("sim3", window=looks.frames))
        if looks.metric:
            scores += in_metres(judge_motion(path, truth, MotionProtocol("none", window=looks.frames)))
        rows.append(scores)
    return averaged(rows)


def path_of(method: Method, views: Source, looks: Looks) -> Float64[np.ndarray, "F 4 4"]:
    """The path through every `gap`-th of single views, joined from the paths of clips, each of which begins with the
    last frame of the one before; for a method that is to see them as a `whole`, at once. Raises InputError where there
    are fewer frames than a clip has."""
    count, length = len(range(0, len(views), looks.gap)), looks.frames
    length = max(count, length) if getattr(method, "whole", False) else length
    if count < max(length, 2):
        raise InputError(f"a path needs sequences of at least {max(length, 2)} frames, {looks.gap} apart, not {count}; "
                         "give longer ones, or a smaller gap")
    clips, path = Clips(views, length, looks.gap), [np.eye(4)]
    while len(path) < count:
        first = min(len(path) - 1, count - length)
        T = predict(method, clips[first * looks.gap], looks)["T_first_camera"][0].double().numpy()
        path += [path[first] @ T[k] for k in range(len(path) - first, length)]
    return np.stack(path)


def judge_poses(method: Method, parts: Sequence[Source], looks: Looks) -> list[Score]:
    """Scores of `judge_pose`: every view by itself, in a known scene."""
    return judge_pose([
        PoseFrame(predict(method, view, looks)["T_world_camera"][0, 0].double().numpy(),
                  view.T_world_camera[0].double().numpy())
        for view in each(Joined(parts))])


def judge_pairs(method: Method, parts: Sequence[Source], looks: Looks) -> list[Score]:
    """Scores of `judge_disparity`, in pixels of the truth; what the right view hides counts, too. Of a method that
    says how unsure it is those of `judge_uncertainty`, too."""
    protocol, unsure = DisparityUncertaintyProtocol(), list[UncertaintyFrame]()

    def frames() -> Iterator[DisparityFrame]:
        for view in each(Joined(parts)):
            seen = predict(method, view, looks)
            frame = disparity_frame(seen["disparity"], view)
            if "log_variance" in seen:
                deviation = enlarged((seen["log_variance"] / 2).exp(), *frame.truth.shape)[0]
                unsure.append(uncertain_values(frame, deviation, protocol))
            yield frame

    return judge_disparity(frames()) + (judge_uncertainty(unsure, protocol) if unsure else [])


def disparity_frame(prediction: Float[Tensor, "1 1 _ _"], views: Views) -> DisparityFrame:
    """Predicted disparity, enlarged to the truth's size, beside the left view's truth, which is 0 where unknown."""
    truth, seen = views.disparity[0, 0].numpy(), views.disparity_valid[0, 0].numpy()
    known = truth > 0
    hidden = known & ~seen
    return DisparityFrame(enlarged(prediction, *truth.shape)[0], truth, known, hidden if hidden.any() else None)


def judge_flows(method: Method, parts: Sequence[Source], looks: Looks) -> list[Score]:
    """Scores of `judge_flow`, in pixels of the truth, from the first view to the second."""
    return judge_flow(flow_frame(predict(method, view, looks)["flow"][:, 0], view) for view in each(Joined(parts)))


def flow_frame(prediction: Float[Tensor, "1 2 _ _"], views: Views) -> FlowFrame:
    """Predicted flow, enlarged to the truth's size, beside the first view's truth."""
    truth, valid = views.flow[0].numpy(), views.flow_valid[0, 0].numpy()
    hidden = views.occlusion[0, 0].numpy() if "occlusion" in views else None
    known = valid if hidden is None else valid | hidden
    return FlowFrame(enlarged(prediction, *valid.shape), truth, known, hidden)


def enlarged(pixels: Float[Tensor, "1 c _ _"], height: int, width: int) -> Float32[np.ndarray, "c {height} {width}"]:
    """Disparity, or flow (u, v), at another size, in pixels of that size."""
    h, w = pixels.shape[-2:]
    full = F.interpolate(pixels.float(), (height, width), mode="bilinear", align_corners=False)[0]
    return (full * torch.tensor([width / w, height / h])[: len(full), None, None]).numpy()


def in_metres(scores: list[Score]) -> list[Score]:
    """The same scores under names that say that nothing was scaled."""
    return [replace(score, name=score.name + METRES) for score in scores]


def averaged(rows: list[list[Score]]) -> list[Score]:
    """Means over sequences of the scores that all of them have."""
    by_name = [{score.name: score for score in row} for row in rows]
    return [_mean([row[score.name] for row in by_name]) for score in rows[0]
            if all(score.name in row for row in by_name)]


def _mean(scores: list[Score]) -> Score:
    first, count = scores[0], len(scores)
    beside = {name: float(np.mean([s.baselines[name] for s in scores])) for name in first.baselines
              if all(name in s.baselines for s in scores)}
    how = first.protocol if count == 1 else f"{first.protocol} (of the first); mean over {count} sequences"
    return replace(first, value=float(np.mean([s.value for s in scores])), protocol=how, baselines=beside)
