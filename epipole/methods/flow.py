"""Optical flow that nothing was learned for (OpenCV): every view's flow to the next one, the last one's to the first.

All read `image`, colour or grey, treat every pair by itself and repeat themselves on one thread.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..losses import census
from ..types.errors import InputError
from ..types.predictions import Flow
from ..types.views import Views

Grey = UInt8[np.ndarray, "h w"]
Field = Float[np.ndarray, "h w 2"]
FlowMethod = Callable[[Views], Flow]

DIS_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
SMALLEST = 16  # px along a side that DIS takes


def grey(image: Float[Tensor, "*b c h w"]) -> UInt8[np.ndarray, "*b h w"]:
    """Grey values 0 .. 255 of images in [0, 1] with one or three channels; InputError for others."""
    if image.shape[-3] not in (1, 3):
        raise InputError(f"an image has one or three channels, not {image.shape[-3]}: give grey or colour images")
    luma = census.grey(image) if image.shape[-3] == 3 else image
    return (255 * luma.detach().clamp(0, 1)).round().byte().squeeze(-3).cpu().numpy()


def each_pair(views: Views, find: Callable[[Grey, Grey, int], Field]) -> Flow:
    """The flow that `find` gives for the k-th view of all (k counts over scenes too) and its next one."""
    image = views.image if views.image.ndim > 4 else views.image[None]
    if min(image.shape[-2:]) < SMALLEST:
        raise InputError(f"flow is sought in images of at least {SMALLEST} px along each side, not "
                         f"{list(image.shape[-2:])}: give larger ones")
    first = grey(image.flatten(0, -5))
    second = np.roll(first, -1, 1).reshape(-1, *first.shape[2:])
    pairs = zip(first.reshape(-1, *first.shape[2:]), second, strict=True)
    flow = np.stack([find(a, b, k) for k, (a, b) in enumerate(pairs)])
    return Flow(flow=torch.from_numpy(flow).to(views.image).movedim(-1, -3).reshape(
        *views.image.shape[:-3], 2, *views.image.shape[-2:]))


@dataclass(frozen=True)
class NoFlow:
    """Nothing moves."""

    def __call__(self, views: Views) -> Flow:
        image = views.image
        return Flow(flow=image.new_zeros(*image.shape[:-3], 2, *image.shape[-2:]))


@dataclass(frozen=True)
class Dis:
    """Dense inverse search (Kroeger et al. 2016)."""

    preset: str = "medium"               # a key of DIS_PRESETS
    finest: int = 0                      # scale 1 / 2^finest at which it stops; OpenCV's presets stop at 1 or 2

    def __call__(self, views: Views) -> Flow:
        dis = cv2.DISOpticalFlow.create(DIS_PRESETS[self.preset])
        dis.setFinestScale(self.finest)
        return each_pair(views, lambda a, b, _: dis.calc(a, b, None))  # type: ignore[call-overload]


@dataclass(frozen=True)
class Farneback:
    """Polynomial expansion (Farneback 2003)."""

    levels: int = 5
    window: int = 15                     # px
    iterations: int = 3
    neighbourhood: int = 5               # px, in which a polynomial is fitted; 5 goes with sigma 1.1, 7 with 1.5

    def __call__(self, views: Views) -> Flow:
        sigma = 1.1 if self.neighbourhood <= 5 else 1.5
        return each_pair(views, lambda a, b, _: cv2.calcOpticalFlowFarneback(
            a, b, None, 0.5, self.levels, self.window, self.iterations, self.neighbourhood, sigma, 0,  # type: ignore
        ))


@dataclass(frozen=True)
class Refined:
    """The flow of another method or system, refined by the variational energy of Brox 2004 at full size: the "+v" of
    Dosovitskiy 2015."""

    method: FlowMethod
    iterations: int = 5                  # of the outer loop, which linearises anew

    def __call__(self, views: Views) -> Flow:
        with torch.no_grad():
            given = self.method(views).flow
        start = given.movedim(-3, -1).reshape(-1, *given.shape[-2:], 2).float().cpu().numpy()
        refinement = cv2.VariationalRefinement.create()
        refinement.setFixedPointIterations(self.iterations)
        return each_pair(views, lambda a, b, k: refinement.calc(a, b, start[k].copy()))


FLOWS: dict[str, FlowMethod] = {
    "none": NoFlow(),
    "farneback": Farneback(),
    "dis_fast": Dis("fast"),
    "dis": Dis(),
}
