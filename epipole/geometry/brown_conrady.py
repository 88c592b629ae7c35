"""Brown-Conrady lens, radial and tangential: OpenCV's plain model, COLMAP's OPENCV, SIMPLE_RADIAL and RADIAL."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .lenses import perspective, perspective_jacobian, unit_rays

ITERATIONS = 30   # of Newton's method, which doubles the digits; most are for strong lenses far out
EXACT = 1e3       # roundings by which the bent solution may miss, to count as one


class BrownConrady(NamedTuple):
    """x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2), and likewise y' with p1 and p2 swapped
    (Brown 1971, in OpenCV's order of coefficients). A barrel lens folds back far out: what lies beyond the fold is
    not seen."""

    K: Float[Tensor, "*b 3 3"]
    k1: Float[Tensor, "*b"]
    k2: Float[Tensor, "*b"]
    p1: Float[Tensor, "*b"]
    p2: Float[Tensor, "*b"]
    k3: Float[Tensor, "*b"]

    def bend(self, points: Float[Tensor, "*b 3 h w"]) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
        xy, _, front = perspective(points)
        return self._distort(xy), front & _unfolded(self._distort_jacobian(xy.detach()))

    def straighten(
        self, plane: Float[Tensor, "*b 2 h w"]
    ) -> tuple[Float[Tensor, "*b 3 h w"], Bool[Tensor, "*b 1 h w"]]:
        """Newton's method without gradients; one more step, with them, gives the implicit gradient exactly."""
        with torch.no_grad():
            xy = plane
            for _ in range(ITERATIONS):
                xy = xy - self._newton_step(xy, plane)
            miss = (self._distort(xy) - plane).abs().amax(-3, keepdim=True)
            scale = EXACT * torch.finfo(plane.dtype).eps * (1 + plane.abs().amax(-3, keepdim=True))
            seen = (miss < scale) & _unfolded(self._distort_jacobian(xy))
            xy = torch.where(seen, xy, torch.zeros_like(xy))
        return unit_rays(torch.where(seen, xy - self._newton_step(xy, plane), xy)), seen

    def bend_jacobians(
        self, points: Float[Tensor, "*b 3 h w"]
    ) -> tuple[Float[Tensor, "*b 2 3 h w"], Float[Tensor, "*b 2 5 h w"]]:
        xy, _, _ = perspective(points)
        by_point = torch.einsum("...ijhw,...jkhw->...ikhw", self._distort_jacobian(xy), perspective_jacobian(points))
        return by_point, self._by_parameters(xy)

    def _distort(self, xy: Tensor) -> Tensor:
        k1, k2, p1, p2, k3 = (c[..., None, None] for c in self[1:])
        x, y = xy.unbind(-3)
        s = x * x + y * y
        radial = 1 + s * (k1 + s * (k2 + s * k3))
        return torch.stack([x * radial + 2 * p1 * x * y + p2 * (s + 2 * x * x),
                            y * radial + p1 * (s + 2 * y * y) + 2 * p2 * x * y], -3)

    def _distort_jacobian(self, xy: Tensor) -> Tensor:
        k1, k2, p1, p2, k3 = (c[..., None, None] for c in self[1:])
        x, y = xy.unbind(-3)
        s = x * x + y * y
        radial, slope = 1 + s * (k1 + s * (k2 + s * k3)), 2 * (k1 + s * (2 * k2 + 3 * s * k3))
        cross = x * y * slope + 2 * p1 * x + 2 * p2 * y
        first = torch.stack([radial + x * x * slope + 2 * p1 * y + 6 * p2 * x, cross], -3)
        return torch.stack([first, torch.stack([cross, radial + y * y * slope + 6 * p1 * y + 2 * p2 * x], -3)], -4)

    def _by_parameters(self, xy: Tensor) -> Tensor:
        x, y = xy.unbind(-3)
        s = x * x + y * y
        rows = [[x * s, x * s**2, 2 * x * y, s + 2 * x * x, x * s**3],
                [y * s, y * s**2, s + 2 * y * y, 2 * x * y, y * s**3]]
        return torch.stack([torch.stack(row, -3) for row in rows], -4)

    def _newton_step(self, xy: Tensor, plane: Tensor) -> Tensor:
        """J^-1 (distort(xy) - plane), with a constant J; at most 1 in each coordinate, against leaps off a fold."""
        with torch.no_grad():
            J = self._distort_jacobian(xy)
            determinant = _determinant(J)
            flat = determinant.abs() < torch.finfo(J.dtype).eps
            a, b, c, d = J[..., 0, 0, :, :], J[..., 0, 1, :, :], J[..., 1, 0, :, :], J[..., 1, 1, :, :]
            inverse = torch.stack([torch.stack([d, -b], -3), torch.stack([-c, a], -3)], -4)
            inverse = inverse / torch.where(flat, torch.ones_like(a), determinant)[..., None, None, :, :]
        return torch.einsum("...ijhw,...jhw->...ihw", inverse, self._distort(xy) - plane).clamp(-1, 1)


def _determinant(J: Tensor) -> Tensor:
    return J[..., 0, 0, :, :] * J[..., 1, 1, :, :] - J[..., 0, 1, :, :] * J[..., 1, 0, :, :]


def _unfolded(J: Tensor) -> Tensor:
    """Where the image grows outwards along both axes: both eigenvalues are positive."""
    return ((_determinant(J) > 0) & (J[..., 0, 0, :, :] + J[..., 1, 1, :, :] > 0))[..., None, :, :]
