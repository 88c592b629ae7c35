"""Bilinear look-up: the only caller of grid_sample."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def sample(
    image: Float[Tensor, "b c h w"], pixels: Float[Tensor, "b 2 y x"], mode: str = "bilinear"
) -> tuple[Float[Tensor, "b c y x"], Bool[Tensor, "b 1 y x"]]:
    """Look-up at pixel coordinates, and where all four neighbours lay inside: the principled mask of Mahjourian 2018
    (their x0 >= 0, x0 + 1 <= W - 1), except that a look-up right on the last pixel counts as inside."""
    h, w = image.shape[-2:]
    size = torch.tensor([max(w - 1, 1), max(h - 1, 1)]).to(pixels)
    at = 2 * pixels.movedim(1, -1) / size - 1
    inside = ((pixels >= 0) & (pixels <= size[:, None, None])).all(1, keepdim=True)
    return F.grid_sample(image, at, mode=mode, align_corners=True, padding_mode="border"), inside
