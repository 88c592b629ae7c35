"""The camera's path: a cubic B-spline on SE(3), walked so that the image moves at a given pace."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from epipole.geometry.motion import se3_exp, se3_inverse, se3_log
from epipole.types.errors import InputError

from .meshes import Array
from .scene import Geometry
from .spec import Spec

STEPS = 8            # samples of the path between two knots, where its pace is measured
CLEARANCE = 0.3      # m between the camera and anything
NEAREST_SEEN = 0.55  # m; nothing in view may come nearer
ATTEMPTS = 50
SHAKE = np.array([0.02, 0.02, 0.02, 0.035, 0.035, 0.028])  # sd per knot: m along x y z, gaze aside and up, roll (rad)


def look_at(position: Array, target: Array, roll: Array) -> Float64[np.ndarray, "n 4 4"]:
    """Poses T_world_camera of upright cameras (x right, y down, z forward; world z up), then rolled (radians)."""
    forward = target - position
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right = right / np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(forward, right)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    T = np.tile(np.eye(4), (len(position), 1, 1))
    T[:, :3] = np.stack([c * right + s * down, c * down - s * right, forward, position], -1)
    return T


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


def draw_knots(spec: Spec, geometry: Geometry, count: int, attempt: int) -> Float64[Tensor, "k 4 4"]:
    """Knots of a hand-held walk: the camera sways through its region while its gaze sways over the furniture.

    A larger count continues the same path. In the motion `rotation` the camera's centre stays at the first knot.
    """
    rng = spec.random("trajectory", attempt)
    phase = rng.uniform(0, 2 * np.pi, 6)
    pace = np.array([0.45, 0.62, 0.35, 0.24, 0.3, 0.4]) * rng.uniform(0.8, 1.2, 6)
    shake = rng.normal(size=(count, 6)) * SHAKE
    share = (1 + np.sin(pace * np.arange(count)[:, None] + phase)) / 2
    position = geometry.walk.at(share[:, :3]) + shake[:, :3]
    target = geometry.sight.at(share[:, 3:])
    target[:, [0, 2]] += shake[:, 3:5] * np.linalg.norm(target - position, axis=-1, keepdims=True)
    if spec.motion == "rotation":
        target += position[:1] - position  # the gaze turns as it would have on the walk
        position = np.broadcast_to(position[:1], position.shape)
    return torch.from_numpy(look_at(position, target, shake[:, 5]))


def _view_rays(spec: Spec) -> Array:
    """A coarse grid of rays through the image [n, 3] with z = 1."""
    u, v = np.meshgrid(np.linspace(0, spec.width - 1, 16), np.linspace(0, spec.height - 1, 12))
    return np.stack([u.ravel(), v.ravel(), np.ones(u.size)], -1) @ np.linalg.inv(spec.intrinsics()).T


def displacements(spec: Spec, geometry: Geometry, poses: Array) -> tuple[Array, Array]:
    """Median movement of the image from every pose to the next one [n-1], px at a width of 160, and the smallest depth
    in every view [n], both on a coarse grid."""
    rays = _view_rays(spec)
    world = np.einsum("nij,rj->nri", poses[:, :3, :3], rays)
    origin = np.broadcast_to(poses[:, None, :3, 3], world.shape)
    depth = geometry.rays.cast(origin.reshape(-1, 3), world.reshape(-1, 3)).t.reshape(world.shape[:2])
    points = origin + depth[..., None] * world
    seen = np.einsum("nji,nrj->nri", poses[1:, :3, :3], points[:-1] - poses[1:, None, :3, 3])  # in the next camera
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = (seen[..., :2] / seen[..., 2:] - rays[:, :2]) * spec.intrinsics()[0, 0] * 160 / spec.width
    return np.nanmedian(np.linalg.norm(moved, axis=-1), axis=-1), depth.min(1)


def is_clear(geometry: Geometry, centres: Array) -> bool:
    """Whether a bundle of rays from every camera centre [n, 3] meets nothing within the clearance."""
    k = np.arange(96) + 0.5
    z, a = 1 - 2 * k / len(k), k * np.pi * (1 + 5**0.5)  # a Fibonacci sphere
    bundle = np.stack([np.cos(a) * np.sqrt(1 - z**2), np.sin(a) * np.sqrt(1 - z**2), z], -1)
    hits = geometry.rays.cast(np.repeat(centres, len(k), 0), np.tile(bundle, (len(centres), 1)))
    return bool(hits.t.min() > CLEARANCE)


def walk(spec: Spec, geometry: Geometry) -> Float64[Tensor, "frames 4 4"]:
    """Poses T_world_camera of all frames.

    The path is walked at such a pace that the median displacement between neighbouring frames is `spec.speed`, give or
    take a third. Raises InputError if no path clear of the furniture is found.
    """
    pace = 1 + 0.3 * np.sin(np.arange(spec.frames) * 0.13 + spec.random("pace").uniform(0, 2 * np.pi))
    wanted = np.concatenate([[0.0], np.cumsum(spec.speed * pace[1:])])
    for attempt in range(ATTEMPTS):
        count = 8 + spec.frames // 8
        while True:  # until the path is long enough
            knots = draw_knots(spec, geometry, count, attempt)
            u = torch.arange((count - 3) * STEPS + 1, dtype=torch.float64) / STEPS
            poses = spline(knots, u).numpy()
            moved, nearest = displacements(spec, geometry, poses)
            way = np.concatenate([[0.0], np.cumsum(moved)])
            if way[-1] >= wanted[-1]:
                break
            count *= 2
        used = np.searchsorted(way, wanted[-1]) + 1
        if nearest[:used].min() > NEAREST_SEEN and is_clear(geometry, poses[:used, :3, 3]):
            frames = spline(knots, torch.from_numpy(np.interp(wanted, way, u.numpy())))
            return frames[:1].expand(spec.frames, 4, 4).clone() if spec.motion == "static" else frames
    raise InputError(f"seed {spec.seed}, scene {spec.scene} leaves the camera no free path; choose another seed")
