"""Judges the uncertainty that comes with disparity: its errors in px beside the deviation predicted for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .disparity import DisparityFrame
from .tally import check_pair
from .uncertainty import UncertaintyFrame, UncertaintyProtocol


@dataclass(frozen=True)
class DisparityUncertaintyProtocol(UncertaintyProtocol):
    """As `UncertaintyProtocol`, of disparity in px.

    most  so many pixels of a pair count, every k-th of those that the truth knows
    """

    most: int = 10_000

    def words(self) -> str:
        return f"errors of disparity in px, at most {self.most} pixels of a pair; {super().words()}"


def uncertain_values(
    frame: DisparityFrame, deviation: Float[np.ndarray, "h w"], protocol: DisparityUncertaintyProtocol
) -> UncertaintyFrame:
    """What `judge_uncertainty` reads of a pair: few values, so that those of many pairs may wait for each other.

    `deviation` in px of the truth's image. Raises InputError where it is not of the truth's size.
    """
    check_pair(deviation, frame.truth, "deviation of disparity")
    counts = np.flatnonzero(frame.valid)
    some = counts[:: max(1, -(-len(counts) // protocol.most))]
    return UncertaintyFrame(*(x.ravel()[some].astype(np.float64) for x in (frame.prediction, frame.truth, deviation)))
