"""Judges the uncertainty that comes with depth: errors of its logarithm beside the deviation predicted for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .depth import DepthFrame, DepthProtocol, common_scales, counted_pixels, look_up, read_at, scaled_depth
from .score import Score
from .uncertainty import UncertaintyFrame, UncertaintyProtocol, judge_uncertainty


@dataclass(frozen=True)
class DepthUncertaintyProtocol(UncertaintyProtocol):
    """As `UncertaintyProtocol`, of log depth.

    depth  how depth is laid over the truth before its error is taken
    most   so many pixels of an image count, every k-th of those that the truth knows
    """

    depth: DepthProtocol = field(default_factory=DepthProtocol)
    most: int = 10_000

    def words(self) -> str:
        return (f"errors of log depth, {self.depth.words_of_scaling()}, log variance likewise, at most {self.most} "
                f"pixels of an image; {super().words()}")

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"depth": self.depth.arguments()}


class UncertainDepth(NamedTuple):
    """One image's depth beside the truth, and the logarithm of the variance of its log depth (of any resolution)."""

    frame: DepthFrame
    log_variance: Float[np.ndarray, "h w"]


def judge_depth_uncertainty(
    frames: Iterable[UncertainDepth], protocol: DepthUncertaintyProtocol | None = None
) -> list[Score]:
    """The scores of `judge_uncertainty` for log depth: whether depth is wrong where it says so, and by as much.

    `frames` is read one at a time; for scaling "global" it is read twice and must be a collection, not an iterator.
    Raises InputError where nothing can be compared, and for numbers that are not finite.
    """
    protocol = protocol or DepthUncertaintyProtocol()
    together = protocol.depth.scaling == "global"
    common = common_scales((frame for frame, _ in frames), protocol.depth) if together else {}
    return judge_uncertainty((_log_depth(frame, protocol, common.get("", 1.0)) for frame in frames), protocol)


def _log_depth(image: UncertainDepth, protocol: DepthUncertaintyProtocol, common: float) -> UncertaintyFrame:
    """Logarithms of scaled and true depth, and the deviation of the former."""
    frame, depth = image.frame, protocol.depth
    counts = np.flatnonzero(counted_pixels(frame, depth))
    if not len(counts):
        return UncertaintyFrame(*np.zeros((3, 0)))
    true = frame.z[counts]
    scaled = np.clip(scaled_depth(depth.scaling, look_up(frame)[counts], true, common), depth.near, depth.cap)
    deviation = np.exp(read_at(image.log_variance, frame)[counts] / 2)
    some = slice(None, None, -(-len(counts) // protocol.most))
    return UncertaintyFrame(np.log(scaled)[some], np.log(true)[some], deviation[some])
