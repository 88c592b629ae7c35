"""Which images of a clip show the same place: local features, a vocabulary learned from the clip itself, one vector an
image (VLAD), and the images whose vectors are near though they are far apart in time."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy.cluster.vq import kmeans2
from torch import Tensor

from ..geometry.vlad import vlad

Gray = UInt8[np.ndarray, "h w"]

FEATURES = 500          # of an image, the strongest
LOWE = 0.8              # the second best match must be this much farther (Lowe 2004)
WORDS = 64              # of a vocabulary
SAMPLE = 50_000         # descriptors of which it is learned (as NetVLAD's start, Arandjelovic et al. 2016)
ROUNDS = 20             # of k-means
AT_ONCE = 512           # images held against all others together


class Features(NamedTuple):
    """Points (u, v) in pixels with unit descriptors, strongest first."""

    points: Float[Tensor, "n 2"]
    words: Float[Tensor, "n d"]


FeatureMethod = Callable[[Gray], Features]
"""What finds and describes points: `root_sift`, or a learned system."""


def root_sift(gray: Gray) -> Features:
    """SIFT (Lowe 2004) as RootSIFT (Arandjelovic & Zisserman 2012), whose dot product is the Hellinger kernel."""
    found, words = cv2.SIFT.create(FEATURES).detectAndCompute(gray, None)
    if words is None:
        return Features(torch.zeros(0, 2), torch.zeros(0, 128))
    order = np.argsort([-f.response for f in found], kind="stable")[:FEATURES]  # ties may give more than asked for
    root = np.sqrt(words[order] / np.maximum(words[order].sum(1, keepdims=True), 1e-9))
    return Features(torch.tensor([found[i].pt for i in order]), torch.from_numpy(root))


def matched(first: Features, second: Features) -> Int[Tensor, "m 2"]:
    """Numbers of features that are each other's nearest and pass the ratio test: row by row one of the first and one of
    the second image."""
    if min(len(first.words), len(second.words)) < 2:
        return torch.zeros(0, 2, dtype=torch.long)
    similarity = first.words @ second.words.T
    best, column = torch.topk(similarity, 2, 1)
    clear = (1 - best[:, 0]) < LOWE**2 * (1 - best[:, 1])  # |x - y|^2 = 2 - 2 x y for unit vectors
    row = torch.arange(len(similarity))
    keep = clear & (similarity.argmax(0)[column[:, 0]] == row)
    return torch.stack([row[keep], column[keep, 0]], 1)


def learn_vocabulary(words: Sequence[Float[Tensor, "_ d"]], size: int = WORDS, seed: int = 0) -> Float[Tensor, "k d"]:
    """The centres of k-means (started by k-means++) over descriptors of all images, at most `SAMPLE` of them and no
    more centres than a tenth of them. The same for the same seed."""
    every = torch.cat(list(words)).numpy()
    generator = np.random.default_rng(seed)
    some = every[np.sort(generator.permutation(len(every))[:SAMPLE])].astype(np.float64)
    size = max(1, min(size, len(some) // 10))
    centres, _ = kmeans2(some, size, ROUNDS, minit="++", seed=generator)
    return torch.from_numpy(centres).float()


def describe(words: Iterable[Float[Tensor, "_ d"]], vocabulary: Float[Tensor, "k d"]) -> Float[Tensor, "m k*d"]:
    """One vector an image. The mean over the images is taken off: what all of a clip has in common tells no place."""
    row = np.dtype((np.float32, vocabulary.numel()))  # each goes to its place: a stack would hold all of them twice
    each = torch.from_numpy(np.fromiter((vlad(one, vocabulary).numpy() for one in words), row))
    each -= each.mean(0)
    return torch.nn.functional.normalize(each, dim=1, out=each)


def candidates(places: Float[Tensor, "n d"], apart: int, most: int) -> list[tuple[int, int]]:
    """Pairs (a, b), b at least `apart` images after a, of which one is among the `most` nearest of the other; most
    alike first."""
    n, i = len(places), torch.arange(len(places))
    found = []
    for rows in i.split(AT_ONCE):
        similarity = (places[rows] @ places.T).masked_fill((rows[:, None] - i).abs() < apart, -torch.inf)
        found.append(torch.topk(similarity, min(most, n), 1))
    best, which = (torch.cat(parts) for parts in zip(*found, strict=True))
    a, rank = (best > -torch.inf).nonzero().unbind(1)
    b = which[a, rank]
    unlike = dict(zip(zip(torch.minimum(a, b).tolist(), torch.maximum(a, b).tolist(), strict=True),
                      (-best[a, rank]).tolist(), strict=True))
    return sorted(unlike, key=lambda pair: (unlike[pair], pair))
