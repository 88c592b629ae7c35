"""Structural similarity under a Gaussian window: the one to judge by. To train by, `ssim.dssim` is cheaper."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .ssim import C1, C2


def gaussian_ssim(
    a: Float[Tensor, "*b c h w"], b: Float[Tensor, "*b c h w"], size: int = 11, sigma: float = 1.5
) -> Float[Tensor, "*b c y x"]:
    """SSIM in [-1, 1] of images in [0, 1], over the size x size windows that lie inside (Wang 2004).

    Raises ValueError if the image is smaller than the window."""
    if min(a.shape[-2:]) < size:
        raise ValueError(f"SSIM over {size}x{size} windows needs images of at least that size, not {tuple(a.shape)}")
    mean_a, mean_b, square_a, square_b, product = _blur(torch.stack([a, b, a * a, b * b, a * b]), size, sigma)
    variances, covariance = square_a - mean_a**2 + square_b - mean_b**2, product - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    return similarity / ((mean_a**2 + mean_b**2 + C1) * (variances + C2))


def _blur(x: Tensor, size: int, sigma: float) -> Tensor:
    at = torch.arange(size).to(x) - (size - 1) / 2
    kernel = torch.softmax(-at.square() / (2 * sigma**2), 0)
    flat = x.reshape(-1, 1, *x.shape[-2:])
    flat = F.conv2d(F.conv2d(flat, kernel[None, None, :, None]), kernel[None, None, None])
    return flat.view(*x.shape[:-2], *flat.shape[-2:])
