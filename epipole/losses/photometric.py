"""How different two images look. All maps are unreduced; `masked_mean` reduces them."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

C1, C2 = 0.01**2, 0.03**2  # of SSIM, for images in [0, 1]


def masked_mean(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*mask"]) -> Float[Tensor, ""]:
    """Mean of x where the mask (broadcast to x) is true: divided by the mask, not by all pixels, so that pushing pixels
    out of view does not pay. An empty mask gives 0; values under the mask may be anything, even NaN."""
    mask = mask.expand_as(x)
    return torch.where(mask, x, 0).sum() / mask.sum().clamp(min=1)


def dssim(a: Float[Tensor, "*b c h w"], b: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c y x"]:
    """clip((1 - SSIM) / 2, 0, 1) of images in [0, 1], over 3x3 boxes that lie inside: the map is (h-2) x (w-2)
    (Wang 2004; box and constants of Godard 2017)."""
    a, b = (x.float() if x.dtype.itemsize < 4 else x for x in (a, b))
    mean_a, mean_b = _box(a), _box(b)
    variance_a, variance_b = _box(a * a) - mean_a**2, _box(b * b) - mean_b**2
    covariance = _box(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    similarity = similarity / ((mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2))
    return ((1 - similarity) / 2).clamp(0, 1)


def erode(mask: Bool[Tensor, "*b 1 h w"]) -> Bool[Tensor, "*b 1 y x"]:
    """Where the whole 3x3 box is true (min-pool): the mask that belongs to `dssim`, (h-2) x (w-2)."""
    rows = mask[..., :-2, :] & mask[..., 1:-1, :] & mask[..., 2:, :]
    return rows[..., :-2] & rows[..., 1:-1] & rows[..., 2:]


def ssim_l1(
    a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"], ssim: float = 0.85
) -> Float[Tensor, "b 1 h w"]:
    """ssim * DSSIM + (1 - ssim) * L1, mean over channels, full size by reflection (Godard 2019, eq. 3)."""
    pad = (1, 1, 1, 1)
    structure = dssim(F.pad(a, pad, mode="reflect"), F.pad(b, pad, mode="reflect"))
    return (ssim * structure + (1 - ssim) * (a - b).abs()).mean(1, keepdim=True)


def _box(x: Tensor) -> Tensor:
    return F.avg_pool2d(x.flatten(0, -4), 3, 1).unflatten(0, x.shape[:-3]) if x.dim() > 3 else F.avg_pool2d(x, 3, 1)
