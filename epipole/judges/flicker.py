"""Judges how depth maps of a clip agree with each other, without any truth: what one frame says of the static scene,
the next one should say too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64

from ..geometry.camera import project, transform, unproject
from ..geometry.motion import se3_inverse
from ..geometry.sample import sample
from ..types.errors import InputError
from .score import Protocol, Score
from .tally import Average, Tally, average_words


@dataclass(frozen=True)
class FlickerProtocol(Protocol):
    """How depth of one frame is compared with that of the next.

    hidden   points that lie farther than this share behind what the other frame sees are held to be hidden
    average  the mean of the pairs' means, or one over the pixels of all pairs
    """

    hidden: float = 0.25
    average: Average = "images"

    def words(self) -> str:
        return (f"|a - b| / (a + b) of each frame's depth moved into the next and the depth there, points more than "
                f"{100 * self.hidden:g} % behind it held to be hidden, {average_words(self.average)}")


class FlickerFrame(NamedTuple):
    """Depth of one frame, its intrinsics at the depth's resolution, and its pose in the unit of the depth."""

    depth: Float[np.ndarray, "h w"]
    K: Float64[np.ndarray, "3 3"]
    T_world_camera: Float64[np.ndarray, "4 4"]


def judge_flicker(frames: Iterable[FlickerFrame], protocol: FlickerProtocol | None = None) -> list[Score]:
    """flicker: by how much consecutive frames' depth disagrees about the static scene, in [0, 1), beside one constant
    depth (the first frame's median) for all; and hidden: the share (%) of points taken to be hidden, behind which a
    flicker must not hide.

    Read one frame at a time. Raises InputError for depth that is not positive and finite, and where no two consecutive
    frames see the same.
    """
    protocol = protocol or FlickerProtocol()
    tally, flat = Tally(protocol.average), Tally(protocol.average)
    constant = 0.0
    for first, second in pairwise(_checked(frames)):
        constant = constant or float(np.median(first.depth))
        tally.add(_disagreement(first, second, protocol.hidden))
        flat.add(_disagreement(_flat(first, constant), _flat(second, constant), protocol.hidden))
    means, beside = tally.means(), flat.means()
    if "flicker" not in means:
        raise InputError("no flicker can be judged: no two consecutive frames see the same")
    return [protocol.score(name, means[name], unit, f"{tally.images} pairs of frames",
                           {"constant depth": beside[name]} if name in beside else {})
            for name, unit in (("flicker", ""), ("hidden", "%"))]


def _flat(frame: FlickerFrame, depth: float) -> FlickerFrame:
    return frame._replace(depth=np.full_like(frame.depth, depth))


def _checked(frames: Iterable[FlickerFrame]) -> Iterable[FlickerFrame]:
    for frame in frames:
        if not (np.isfinite(frame.depth).all() and (frame.depth > 0).all()):
            raise InputError("a predicted depth is not positive and finite and cannot be judged")
        yield frame


def _disagreement(a: FlickerFrame, b: FlickerFrame, hidden: float) -> dict[str, Float64[np.ndarray, "_"]]:
    """Errors of a's pixels that fall into b, under the names of the scores."""
    depth_a, depth_b, K_a, K_b, T_w_a, T_w_b = (
        torch.from_numpy(np.asarray(x, np.float64))[None]
        for x in (a.depth[None], b.depth[None], a.K, b.K, a.T_world_camera, b.T_world_camera))
    points = transform(se3_inverse(T_w_b) @ T_w_a, unproject(depth_a, K_a))
    pixels, front = project(points, K_b)
    there, inside = sample(1 / depth_b, pixels)
    seen = inside & front
    moved, there = points[:, 2:][seen], 1 / there[seen]
    behind = moved > there * (1 + hidden)
    errors = ((moved - there).abs() / (moved + there))[~behind]
    return {"flicker": errors.numpy(), "hidden": 100.0 * behind.double().numpy()}
