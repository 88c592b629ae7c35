"""A set of local descriptors as one vector: which words of a vocabulary they are near to, and on which side."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def vlad(words: Float[Tensor, "n d"], vocabulary: Float[Tensor, "k d"]) -> Float[Tensor, "k*d"]:
    """Vector of locally aggregated descriptors (Jegou et al. 2010): for every word of the vocabulary the sum of the
    residuals of the descriptors nearest to it, each sum brought to unit length (Arandjelovic & Zisserman 2013), then
    all of them together. Words that nothing is near to stay 0, and so does an image without descriptors."""
    nearest = torch.cdist(words, vocabulary).argmin(1)
    sums = torch.zeros_like(vocabulary).index_add(0, nearest, words - vocabulary[nearest])
    return F.normalize(F.normalize(sums, dim=1).flatten(), dim=0)
