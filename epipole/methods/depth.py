"""Depth that looks at nothing."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..types.predictions import Depth
from ..types.views import Views


@dataclass(frozen=True)
class ConstantDepth:
    """One depth everywhere; by default one unit, which is all that is left where scale does not count."""

    depth: float = 1.0

    def __call__(self, views: Views) -> Depth:
        image = views.image
        return Depth(depth=torch.full_like(image[..., :1, :, :], self.depth))


@dataclass(frozen=True, eq=False)
class RowDepth:
    """One depth per row of the image, such as a training set's mean; between its rows it is interpolated linearly."""

    rows: Float[Tensor, "r"]             # from the image's top to its bottom

    def __call__(self, views: Views) -> Depth:
        image = views.image
        column = F.interpolate(self.rows[None, None, :, None], (image.shape[-2], 1), mode="bilinear")[0, 0]
        return Depth(depth=column.to(image).expand_as(image[..., 0, :, :]).unsqueeze(-3).clone())
