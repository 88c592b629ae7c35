"""What a model costs when some of the data do not belong to it: the scores of the RANSAC family.

Each has `cost` (lower is better) over the residuals of many models, `weight` of every datum for a refit, and `inliers`.
Residuals are distances in the unit of the threshold (pixels), >= 0.
"""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

QUANTILE = 3.6437  # 0.99 quantile of the chi distribution with 4 degrees of freedom
HALF = 1.5         # (4 - 1) / 2


@runtime_checkable
class Score(Protocol):
    """How residuals are judged."""

    def cost(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        """Of the whole model; lower is better."""
        ...

    def weight(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        """Of every datum when the model is fitted anew."""
        ...

    def inliers(self, residual: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        """Which data belong to the model."""
        ...


class Ransac(NamedTuple):
    """As many data as possible within the threshold (Fischler & Bolles 1981)."""

    threshold: float = 1.0

    def cost(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        return -self.weight(residual).sum(-1)

    def weight(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        return self.inliers(residual).to(residual)

    def inliers(self, residual: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        return residual < self.threshold


class Lmeds(NamedTuple):
    """Least median of squares (Rousseeuw 1984): needs no threshold, and more than half of the data to be right.

    `size` is that of a minimal sample: the robust standard deviation is 1.4826 (1 + 5 / (n - size)) sqrt(median r^2)
    (Rousseeuw & Leroy 1987), and what lies within 2.5 of it is an inlier.
    """

    size: int = 7

    def cost(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        return residual.square().median(-1).values

    def weight(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        return self.inliers(residual).to(residual)

    def inliers(self, residual: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        correction = 1.4826 * (1 + 5 / max(residual.shape[-1] - self.size, 1))
        return residual <= 2.5 * correction * self.cost(residual).sqrt()[..., None]


class Mlesac(NamedTuple):
    """Maximum likelihood (Torr & Zisserman 2000): residuals of inliers are Gaussian with `sigma`, of outliers uniform
    over `window`; the share of inliers follows by expectation maximisation for every model."""

    sigma: float = 0.5
    window: float = 100.0

    def cost(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        gaussian, share = self._mixture(residual)
        return -torch.log(share * gaussian + (1 - share) / self.window).sum(-1)

    def weight(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        return self._posterior(*self._mixture(residual))

    def inliers(self, residual: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        return residual < 1.96 * self.sigma

    def _mixture(self, residual: Tensor) -> tuple[Tensor, Tensor]:
        """Density of each residual as an inlier, and the share of inliers, which never quite reaches 0 or 1."""
        gaussian = torch.exp(-0.5 * (residual / self.sigma).square()) / (math.sqrt(2 * math.pi) * self.sigma)
        share = torch.full_like(residual[..., :1], 0.5)
        for _ in range(5):
            share = self._posterior(gaussian, share).mean(-1, keepdim=True).clamp(1e-3, 1 - 1e-3)
        return gaussian, share

    def _posterior(self, gaussian: Tensor, share: Tensor) -> Tensor:
        return share * gaussian / (share * gaussian + (1 - share) / self.window)


class Magsac(NamedTuple):
    """Marginalised over the noise (MAGSAC++, Barath et al. 2020): inliers' residuals are chi-distributed with four
    degrees of freedom and a sigma that is uniform up to threshold / 3.64 (the 99 % quantile); beyond the threshold a
    datum counts as an outlier whatever sigma is."""

    threshold: float = 3.0

    def cost(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
        """Sum of rho(r), with rho'(r) = r w(r), scaled to 1 beyond the threshold."""
        end = self._loss(torch.tensor(self.threshold).to(residual))
        return (self._loss(residual.clamp(max=self.threshold)) / end).sum(-1)

    def weight(self, residual: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
        """w(r) ~ Gamma(3/2, r^2 / 2 sigma^2) - Gamma(3/2, 3.64^2 / 2), scaled to 1 at r = 0."""
        rest = self._upper(torch.tensor(self.threshold).to(residual))
        within = (self._upper(residual.clamp(max=self.threshold)) - rest) / (1 - rest)
        return torch.where(residual < self.threshold, within, 0.0)

    def inliers(self, residual: Float[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        """Within the threshold."""
        return residual < self.threshold

    def _half_square(self, residual: Tensor) -> Tensor:
        return 0.5 * (residual * (QUANTILE / self.threshold)).square()

    def _upper(self, residual: Tensor) -> Tensor:
        """Gamma(3/2, r^2 / 2 sigma^2) / Gamma(3/2), with the largest sigma."""
        return torch.special.gammaincc(torch.full_like(residual, HALF), self._half_square(residual))

    def _loss(self, residual: Tensor) -> Tensor:
        """rho up to a factor: (gamma(5/2, z) + z (Gamma(3/2, z) - Gamma(3/2, z_max))) / Gamma(3/2) with
        z = r^2 / 2 sigma^2."""
        z, rest = self._half_square(residual), self._upper(torch.tensor(self.threshold).to(residual))
        lower = HALF * torch.special.gammainc(torch.full_like(z, HALF + 1), z)
        return lower + z * (self._upper(residual) - rest)
