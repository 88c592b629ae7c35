"""Losses weighed by an uncertainty that is learned beside them: one of every pixel (Kendall & Gal 2017) or one of every
task (Kendall 2018; Kendall & Cipolla 2017 for position and rotation). Both are likelihoods, up to a constant, so they
may be negative. Where the error stays as it is, the uncertainty settles at the error's own size. A task's uncertainty
starts at 0 and must not decay."""

from jaxtyping import Float
from torch import Tensor


def gaussian(square: Float[Tensor, "*s"], log_variance: Float[Tensor, "*#s"]) -> Float[Tensor, "*s"]:
    """exp(-s) square / 2 + s / 2 of a squared error, s = log sigma^2 (Kendall & Gal 2017).
    Least at s = log square."""
    return ((-log_variance).exp() * square + log_variance) / 2


def laplace(error: Float[Tensor, "*s"], log_scale: Float[Tensor, "*#s"]) -> Float[Tensor, "*s"]:
    """exp(-s) error + s of an absolute error, s the logarithm of Laplace's scale; the variance is 2 exp(2 s). Least at
    s = log error. Kendall & Cipolla 2017 weigh position and rotation so."""
    return (-log_scale).exp() * error + log_scale


def categorical(cross_entropy: Float[Tensor, "*s"], log_variance: Float[Tensor, "*#s"]) -> Float[Tensor, "*s"]:
    """exp(-s) cross_entropy + s / 2: about the cross-entropy of logits divided by sigma^2, exactly at s = 0 (Kendall
    2018). Least at s = log(2 cross_entropy)."""
    return (-log_variance).exp() * cross_entropy + log_variance / 2
