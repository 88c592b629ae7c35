"""Structural similarity of images of which some pixels count more than others (Gordon 2019)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def weighted_structure(
    a: Float[Tensor, "b c h w"],
    b: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "b 1 h w"],
    c2: float = 9e-6,
    epsilon: float = 0.01,
) -> tuple[Float[Tensor, "b c y x"], Float[Tensor, "b 1 y x"]]:
    """clip((1 - s) / 2, 0, 1) with s = (2 cov(a, b) + c2) / (var a + var b + c2): SSIM without its comparison of means
    (c1 = infinity), and the mean weight, of the 3x3 boxes that lie inside. In the moments a pixel counts by
    weight + epsilon. Lower precision counts as float32."""
    a, b = (x.float() - 0.5 if x.dtype.itemsize < 4 else x - 0.5 for x in (a, b))  # near 0 moments are less rounded
    weight = weight.to(a)
    pooled = F.avg_pool2d(weight, 3, 1)

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x * (weight + epsilon), 3, 1) / (pooled + epsilon)

    mean_a, mean_b = mean(a), mean(b)
    covariance = mean(a * b) - mean_a * mean_b
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    similarity = (2 * covariance + c2) / (variances + c2)
    return ((1 - similarity) / 2).clamp(0, 1), pooled
