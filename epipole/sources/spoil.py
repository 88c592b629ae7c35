"""Images made worse, in ways that are stated: what is still seen in them by a system that was taught on good ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..types.errors import InputError
from ..types.views import Views
from .source import Source
from .worlds.render import GAMMA

LIGHT = 0.02        # share of the light that is left in the dark
READ = 0.002        # standard deviation of the read noise in it, full range = 1
STREAK = 1 / 12     # of the width, along which an image is smeared

Image = Float32[np.ndarray, "h w 3"]


def dark(image: Image, rng: np.random.Generator) -> Image:
    """A `LIGHT` of the light, with read noise, in 8 bits."""
    light = LIGHT * image**GAMMA + READ * rng.standard_normal(image.shape, np.float32)
    return (np.round(255 * np.clip(light, 0, 1) ** (1 / GAMMA)) / 255).astype(np.float32)


def blur(image: Image, rng: np.random.Generator) -> Image:
    """The mean over a line of `STREAK` of the width, whose direction is drawn."""
    reach = max(1, round(STREAK * image.shape[1] / 2))
    line = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    line[reach] = 1
    turn = cv2.getRotationMatrix2D((reach, reach), math.degrees(rng.uniform(0, math.pi)), 1.0)
    kernel = cv2.warpAffine(line, turn, line.shape)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE).astype(np.float32)


@dataclass(frozen=True)
class Way:
    """One of spoiling an image, and what is said of it."""

    make: Callable[[Image, np.random.Generator], Image]
    about: str


WAYS = {
    "dark": Way(dark, f"seen in {100 * LIGHT:g} % of the light, with read noise of {100 * READ:g} % of the full range"),
    "blur": Way(blur, f"smeared along a line of 1/{1 / STREAK:.0f} of the width, in another direction in every image"),
}


class Spoiled:
    """The views of a source with worse images, at the size that they come in; the same ones each time, because what is
    random follows from the index. Raises InputError for a way that there is not."""

    def __init__(self, source: Source, way: str) -> None:
        if way not in WAYS:
            raise InputError(f"images are not spoiled by '{way}': choose from {', '.join(WAYS)}")
        self.source, self.way = source, WAYS[way]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Views:
        i = range(len(self))[index]
        views, rng = self.source[i], np.random.default_rng(i)
        return Views(**views.fields() | {"image": torch.stack([self._made(image, rng) for image in views.image])})

    def _made(self, image: Float[Tensor, "3 h w"], rng: np.random.Generator) -> Float[Tensor, "3 h w"]:
        made = self.way.make(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), rng)
        return torch.from_numpy(made).permute(2, 0, 1).contiguous()
