"""A fully connected random field over ordered labels, solved by mean field (Kraehenbuehl & Koltun 2011, with the
compatibility of Cao 2016)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Crf:
    """Minimises sum_i -log P(x_i) + sum_{i<j} |x_i - x_j| k_ij over labels x = 0, 1, ..., with the kernel
    k_ij = w1 exp(-|p_i - p_j|^2 / 2 alpha^2 - |I_i - I_j|^2 / 2 beta^2) + w2 exp(-|p_i - p_j|^2 / 2 gamma^2)."""

    appearance: float = 0.02    # w1
    position: float = 8.0       # alpha, px
    colour: float = 0.1         # beta, for images in [0, 1]
    smoothness: float = 0.02    # w2
    reach: float = 1.0          # gamma, px
    iterations: int = 5


def mean_field(
    log_probability: Float[Tensor, "b l h w"], image: Float[Tensor, "b c h w"], crf: Crf
) -> Float[Tensor, "b l h w"]:
    """log Q of every label at every pixel, Q the product of distributions that all pixels update at once:
    Q_i(x) ~ P_i(x) exp(-sum_y |x - y| sum_{j != i} k_ij Q_j(y)). It holds the (h w)^2 numbers of the kernel in memory:
    a field for maps of a few thousand pixels."""
    kernel, unary = pairwise_kernel(image, crf), log_probability.flatten(2).log_softmax(1)
    label = torch.arange(unary.shape[1]).to(unary)
    gap, log_q = (label[:, None] - label).abs(), unary
    for _ in range(crf.iterations):
        log_q = (unary - gap @ (log_q.exp() @ kernel)).log_softmax(1)
    return log_q.unflatten(2, log_probability.shape[-2:])


def pairwise_kernel(image: Float[Tensor, "b c h w"], crf: Crf) -> Float[Tensor, "b n n"]:
    """k_ij of all pairs of pixels, row by row; a pixel has no part in itself."""
    height, width = image.shape[-2:]
    place = torch.cartesian_prod(torch.arange(height), torch.arange(width)).to(image)
    apart, contrast = _square_distances(place), _square_distances(image.flatten(2).mT)
    alike = torch.exp(-apart / (2 * crf.position**2) - contrast / (2 * crf.colour**2))
    kernel = crf.appearance * alike + crf.smoothness * torch.exp(-apart / (2 * crf.reach**2))
    return kernel * (1 - torch.eye(len(place)).to(kernel))


def _square_distances(x: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b n n"]:
    """Coordinate by coordinate, without a root, whose slope at 0 is not finite."""
    return sum((c[..., :, None] - c[..., None, :]).square() for c in x.unbind(-1))  # type: ignore[return-value]
