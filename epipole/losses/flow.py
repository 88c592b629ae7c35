"""Truth of flow or disparity at the sizes at which networks are compared with it."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def block_mean(
    x: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b 1 h w"], size: int
) -> tuple[Float[Tensor, "b c y x"], Bool[Tensor, "b 1 y x"]]:
    """Mean over the valid pixels of every block of size x size, and which blocks have any; blocks at the right and
    lower border may be smaller. A block without any is 0; what is invalid may be NaN. Values stay in pixels of the
    large image."""
    rim = (0, -x.shape[-1] % size, 0, -x.shape[-2] % size)
    total = F.avg_pool2d(F.pad(torch.where(valid, x, 0), rim), size)
    share = F.avg_pool2d(F.pad(valid.to(x.dtype), rim), size)
    known = share > 0
    return total / torch.where(known, share, 1), known
