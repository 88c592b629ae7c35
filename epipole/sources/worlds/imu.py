"""What an inertial sensor on the camera measures: the spline's own derivatives, and the errors of a phone's chip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from epipole.geometry.motion import so3_exp

from .meshes import Array
from .spec import Spec
from .spline import Path

GRAVITY = np.array([0.0, 0.0, -9.81])  # m/s^2, world


@dataclass(frozen=True)
class Errors:
    """White noise per root hertz, and how fast the biases walk (Forster et al. 2017, section IV)."""

    gyro: float = 1.7e-4            # rad/s/sqrt(Hz)
    accelerometer: float = 2e-3     # m/s^2/sqrt(Hz)
    gyro_walk: float = 2e-5         # rad/s^2/sqrt(Hz)
    accelerometer_walk: float = 3e-3  # m/s^3/sqrt(Hz)
    first_gyro: float = 5e-3        # sd of the bias at the start, rad/s
    first_accelerometer: float = 5e-2  # m/s^2
    offset: float = 0.0             # s by which the sensor's clock is ahead of the camera's


@dataclass(frozen=True)
class Imu:
    """Measurements of one clip, in the sensor's own axes."""

    times: Float64[np.ndarray, "n"]             # s, by the sensor's clock
    gyro: Float64[np.ndarray, "n 3"]            # rad/s
    acceleration: Float64[np.ndarray, "n 3"]    # m/s^2, without gravity's pull: 9.81 upwards at rest
    gyro_bias: Float64[np.ndarray, "n 3"]
    acceleration_bias: Float64[np.ndarray, "n 3"]
    T_camera_imu: Float64[np.ndarray, "4 4"]
    velocity: Float64[np.ndarray, "n 3"]        # true, world, m/s
    T_world_imu: Float64[np.ndarray, "n 4 4"]   # true


def measure(spec: Spec, path: Path, rate: float = 200.0, errors: Errors | None = None) -> Imu:
    """The whole clip at `rate` Hz. Without `errors` the measurements are exact and the sensor sits in the camera's
    centre; with them it sits up to 0.1 m away, turned any way."""
    times = np.arange(int((spec.frames - 1) / spec.fps * rate + 1e-6) + 1) / rate
    rng, e = spec.random("imu"), errors or Errors(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    T_camera_imu = np.eye(4) if errors is None else _mounting(rng)
    T, D, DD = (x.numpy() @ T_camera_imu for x in path.derivatives(times - e.offset))
    R = T[:, :3, :3]
    spin = np.einsum("nji,njk->nik", R, D[:, :3, :3])  # R^T R' = hat(omega)
    omega = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], -1)
    pull = np.einsum("nji,nj->ni", R, DD[:, :3, 3] - GRAVITY)
    gyro_bias = _walk(rng, len(times), e.first_gyro, e.gyro_walk / np.sqrt(rate))
    pull_bias = _walk(rng, len(times), e.first_accelerometer, e.accelerometer_walk / np.sqrt(rate))
    noise = rng.standard_normal((2, len(times), 3)) * np.sqrt(rate)
    return Imu(times, omega + gyro_bias + e.gyro * noise[0], pull + pull_bias + e.accelerometer * noise[1],
               gyro_bias, pull_bias, T_camera_imu, D[:, :3, 3], T)


def _walk(rng: np.random.Generator, count: int, first: float, step: float) -> Array:
    """A random walk [count, 3]; `step` is what it moves between two samples."""
    return first * rng.standard_normal(3) + np.cumsum(step * rng.standard_normal((count, 3)), 0)


def _mounting(rng: np.random.Generator) -> Array:
    T = np.eye(4)
    T[:3, :3] = so3_exp(torch.from_numpy(rng.normal(size=3))).numpy()
    T[:3, 3] = rng.uniform(-0.1, 0.1, 3) / np.sqrt(3)
    return T
