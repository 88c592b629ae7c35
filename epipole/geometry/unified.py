"""Unified and extended unified cameras: a sphere or ellipsoid, then a pinhole beside its centre, for wide lenses and
mirrors; both directions in closed form."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import NEAR


class ExtendedUnified(NamedTuple):
    """(x', y') = (x, y) / (alpha d + (1 - alpha) z) with d^2 = beta (x^2 + y^2) + z^2 (Khomutenko et al. 2016, eq. 21).

    0 <= alpha <= 1, beta > 0; sees what Usenko et al. 2018, eq. 24-29 say.
    """

    K: Float[Tensor, "*b 3 3"]
    alpha: Float[Tensor, "*b"]
    beta: Float[Tensor, "*b"]

    def bend(self, points: Float[Tensor, "*b 3 h w"]) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
        denominator, _, seen = self._denominator(points)
        return points[..., :2, :, :] / denominator, seen

    def straighten(
        self, plane: Float[Tensor, "*b 2 h w"]
    ) -> tuple[Float[Tensor, "*b 3 h w"], Bool[Tensor, "*b 1 h w"]]:
        """Khomutenko et al. 2016, eq. 28."""
        alpha, beta = self._parameters()
        square = beta * (plane * plane).sum(-3, keepdim=True)
        root = 1 - (2 * alpha - 1) * square
        seen = root > 0
        root = torch.where(seen, root, torch.ones_like(root)).sqrt()
        z = (1 - alpha**2 * square) / (alpha * root + 1 - alpha)
        ray = torch.cat([plane, torch.where(seen, z, torch.ones_like(z))], -3)
        return ray / ray.norm(dim=-3, keepdim=True), seen

    def bend_jacobians(
        self, points: Float[Tensor, "*b 3 h w"]
    ) -> tuple[Float[Tensor, "*b 2 3 h w"], Float[Tensor, "*b 2 p h w"]]:
        alpha, beta = self._parameters()
        xy, z = points[..., :2, :, :], points[..., 2:, :, :]
        denominator, d, _ = self._denominator(points)
        gradient = torch.cat([alpha * beta * xy / d, alpha * z / d + 1 - alpha], -3)
        scaled = (xy / denominator**2)[..., None, :, :]
        eye = torch.eye(2, 3).to(points)[..., None, None]
        by_point = eye / denominator[..., None, :, :] - scaled * gradient[..., None, :, :, :]
        by_beta = alpha * (xy * xy).sum(-3, keepdim=True) / (2 * d)
        return by_point, -scaled * torch.cat([d - z, by_beta], -3)[..., None, :, :, :]

    def _parameters(self) -> tuple[Tensor, Tensor]:
        return self.alpha[..., None, None, None], self.beta[..., None, None, None]

    def _denominator(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """alpha d + (1 - alpha) z, d, and which points are seen; the others' denominator counts as 1."""
        alpha, beta = self._parameters()
        xy, z = points[..., :2, :, :], points[..., 2:, :, :]
        square = beta * (xy * xy).sum(-3, keepdim=True) + z * z
        apart = square > NEAR**2
        d = torch.where(apart, square, torch.ones_like(square)).sqrt()
        value = alpha * d + (1 - alpha) * z
        limit = torch.minimum(alpha, 1 - alpha) / torch.maximum(alpha, 1 - alpha)
        seen = apart & (z > -limit * d) & (value > NEAR * d)
        return torch.where(seen, value, torch.ones_like(value)), d, seen


class Unified(NamedTuple):
    """The extended model with beta = 1, a true sphere (Geyer & Daniilidis 2000; Mei & Rives 2007)."""

    K: Float[Tensor, "*b 3 3"]
    alpha: Float[Tensor, "*b"]

    @classmethod
    def from_mei(cls, K: Float[Tensor, "*b 3 3"], xi: Float[Tensor, "*b"]) -> "Unified":
        """From Mei's xi and his K, whose focal length is 1 + xi times longer: (x', y') = (x, y) / (z + xi |X|)."""
        shorter = torch.stack([1 / (1 + xi), 1 / (1 + xi), torch.ones_like(xi)], -1)
        focal = torch.diag_embed(torch.diagonal(K, dim1=-2, dim2=-1))
        return cls(K - focal + focal * shorter[..., None], xi / (1 + xi))

    def bend(self, points: Float[Tensor, "*b 3 h w"]) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
        return self._extended().bend(points)

    def straighten(
        self, plane: Float[Tensor, "*b 2 h w"]
    ) -> tuple[Float[Tensor, "*b 3 h w"], Bool[Tensor, "*b 1 h w"]]:
        return self._extended().straighten(plane)

    def bend_jacobians(
        self, points: Float[Tensor, "*b 3 h w"]
    ) -> tuple[Float[Tensor, "*b 2 3 h w"], Float[Tensor, "*b 2 p h w"]]:
        by_point, by_lens = self._extended().bend_jacobians(points)
        return by_point, by_lens[..., :1, :, :]

    def _extended(self) -> ExtendedUnified:
        return ExtendedUnified(self.K, self.alpha, torch.ones_like(self.alpha))
