"""What a trained system, or a method that learned nothing, sees in every sample of some data.

    for seen in predictions("runs/gcnet", "PAIRS"):
        seen.found["disparity"]        # (h, w), px of the left image as it is
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from ..engine.fit import torch_device
from ..methods.flow import FLOWS
from ..sources.contents import sha256_of
from ..sources.pairs import FLOW, STEREO, FlowFolder, StereoFolder, holds_pairs
from ..sources.plain import camera_matrix, check_intrinsics, read_truth
from ..sources.source import Source
from ..sources.video import open_footage
from ..sources.wrap import Clips, Joined
from ..types.errors import InputError
from ..types.predictions import Depth, Disparity, Flow, Prediction
from ..types.views import Views
from .bench.baselines import sgm
from .bench.fields import knows_metres, predicted, views_for_depth
from .bench.judging import Looks, Method, each, enlarged, predict
from .judge_model import MODEL, is_model, name_of, shape_of
from .samples import OF_FOCUS, Data, Shape, flow_pairs, focal_stacks, parse_data, sequences, stereo_pairs
from .train import load_model

BASELINES = ("SGM", "DIS")
Intrinsics = tuple[float, float, float, float] | str | Path


class Seen(NamedTuple):
    """A sample's name, its first image, and what was seen in it, at the image's size: disparity [h w] and flow [2 h w]
    in px, depth [h w] in m where `metric`, otherwise up to scale, and `deviation` [h w], the standard deviation of
    disparity or flow in px or of log depth, where it is known."""

    name: str
    image: Float32[np.ndarray, "3 h w"]
    found: dict[str, Float32[np.ndarray, "..."]]
    metric: bool


@dataclass(frozen=True)
class Seer:
    """Who looks, for what, at how many views of a sample (0: all of them), shaped and shown how. `key` names it, by its
    weights where it has any; `metric`: whether its depth is in metres; `stacks`: whether it reads focal stacks."""

    method: Method
    kind: type[Prediction]
    shape: Shape
    looks: Looks
    views: int
    key: str
    metric: bool = False
    stacks: bool = False

    def see(self, name: str, views: Views) -> Seen:
        """Raises MissingField for views that lack what the method reads."""
        part = views.map(lambda x: x[: self.views]) if self.views else views
        seen = predict(self.method, part, self.looks)
        h, w = part.image.shape[-2:]
        return Seen(name, part.image[0].numpy(), _at_size(seen, h, w), self.metric)


def seer_of(model: str | Path, width: int | None = None, device: str = "auto") -> Seer:
    """The system in the folder of a training or of a bench's cell, which sees images at the width that it learned from;
    or one of BASELINES, which sees them as they are; or both at `width`, 0 meaning as they are.

    Raises InputError for what is neither, and for a system that predicts no depth, disparity or flow.
    """
    if is_model(model):
        return _system(Path(model), width, device)
    if str(model).upper() not in BASELINES:
        raise InputError(f"{model} holds no trained system: give a folder of `epipole train`, a cell of a bench, or "
                         f"{' or '.join(BASELINES)}")
    usual = Shape(frames=2, width=width or Shape().width)
    looks, name = Looks(width or None), str(model).upper()
    if name == "DIS":
        return Seer(FLOWS["dis"], Flow, usual, looks, 2, name)
    return Seer(lambda views: sgm(views.image.shape[-1])(views), Disparity, usual, looks, 2, name)


def _system(folder: Path, width: int | None, device: str) -> Seer:
    name, shape = name_of(folder), shape_of(folder)
    kind = next((kind for kind in (Disparity, Flow, Depth) if issubclass(predicted(name), kind)), None)
    if kind is None:
        raise InputError(f"{name} predicts no depth, disparity or flow, and nothing else becomes a map")
    system = load_model(folder / MODEL).to(torch_device(device))
    stacks = bool(system.reads & OF_FOCUS)
    shown = shape.width if width is None else width or None
    views = 0 if stacks else views_for_depth(name) if kind is Depth else 2
    return Seer(system, kind, shape if not width else Shape(shape.frames, shape.gap, width, shape.world_frames),
                Looks(shown), views, sha256_of(folder / MODEL), kind is Depth and knows_metres(name), stacks)


class _Passing:
    """Clips of footage in their order, decoded as they pass by: neither memory nor disk holds a film."""

    def __init__(self, data: Data, seer: Seer, K: Float64[np.ndarray, "3 3"] | None) -> None:
        self.footage, self.length = open_footage(data.path), seer.views
        self.gap = seer.shape.gap
        self.frames = data.frames or range(self.footage.count())
        if self.frames[-1] >= self.footage.count():
            raise InputError(f"'{data.text}' asks for frame {self.frames[-1]}, but there are only "
                             f"{self.footage.count()}")
        K = read_truth(data.path).K if K is None and data.path.is_dir() else K
        if K is not None:
            check_intrinsics(K, self.footage.width, self.footage.height, data.path)
        self.K = None if K is None else torch.from_numpy(K).float().expand(self.length, 3, 3)

    @property
    def names(self) -> list[str]:
        return [f"{i:06d}" for i in self.frames[: max(0, len(self.frames) - (self.length - 1) * self.gap)]]

    def __iter__(self) -> Iterator[Views]:
        window: deque[Tensor] = deque(maxlen=(self.length - 1) * self.gap + 1)
        for frame in self.footage.read(only=set(self.frames)):
            window.append(torch.from_numpy(frame.image).permute(2, 0, 1).float() / 255)
            if len(window) == window.maxlen:
                image = torch.stack(list(window)[:: self.gap])
                yield Views(image=image) if self.K is None else Views(image=image, K=self.K.clone())


def samples_of(
    seer: Seer, data: Data, cache: Path, K: Float64[np.ndarray, "3 3"] | None
) -> tuple[list[str], Iterator[Views]]:
    """The names of what is looked at, and the samples, as large as they are. Raises InputError where there are none."""
    pairs = {STEREO: StereoFolder, FLOW: FlowFolder}
    sides = next((sides for sides in pairs if data.scenes is None and holds_pairs(data.path, sides)), None)
    if seer.kind is Disparity or (sides == STEREO and seer.kind is Depth):
        source: Source = stereo_pairs(data, seer.shape, cache)
    elif seer.stacks:
        source = focal_stacks(data, seer.shape, cache)
    elif seer.kind is Flow and (data.scenes is not None or sides):
        source = flow_pairs(data, seer.shape, cache)
    elif data.scenes is not None:
        source = Joined([Clips(part, seer.views, seer.shape.gap) for part in sequences(data, seer.shape, cache)])
    else:
        footage = _Passing(data, seer, K)
        return _some(footage.names, data), iter(footage)
    names = [f"{i:06d}" for i in range(len(source))]
    if sides:
        stems = [one.stem for one, _ in pairs[sides](data.path).files]
        names = stems if data.frames is None else [stems[i] for i in data.frames]
    return _some(names, data), each(source)


def _some(names: list[str], data: Data) -> list[str]:
    if not names:
        raise InputError(f"{data.text} holds no sample: give more of it")
    return names


def _at_size(seen: dict[str, Tensor], h: int, w: int) -> dict[str, Float32[np.ndarray, "..."]]:
    """The prediction of unbatched views as maps of this size."""
    found, variance = {}, seen.get("log_variance")
    if "disparity" in seen:
        found["disparity"] = enlarged(seen["disparity"], h, w)[0]
        if variance is not None:
            found["deviation"] = enlarged((variance / 2).exp(), h, w)[0]
    if "flow" in seen:
        found["flow"] = enlarged(seen["flow"][:, 0], h, w)
        if variance is not None and "depth" not in seen:
            found["deviation"] = np.hypot(*enlarged((variance[:, 0] / 2).exp(), h, w))
    if "depth" in seen:
        found["depth"] = 1 / _wide(1 / seen["depth"][:, 0], h, w)
        if variance is not None:
            found["deviation"] = _wide((variance[:, 0] / 2).exp(), h, w)
    return found


def _wide(values: Float[Tensor, "1 1 _ _"], h: int, w: int) -> Float32[np.ndarray, "{h} {w}"]:
    return F.interpolate(values.float(), (h, w), mode="bilinear", align_corners=False)[0, 0].numpy()


def predictions(
    model: str | Path, data: str | Path, width: int | None = None, intrinsics: Intrinsics | None = None,
    device: str = "auto",
) -> Iterator[Seen]:
    """What `seer_of(model, width, device)` sees in every sample of DATA (see `samples`): pairs, in a world or in
    folders, for stereo; for flow these or consecutive frames of footage; for depth frames, or focal stacks.

    `intrinsics` as for `epipole.train`. Raises InputError for what does not fit, MissingField where a sample lacks
    what the system reads.
    """
    seer, K = seer_of(model, width, device), None if intrinsics is None else camera_matrix(intrinsics)
    with tempfile.TemporaryDirectory() as cache:
        names, samples = samples_of(seer, parse_data(str(data)), Path(cache), K)
        for name, views in zip(names, samples, strict=False):
            yield seer.see(name, views)
