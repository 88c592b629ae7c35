"""Smooth motion: cumulative cubic B-splines on SE(3) with their derivatives, walked at a pace that is smooth too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from epipole.geometry.motion import hat, se3, se3_exp, se3_inverse, se3_log, so3_exp, so3_log

from .meshes import Array

if TYPE_CHECKING:
    from scipy.interpolate import BSpline


class Derivatives(NamedTuple):
    """A pose and how it changes."""

    T: Float64[Tensor, "n 4 4"]
    first: Float64[Tensor, "n 4 4"]
    second: Float64[Tensor, "n 4 4"]


def spline(knots: Float64[Tensor, "k 4 4"], u: Float64[Tensor, "n"]) -> Float64[Tensor, "n 4 4"]:
    """Cumulative cubic B-spline on SE(3) at u in [0, k - 3] (Lovegrove et al. 2013, eq. 4)."""
    i = u.floor().long().clamp(0, len(knots) - 4)
    s = (u - i)[:, None]
    omega = se3_log(se3_inverse(knots[:-1]) @ knots[1:])
    T = knots[i]
    basis = ((5 + 3 * s - 3 * s**2 + s**3) / 6, (1 + 3 * s + 3 * s**2 - 2 * s**3) / 6, s**3 / 6)
    for j, b in enumerate(basis):
        T = T @ se3_exp(b * omega[i + j])
    return T


def turns_between(knots: Float64[Tensor, "k 4 4"]) -> Float64[Tensor, "k-1 3"]:
    """The rotation vector from every knot to the next one, in its own axes."""
    return so3_log(knots[:-1, :3, :3].mT @ knots[1:, :3, :3])


def uncoupled(
    knots: Float64[Tensor, "k 4 4"], turns: Float64[Tensor, "k-1 3"], u: Float64[Tensor, "n"]
) -> Float64[Tensor, "n 4 4"]:
    """Position and rotation on cubic B-splines of their own at u in [0, k - 3], given `turns_between` the knots:
    however fast a thing spins, its place stays within the hull of four knots, which on SE(3) it does not."""
    i = u.floor().long().clamp(0, len(knots) - 4)
    s = u - i
    first, second, third, last = (1 - s) ** 3, 3 * s**3 - 6 * s**2 + 4, 1 + 3 * s + 3 * s**2 - 3 * s**3, s**3
    weights = torch.stack([first, second, third, last], -1) / 6
    later = weights[:, 1:].flip(-1).cumsum(-1).flip(-1)  # how much of every turn is done
    span = i[:, None] + torch.arange(4)
    A = so3_exp(later[..., None] * turns[span[:, :3]])
    R = knots[i, :3, :3] @ A[:, 0] @ A[:, 1] @ A[:, 2]
    return se3(R, (weights[..., None] * knots[span, :3, 3]).sum(1))


def _twist_matrix(xi: Float64[Tensor, "n 6"]) -> Float64[Tensor, "n 4 4"]:
    """The matrix whose exponential is se3_exp(xi)."""
    top = torch.cat([hat(xi[:, 3:]), xi[:, :3, None]], -1)
    return torch.cat([top, torch.zeros_like(top[:, :1])], 1)


def spline_derivatives(knots: Float64[Tensor, "k 4 4"], u: Float64[Tensor, "n"]) -> Derivatives:
    """`spline` and its first two derivatives by u (Lovegrove et al. 2013, eq. 5 and 6)."""
    i = u.floor().long().clamp(0, len(knots) - 4)
    s = (u - i)[:, None]
    omega = se3_log(se3_inverse(knots[:-1]) @ knots[1:])
    one = torch.ones_like(s)
    basis = (  # value, first and second derivative
        ((5 + 3 * s - 3 * s**2 + s**3) / 6, (1 - 2 * s + s**2) / 2, s - one),
        ((1 + 3 * s + 3 * s**2 - 2 * s**3) / 6, (1 + 2 * s - 2 * s**2) / 2, one - 2 * s),
        (s**3 / 6, s**2 / 2, s),
    )
    T, D, DD = knots[i], torch.zeros(len(u), 4, 4).to(knots), torch.zeros(len(u), 4, 4).to(knots)
    for j, (b, db, ddb) in enumerate(basis):
        A, X = se3_exp(b * omega[i + j]), _twist_matrix(omega[i + j])  # X commutes with A
        dA = db[..., None] * X @ A
        ddA = ddb[..., None] * X @ A + db[..., None] * X @ dA
        T, D, DD = T @ A, D @ A + T @ dA, DD @ A + 2 * D @ dA + T @ ddA
    return Derivatives(T, D, DD)


@dataclass(frozen=True)
class Path:
    """Where a camera is at any time: a spline through space, and how far along it every frame is."""

    knots: Float64[Tensor, "k 4 4"]
    frames: Array  # [n] place of every frame on the spline
    fps: float

    @cached_property
    def _pace(self) -> BSpline:
        """The place at any time: through the frames' places, four times continuous."""
        from scipy.interpolate import make_interp_spline

        frames = self.frames if len(self.frames) > 1 else np.repeat(self.frames, 2)
        return make_interp_spline(np.arange(len(frames)) / self.fps, frames, k=min(5, len(frames) - 1))

    def smoothed(self, seconds: float) -> Path:
        """The same way at a pace that changes no faster than in so many seconds; each frame's place moves a little."""
        from scipy.interpolate import make_lsq_spline

        times = np.arange(len(self.frames)) / self.fps
        count = int(times[-1] / seconds) if seconds else 0
        if count < 2 or count + 6 > len(times):
            return self
        inner = np.linspace(0, times[-1], count + 1)[1:-1]
        ends = np.zeros(6), np.full(6, times[-1])
        pace = make_lsq_spline(times, self.frames, np.concatenate([ends[0], inner, ends[1]]), k=5)
        return Path(self.knots, np.clip(pace(times), 0, len(self.knots) - 3.0), self.fps)

    def _place(self, times: Array) -> tuple[Tensor, Tensor, Tensor]:
        u, du, ddu = (torch.from_numpy(self._pace(times, nu=order)) for order in range(3))
        return u.clamp(0, len(self.knots) - 3.0), du, ddu

    @cached_property
    def poses(self) -> Float64[Tensor, "n 4 4"]:
        """T_world_camera of every frame."""
        return spline(self.knots, torch.from_numpy(self.frames))

    def at(self, times: Array) -> Float64[Tensor, "n 4 4"]:
        """T_world_camera at times [n], s."""
        return spline(self.knots, self._place(times)[0])

    def derivatives(self, times: Array) -> Derivatives:
        """T_world_camera at times [n] and its derivatives by time, 1/s and 1/s^2."""
        u, du, ddu = self._place(times)
        T, D, DD = spline_derivatives(self.knots, u)
        return Derivatives(T, D * du[:, None, None], DD * du[:, None, None] ** 2 + D * ddu[:, None, None])
