"""Images and their intrinsics at coarser sizes."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .camera import resize_intrinsics


def pyramid_level(
    image: Float[Tensor, "b n c h w"], K: Float[Tensor, "b n 3 3"], size: Sequence[int]
) -> tuple[Float[Tensor, "b n c y x"], Float[Tensor, "b n 3 3"]]:
    """A clip averaged down to (height, width), and its intrinsics with the half-pixel shift.

    Raises ValueError below 3 x 3 pixels, where neither SSIM nor a second derivative exists.
    """
    if min(size) < 3:
        raise ValueError(f"a pyramid level of {size[0]} x {size[1]} px is too small: give larger images")
    small = F.interpolate(image.flatten(0, 1), tuple(size), mode="area").unflatten(0, image.shape[:2])
    return small, resize_intrinsics(K, size[1] / image.shape[-1], size[0] / image.shape[-2])
