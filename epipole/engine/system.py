"""The contract that every system keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from ..types.predictions import Prediction

Stages = dict[str, tuple[tuple[str, ...], Callable[[Any], dict[str, Tensor]]]]


class System(nn.Module):
    """A network, what it minimises, and the type of what it predicts.

    paper    where it comes from
    needs    fields of the batch that training reads; the engine hands over no others
    reads    fields that prediction alone reads
    forward  batch -> Prediction
    loss     batch -> {term: scalar}; terms are already weighted, the total is their sum
    settle   steps of a training in which only a part of it learns, for the rest to begin well
    stages   those of its paper in their order, where it has some: the children that learn, and by which loss
    """

    paper: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    reads: ClassVar[frozenset[str]]
    settle: int = 0

    def forward(self, batch: Any) -> Prediction:  # Any: a system names its own type of Batch
        raise NotImplementedError

    def loss(self, batch: Any) -> dict[str, Tensor]:
        raise NotImplementedError

    def stages(self) -> Stages:
        return {}
