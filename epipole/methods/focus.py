"""Depth from focus without learning: the slice of a focal stack that is sharpest."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..types.errors import InputError
from ..types.predictions import Depth
from ..types.views import Views

LAPLACE = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class SharpestSlice:
    """The distance of focus of the slice whose Laplacian varies most around a pixel (Pech-Pacheco et al. 2000); reads
    `image` and `focus`. Where nothing varies it is the first slice's."""

    window: int = 9                 # px, odd

    def __call__(self, views: Views) -> Depth:
        """Depth (m), the same for every slice. Raises InputError for less than two slices."""
        if views.image.shape[-4] < 2:
            raise InputError("depth from focus compares slices: give two or more of each scene")
        best = self.sharpness(views.image).argmax(-4, keepdim=True)
        focus = views.focus[..., None, None, None].expand(*views.image.shape[:-3], 1, *views.image.shape[-2:])
        return Depth(depth=focus.gather(-4, best.expand_as(focus)))

    def sharpness(self, image: Float[Tensor, "*b n c h w"]) -> Float[Tensor, "*b n 1 h w"]:
        """Variance of the Laplacian in the window, the mean over the colours."""
        flat, kernel = image.reshape(-1, 1, *image.shape[-2:]), torch.tensor(LAPLACE).to(image)[None, None]
        edges = F.conv2d(F.pad(flat, (1, 1, 1, 1), "replicate"), kernel)
        mean, square = (self._mean(x) for x in (edges, edges.square()))
        return (square - mean.square()).clamp(min=0).reshape(image.shape).mean(-3, keepdim=True)

    def _mean(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        return F.avg_pool2d(x, self.window, 1, self.window // 2, count_include_pad=False)
