"""Correlation of two feature maps, forward and backward to both, beside matrix products of as many operations: what
FlowNetC and DispNetC correlate at 512 x 384 and 768 x 384."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from contest import Contest, Rival
from torch import Tensor

from epipole.geometry.costvolume import correlation_1d, correlation_2d

Correlation = Callable[[Tensor, Tensor], Tensor]
LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}


def contests(threads: int) -> Iterator[Contest]:
    for layout in LAYOUTS:
        yield contest("21 x 21 displacements, 256 x 48 x 64", layout, correlation_2d, 441, (2, 256, 48, 64))
        yield contest("40 disparities, 128 x 96 x 192", layout, lambda a, b: correlation_1d(a, b, 40), 40,
                      (1, 128, 96, 192))


def contest(
    work: str, layout: str, correlation: Correlation, candidates: int, shape: tuple[int, int, int, int]
) -> Contest:
    """The products: forward [candidates c] [c pixels], and its two derivatives."""
    b, c, h, w = shape
    g = torch.Generator().manual_seed(0)
    first, second = (torch.randn(shape, generator=g).to(memory_format=LAYOUTS[layout]).requires_grad_()
                     for _ in range(2))
    up = torch.randn(b, candidates, h, w, generator=g)
    left, right = torch.randn(candidates, c, generator=g), torch.randn(c, b * h * w, generator=g)
    slope = torch.randn(candidates, b * h * w, generator=g)
    return Contest(f"correlation, {work}, {layout}",
                   lambda: torch.autograd.grad(correlation(first, second), (first, second), up),
                   (Rival("matrix products", lambda: (left @ right, slope @ right.T, left.T @ slope), 3.0),), 10)
