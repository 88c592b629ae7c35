"""The papers' augmentation for flow and stereo, as a source around a source."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.warp import homography_warp
from ..geometry.window import covers, window, window_disparity, window_flow
from ..types.errors import InputError
from ..types.views import Views
from .source import Source

TRIES = 50         # windows drawn, of which the first that lies within the images is taken
KEPT = frozenset({"image", "flow", "flow_valid", "flow_known", "disparity", "disparity_valid", "baseline"})


@dataclass(frozen=True)
class Place:
    """Where the window lies that becomes the view. FlowNet's numbers (Dosovitskiy 2015, 4.3), except that the paper
    does not say how large the smaller transform is that sets a view apart from the first one."""

    shift: float = 0.2                          # share of the width, along x and y, either way
    turn: float = 17.0                          # degrees, either way
    zoom: tuple[float, float] = (0.9, 2.0)
    crop: float = 0.875                         # the window's sides as a share of the image's; the authors' 448 of 512
    shift_apart: float = 0.03                   # standard deviation, share of the window's width
    turn_apart: float = 1.7                     # standard deviation, degrees
    zoom_apart: float = 0.03                    # standard deviation of the logarithm


@dataclass(frozen=True)
class Light:
    """How light and colour change, all views of a sample alike but for the noise. FlowNet's numbers."""

    contrast: tuple[float, float] = (-0.8, 0.4)  # added to 1, the factor of what differs from the mean
    colour: tuple[float, float] = (0.5, 2.0)     # factor of each colour
    gamma: tuple[float, float] = (0.7, 1.5)
    brightness: float = 0.2                      # standard deviation
    noise: float = 0.04                          # standard deviation, at most


OF_FLOW = Place()
OF_STEREO = Place(turn=0.0, shift_apart=0.0, turn_apart=0.0, zoom_apart=0.0)
"""A turn, or what sets both views apart, would make rows of rectified pairs meet no more (Mayer 2016)."""


class Augmented:
    """The samples of a source, seen through another window under another light at every call.

    Only images, flow, disparity and baseline come along. Windows lie within the images; where none of many does, it is
    the middle. Raises ValueError for a place that turns rectified pairs.
    """

    def __init__(self, source: Source, place: Place, light: Light = Light()) -> None:
        self.source, self.place, self.light = source, place, light

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Views:
        views = self.source[index]
        H, W = views.image.shape[-2:]
        size = round(self.place.crop * H), round(self.place.crop * W)
        seen = through(views, drawn(self.place, len(views.image), (H, W), size), *size)
        return Views(**seen.fields() | {"image": relit(seen.image, self.light)})


def augmented(source: Source, needs: Collection[str], who: str) -> Augmented:
    """The source with the augmentation for a system of flow or stereo that needs these fields.

    Raises InputError, in the name of the system `who`, for any other.
    """
    if not set(needs) <= KEPT:
        raise InputError(f"there is augmentation for flow and stereo, not for {who}, which learns from "
                         f"{', '.join(sorted(set(needs) - KEPT))}: train it without")
    return Augmented(source, OF_STEREO if set(needs) & {"disparity", "baseline"} else OF_FLOW)


def drawn(place: Place, views: int, image: tuple[int, int], size: tuple[int, int]) -> Float[Tensor, "{views} 3 3"]:
    """A random window for each of the views, the later ones a little apart from the first."""
    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(TRIES, *shape).uniform_(low, high)

    turn, reach = math.radians(place.turn), place.shift * image[1]
    first = window(uniform(*place.zoom), uniform(-turn, turn), uniform(-reach, reach, 2), image, size)
    own = torch.randn(4, TRIES, views)
    own[..., 0] = 0
    shift = place.shift_apart * size[1] * own[2:].movedim(0, -1)
    apart = window((place.zoom_apart * own[0]).exp(), math.radians(place.turn_apart) * own[1], shift, size, size)
    A = first[:, None] @ apart
    good = covers(A, image, size).all(1).nonzero()[:, 0]
    middle = window(torch.ones(views), torch.zeros(views), torch.zeros(views, 2), image, size)
    return A[good[0]] if len(good) else middle


def through(views: Views, A: Float[Tensor, "n 3 3"], height: int, width: int) -> Views:
    """What of unbatched views is seen through a window of each."""
    fields = {"image": homography_warp(views.image, A, height, width)[0]}
    for name in ("flow_valid", "flow_known"):  # all that is valid is known, so the second one's flow serves both
        if name in views:
            found = window_flow(views.flow, views.fields()[name], A, A.roll(-1, 0), height, width)
            fields |= dict(zip(("flow", name), found, strict=True))
    if "disparity" in views:
        if A[:, 0, 1].any() or A[:, 1, 0].any() or (A[:1] != A).any():
            raise ValueError("rectified pairs are seen through the same window, which is not turned")
        disparity, known = window_disparity(views.disparity, views.disparity > 0, A, height, width)
        _, seen = window_disparity(views.disparity, views.disparity_valid, A, height, width)
        partner = torch.arange(width) - torch.tensor([1.0, -1.0])[:, None, None, None] * disparity
        seen = seen & (partner >= 0) & (partner <= width - 1)
        fields |= {"disparity": torch.where(known, disparity, 0), "disparity_valid": seen}
    if "baseline" in views:
        fields["baseline"] = views.baseline
    return Views(**fields)


def relit(image: Float[Tensor, "n c h w"], light: Light) -> Float[Tensor, "n c h w"]:
    """Images in [0, 1] under another light, with noise of their own."""
    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(shape).uniform_(low, high).to(image)

    mean = image.mean((0, -2, -1), keepdim=True)
    x = mean + (1 + uniform(*light.contrast)) * (image - mean)
    x = x.clamp(0, 1) * uniform(*light.colour, image.shape[1], 1, 1)
    x = x ** uniform(*light.gamma) + light.brightness * torch.randn(()).to(image)
    return (x + uniform(0.0, light.noise) * torch.randn_like(image)).clamp(0, 1)
