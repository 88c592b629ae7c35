"""Classes, ordered bins and pointers. Logits have their classes along dimension 1, as in torch.nn.functional;
unreduced: one value per pixel."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def information_gain(
    logits: Float[Tensor, "b l *s"], target: Int[Tensor, "b *s"], alpha: float = 0.2
) -> Float[Tensor, "b *s"]:
    """-sum over bins D of H(D*, D) log P(D), H(p, q) = exp(-alpha (p - q)^2) of bin indices: neighbours of the true
    bin share its credit (Cao 2016). H is not normalised; the best P is H / sum H; alpha without end gives
    cross-entropy."""
    bins = torch.arange(logits.shape[1]).to(logits)
    gain = torch.exp(-alpha * (target[..., None] - bins).square()).movedim(-1, 1)
    return -(gain * F.log_softmax(logits, 1)).sum(1)


def undecided(
    logits: Float[Tensor, "b l *s"], target: Int[Tensor, "b *s"], threshold: float
) -> Bool[Tensor, "b *s"]:
    """Where the true class has a probability below the threshold: the pixels still worth counting (Cao 2016)."""
    return F.cross_entropy(logits, target, reduction="none") > -math.log(threshold)


def _sampled(
    logits: Tensor, log_variance: Tensor, target: Tensor, noise: Tensor
) -> Float[Tensor, "t b *s"]:
    """log softmax(logits + sigma noise_t) of the true class, for every draw t."""
    draws = logits + (log_variance / 2).exp() * noise
    wanted = target.expand(len(noise), *target.shape).unsqueeze(2)
    return F.log_softmax(draws, 2).gather(2, wanted).squeeze(2)


def sampled_softmax(
    logits: Float[Tensor, "b l *s"],
    log_variance: Float[Tensor, "b #l *s"],
    target: Int[Tensor, "b *s"],
    noise: Float[Tensor, "t b l *s"],
) -> Float[Tensor, "b *s"]:
    """-log of the mean over draws t of softmax(logits + sigma noise_t) of the true class: cross-entropy under logits of
    which the network says how sure it is (Kendall & Gal 2017). `noise` is drawn from N(0, 1)."""
    return math.log(len(noise)) - _sampled(logits, log_variance, target, noise).logsumexp(0)


def sampled_cross_entropy(
    logits: Float[Tensor, "b l *s"],
    log_variance: Float[Tensor, "b #l *s"],
    target: Int[Tensor, "b *s"],
    noise: Float[Tensor, "t b l *s"],
) -> Float[Tensor, "b *s"]:
    """The mean over draws of the cross-entropy. Never below `sampled_softmax`, which averages probabilities before the
    logarithm, and in expectation never below the plain cross-entropy: it teaches sigma 0,
    however noisy the labels are."""
    return -_sampled(logits, log_variance, target, noise).mean(0)


def pointer(
    query: Float[Tensor, "b n c"],
    reference: Float[Tensor, "b m c"],
    target: Int[Tensor, "b n"],
    classes: Int[Tensor, "b m"],
    temperature: float = 1.0,
) -> tuple[Float[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """-log of the share of each query's softmax over all references that points at those of its class: the class is
    copied, not predicted (Vondrick 2018). Also where any reference has the query's class; the rest give 0."""
    score = query @ reference.mT / temperature
    right = target[..., None] == classes[:, None]
    possible = right.any(-1)
    found = score.masked_fill(~right, -torch.inf).logsumexp(-1)
    return torch.where(possible, score.logsumexp(-1) - found, 0), possible
