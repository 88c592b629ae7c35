"""Smooth motion: cumulative cubic B-splines on SE(3) with their derivatives, walked at a pace that is smooth too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from epipole.geometry.motion import hat, se3_exp, se3_inverse, se3_log

from .meshes import Array


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
class Timing:
    """A function through given values at 0, 1, 2, …: the natural cubic spline, twice continuous, straight outside."""

    values: Array  # [n]

    @cached_property
    def _bend(self) -> Array:
        """Second derivatives [n] at the nodes, by the tridiagonal system m[i-1] + 4 m[i] + m[i+1] = 6 d2[i]."""
        n = len(self.values)
        right, share, out = 6 * np.diff(self.values, 2), np.zeros(max(n - 2, 0)), np.zeros(n)
        for k in range(n - 2):
            pivot = 4 - (share[k - 1] if k else 0.0)
            share[k] = 1 / pivot
            right[k] = (right[k] - (right[k - 1] if k else 0.0)) / pivot
        for k in range(n - 3, -1, -1):
            out[k + 1] = right[k] - share[k] * out[k + 2]
        return out

    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        """Value, first and second derivative at x [n]."""
        v, m, last = self.values, self._bend, len(self.values) - 1
        if last == 0:
            return np.full(len(x), v[0]), np.zeros(len(x)), np.zeros(len(x))
        i = np.clip(np.floor(x).astype(int), 0, last - 1)
        inside = np.clip(x, 0, last)
        b = inside - i
        a = 1 - b
        value = a * v[i] + b * v[i + 1] + ((a**3 - a) * m[i] + (b**3 - b) * m[i + 1]) / 6
        slope = v[i + 1] - v[i] + ((3 * b**2 - 1) * m[i + 1] - (3 * a**2 - 1) * m[i]) / 6
        return value + slope * (x - inside), slope, np.where(x == inside, a * m[i] + b * m[i + 1], 0.0)


@dataclass(frozen=True)
class Path:
    """Where a camera is at any time: a spline through space, and how far along it every frame is."""

    knots: Float64[Tensor, "k 4 4"]
    frames: Array  # [n] place of every frame on the spline
    fps: float

    def _place(self, times: Array) -> tuple[Tensor, Tensor, Tensor]:
        u, du, ddu = (torch.from_numpy(x) for x in Timing(self.frames)(np.asarray(times, float) * self.fps))
        end = len(self.knots) - 3.0
        return u.clamp(0, end), du * self.fps, ddu * self.fps**2

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
