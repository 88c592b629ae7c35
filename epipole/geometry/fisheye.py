"""Fisheye lens: OpenCV's fisheye model, COLMAP's OPENCV_FISHEYE; also called KB4 and equidistant."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .camera import NEAR
from .motion import angle_series

ITERATIONS = 30   # of Newton's method
EXACT = 1e3       # roundings by which the bent solution may miss, to count as one


class Fisheye(NamedTuple):
    """r' = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8) for a ray at angle theta from the axis
    (Kannala & Brandt 2006, eq. 6). Sees behind the plane z = 0, unlike OpenCV, as far as r' grows with theta."""

    K: Float[Tensor, "*b 3 3"]
    k1: Float[Tensor, "*b"]
    k2: Float[Tensor, "*b"]
    k3: Float[Tensor, "*b"]
    k4: Float[Tensor, "*b"]

    def bend(self, points: Float[Tensor, "*b 3 h w"]) -> tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]:
        xy = points[..., :2, :, :]
        theta_per_r, q, apart = _angle(points)
        stretch, slope = self._stretch(q)
        return xy * theta_per_r * stretch, apart & (slope > 0) & (stretch > 0)

    def straighten(
        self, plane: Float[Tensor, "*b 2 h w"]
    ) -> tuple[Float[Tensor, "*b 3 h w"], Bool[Tensor, "*b 1 h w"]]:
        """Newton's method for q = theta^2, in which everything is smooth on the axis; the last step has gradients and
        gives the implicit one exactly."""
        square = (plane * plane).sum(-3, keepdim=True)
        with torch.no_grad():
            q = square
            for _ in range(ITERATIONS):
                q = (q - self._newton_step(q, square)).clamp(0, math.pi**2)
            stretch, slope = self._stretch(q)
            miss = (q * stretch**2 - square).abs()
            seen = (miss < EXACT * torch.finfo(q.dtype).eps * (1 + square)) & (slope > 0) & (stretch > 0)
            q = torch.where(seen, q, torch.zeros_like(q))
        q = torch.where(seen, q - self._newton_step(q, square), q)
        cosine, sine_per_theta = angle_series(q, (0, 1))
        xy = plane * sine_per_theta / torch.where(seen, self._stretch(q)[0], torch.ones_like(q))
        axis = torch.cat([torch.zeros_like(xy), torch.ones_like(q)], -3)
        return torch.where(seen, torch.cat([xy, cosine], -3), axis), seen

    def bend_jacobians(
        self, points: Float[Tensor, "*b 3 h w"]
    ) -> tuple[Float[Tensor, "*b 2 3 h w"], Float[Tensor, "*b 2 4 h w"]]:
        """Along the radius r' changes by slope z / |X|^2, across it the point turns with r' / r."""
        xy, z = points[..., :2, :, :], points[..., 2:, :, :]
        theta_per_r, q, apart = _angle(points)
        stretch, slope = self._stretch(q)
        across, length = theta_per_r * stretch, torch.where(apart, (points * points).sum(-3, keepdim=True), 1)
        r = (xy * xy).sum(-3, keepdim=True)
        unit = xy / torch.where(r > 0, r, torch.ones_like(r)).sqrt()
        outer = unit[..., :, None, :, :] * unit[..., None, :, :, :]
        across, along = across[..., None, :, :], (slope * z / length)[..., None, :, :]
        by_xy = across * (torch.eye(2).to(points)[..., None, None] - outer) + along * outer
        on_axis = (r == 0)[..., None, :, :]
        by_xy = torch.where(on_axis, across * torch.eye(2).to(points)[..., None, None], by_xy)
        by_point = torch.cat([by_xy, (-slope * xy / length)[..., None, :, :]], -3)
        return by_point, torch.stack([xy * theta_per_r * q**n for n in (1, 2, 3, 4)], -3)

    def _stretch(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """r' / theta, and dr' / dtheta, of q = theta^2."""
        k1, k2, k3, k4 = (c[..., None, None, None] for c in self[1:])
        stretch = 1 + q * (k1 + q * (k2 + q * (k3 + q * k4)))
        return stretch, 1 + q * (3 * k1 + q * (5 * k2 + q * (7 * k3 + 9 * q * k4)))

    def _newton_step(self, q: Tensor, square: Tensor) -> Tensor:
        """For q stretch^2 = square, whose derivative is stretch times slope; that one is constant."""
        with torch.no_grad():
            stretch, slope = self._stretch(q)
            gain = stretch * slope
            gain = torch.where(gain.abs() > torch.finfo(q.dtype).eps, gain, torch.ones_like(gain))
        return (q * self._stretch(q)[0] ** 2 - square) / gain


def _angle(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """theta / r and theta^2 with theta = atan2(r, z); false where the point is the camera's centre or right behind it.

    Near the axis atan(u) / u is a series in u^2 = r^2 / z^2, so that gradients hold there.
    """
    square, z = (points[..., :2, :, :] ** 2).sum(-3, keepdim=True), points[..., 2:, :, :]
    near_axis = (z > NEAR) & (square < 1e-3 * z * z)
    one = torch.ones_like(z)
    in_front = torch.where(near_axis, z, one)
    u = torch.where(near_axis, square / in_front**2, torch.zeros_like(z))
    series = (1 - u * (1 / 3 - u * (1 / 5 - u * (1 / 7 - u * (1 / 9 - u / 11))))) / in_front
    off_axis = ~near_axis & (square > NEAR**2)
    r = torch.where(off_axis, square, one).sqrt()
    theta_per_r = torch.where(off_axis, torch.atan2(r, torch.where(off_axis, z, one)) / r, series)
    apart = near_axis | off_axis
    theta_per_r = torch.where(apart, theta_per_r, one)
    return theta_per_r, theta_per_r**2 * torch.where(apart, square, torch.zeros_like(square)), apart
