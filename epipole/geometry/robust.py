"""Weights of iteratively reweighted least squares (Zhang 1997, table 1): how much a residual counts, 1 at zero.

Each is rho'(r) / r of its cost rho. `scale` has the unit of the residual; residuals far below it count fully.
"""

from jaxtyping import Float
from torch import Tensor


def huber(residual: Float[Tensor, "*b"], scale: float) -> Float[Tensor, "*b"]:
    """Quadratic to `scale`, linear beyond (Huber 1964)."""
    return scale / residual.abs().clamp(min=scale)


def cauchy(residual: Float[Tensor, "*b"], scale: float) -> Float[Tensor, "*b"]:
    """rho = scale^2 / 2 log(1 + (r / scale)^2)."""
    return 1 / (1 + (residual / scale) ** 2)


def tukey(residual: Float[Tensor, "*b"], scale: float) -> Float[Tensor, "*b"]:
    """The biweight (Beaton & Tukey 1974): residuals beyond `scale` do not count at all."""
    return (1 - (residual / scale) ** 2).clamp(min=0) ** 2


def geman_mcclure(residual: Float[Tensor, "*b"], scale: float) -> Float[Tensor, "*b"]:
    """rho = r^2 / 2 / (1 + (r / scale)^2) (Geman & McClure 1985)."""
    return 1 / (1 + (residual / scale) ** 2) ** 2
