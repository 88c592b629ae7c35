"""What a network looks at when it says how far apart a pixel's two places are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

import torch
from jaxtyping import Float
from torch import Tensor

from ..types.errors import InputError
from ..types.predictions import Disparity
from ..types.views import Views
from .samples import Shape, parse_data, stereo_pairs
from .train import load_model


def saliency(
    predict: Callable[[Views], Disparity], views: Views, x: int, y: int
) -> Float[Tensor, "b n h w"]:
    """How strongly the disparity at (x, y) of view 0 depends on every pixel of all views: the largest |d disparity /
    d colour| of a pixel, relative to the largest in its scene, from 0 to 1 (Kendall 2017, figure 4). All 0 where it
    depends on none. The network's weights keep the gradients that they have.

    Raises InputError for a pixel outside, and for a prediction without a gradient.
    """
    h, w = views.image.shape[-2:]
    if not (0 <= x < w and 0 <= y < h):
        raise InputError(f"pixel ({x}, {y}) does not lie in images of {w}x{h} pixels")
    image = views.image.detach().requires_grad_()
    with torch.enable_grad():
        disparity = predict(Views(**views.fields() | {"image": image})).disparity
    if not disparity.requires_grad:
        raise InputError("this disparity has no gradient by the images: ask a network that is differentiable")
    (gradient,) = torch.autograd.grad(disparity[..., y, x].sum(), image, allow_unused=True, materialize_grads=True)
    strength = gradient.abs().amax(-3)
    largest = strength.amax((-3, -2, -1), keepdim=True)
    return strength / torch.where(largest > 0, largest, 1)


@dataclass(frozen=True)
class Regard:
    """A pair, what the disparity at (x, y) of its left image depends on, and that disparity (px)."""

    image: Float[Tensor, "2 3 h w"]
    saliency: Float[Tensor, "2 h w"]
    x: int
    y: int
    disparity: float


def regard(
    model: Path, data: str, index: int = 0, at: tuple[int, int] | None = None, width: int = 256
) -> Regard:
    """What a trained network for stereo looks at in one of the pairs of this name (see `samples`).

    model   the file that a training left, or its folder
    at      pixel (x, y) of the left image at this width; the middle by default

    Raises InputError for a model that predicts no disparity or none with a gradient, for data that are no rectified
    pairs, and for a pair or pixel that is not there.
    """
    system = load_model(model / "model.safetensors" if model.is_dir() else model)
    if not issubclass(get_type_hints(type(system).forward)["return"], Disparity):
        raise InputError(f"{model} predicts no disparity: give a network for stereo")
    with tempfile.TemporaryDirectory() as cache:
        pairs = stereo_pairs(parse_data(data), Shape(width=width), Path(cache), width)
        if not 0 <= index < len(pairs):
            raise InputError(f"{data} has pairs 0 to {len(pairs) - 1}, not {index}")
        views = Views.collate([pairs[index]]).keep(system.reads)
    h, w = views.image.shape[-2:]
    x, y = at or (w // 2, h // 2)
    found = saliency(system, views, x, y)[0]
    with torch.no_grad():
        disparity = system(views).disparity
    return Regard(views.image[0], found, x, y, float(disparity[0, 0, y, x]))
