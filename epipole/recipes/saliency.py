"""What a network looks at when it says how far apart a pixel's two places are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..types.errors import InputError
from ..types.predictions import Disparity
from ..types.views import Views


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
