"""Metric learning: descriptors near where they belong together, far where not. Unreduced: one value per pair."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.camera import pixel_grid
from ..geometry.sample import sample

ROWS = 256  # queries that are compared with a whole map at a time, which bounds memory


def contrastive(
    a: Float[Tensor, "*n c"], b: Float[Tensor, "*n c"], same: Bool[Tensor, "*n"], margin: float = 1.0
) -> Float[Tensor, "*n"]:
    """|a - b|^2 / 2 where the two belong together, max(0, margin - |a - b|)^2 / 2 where not (Hadsell 2006)."""
    distance = (a - b).norm(dim=-1)
    return torch.where(same, distance, (margin - distance).clamp(min=0)).square() / 2


def hinge(
    similarity: Float[Tensor, "*n"],
    same: Bool[Tensor, "*n"],
    positive_margin: float = 1.0,
    negative_margin: float = 0.2,
    balance: float = 250.0,
) -> Float[Tensor, "*n"]:
    """balance * max(0, positive_margin - s) where the two belong together, max(0, s - negative_margin) where not, for
    similarities s, such as dot products (DeTone 2018). The balance makes up for how few belong together."""
    attract, repel = (positive_margin - similarity).clamp(min=0), (similarity - negative_margin).clamp(min=0)
    return torch.where(same, balance * attract, repel)


def hardest_in_batch(
    anchor: Float[Tensor, "*b n c"], positive: Float[Tensor, "*b n c"]
) -> tuple[Float[Tensor, "*b n"], Float[Tensor, "*b n"]]:
    """|a_i - p_i|, and the distance to the nearest that does not belong: the least |a_i - p_j| or |a_j - p_i|, j != i
    (Mishchuk 2017). A lone pair has none: inf. Any triplet loss takes the two."""
    distance = torch.cdist(anchor, positive, compute_mode="donot_use_mm_for_euclid_dist")
    own = torch.eye(distance.shape[-1], dtype=torch.bool, device=distance.device)
    others = distance.masked_fill(own, torch.inf)
    return distance.diagonal(dim1=-2, dim2=-1), torch.minimum(others.amin(-1), others.amin(-2))


class Correspondence(NamedTuple):
    """The two parts of the correspondence contrastive loss, one value per query."""

    positive: Float[Tensor, "b n"]   # from the true match
    negative: Float[Tensor, "b n"]   # from the wrong place that looks most alike; 0 where none was found
    mined: Bool[Tensor, "b n"]       # where that place is farther than the radius from the true match


def correspondence_contrastive(
    features_a: Float[Tensor, "b c h w"],
    features_b: Float[Tensor, "b c y x"],
    pixels_a: Float[Tensor, "b n 2"],
    pixels_b: Float[Tensor, "b n 2"],
    radius: float,
    margin: float = 1.0,
) -> Correspondence:
    """Contrastive loss between dense features at corresponding pixels (u, v), interpolated, and against hard negatives:
    each query's nearest neighbour among all pixels of b, if it lies more than `radius` pixels off (Choy 2016).
    Features should be of unit length along c: without that a margin means nothing."""
    a, b = _at(features_a, pixels_a), _at(features_b, pixels_b)
    wrong = _most_alike(a.detach(), features_b.detach())
    mined = (wrong - pixels_b).norm(dim=-1) > radius
    yes = torch.ones_like(mined)
    negative = contrastive(a, _at(features_b, wrong), ~yes, margin)
    return Correspondence(contrastive(a, b, yes), torch.where(mined, negative, 0), mined)


def _at(features: Tensor, pixels: Tensor) -> Tensor:
    """[b, n, c]: features at pixels [b, n, 2]."""
    return sample(features, pixels.mT[..., None])[0][..., 0].mT


def _most_alike(queries: Tensor, features: Tensor) -> Tensor:
    """[b, n, 2]: the pixel of the feature nearest to each query."""
    flat, height, width = features.flatten(2), features.shape[-2], features.shape[-1]
    half_square = flat.square().sum(1, keepdim=True) / 2
    parts = [(half_square - part @ flat).argmin(-1) for part in queries.split(ROWS, 1)]
    grid = pixel_grid(height, width, features).flatten(1).T
    return grid[torch.cat(parts, 1)]
