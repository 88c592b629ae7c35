"""The camera's path: a cubic B-spline on SE(3), walked so that the image moves at a given pace."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from epipole.types.errors import InputError

from .meshes import Array
from .motions import MOVES, look_at
from .scene import Scene
from .spec import Spec
from .spline import Path, spline

STEPS = 8            # samples of the path between two knots, where its pace is measured
CLEARANCE = 0.3      # m between the camera and anything
NEAREST_SEEN = 0.55  # m; nothing in view may come nearer
LARGEST_CHANGE = 1.5  # of the median depth from one frame to the next
ATTEMPTS = 50
MOST_KNOTS = 1 << 17  # of a path that is still too short: the camera hardly moves


def draw_knots(spec: Spec, scene: Scene, motion: str, count: int, attempt: int) -> Float64[Tensor, "k 4 4"]:
    """Knots of a path; a larger count continues the same path."""
    position, target, roll = MOVES[motion](spec.random("trajectory", attempt), scene.stage, count)
    return torch.from_numpy(look_at(position, target, roll))


def _view_rays(spec: Spec) -> Array:
    """A coarse grid of rays through the image [n, 3] with z = 1."""
    u, v = np.meshgrid(np.linspace(0, spec.width - 1, 16), np.linspace(0, spec.height - 1, 12))
    return np.stack([u.ravel(), v.ravel(), np.ones(u.size)], -1) @ np.linalg.inv(spec.intrinsics()).T


def look_around(spec: Spec, scene: Scene, poses: Array) -> tuple[Array, Array, Array]:
    """Median movement of the image from every pose to the next one [n-1], px at a width of 160, and the smallest and
    the median depth in every view [n], all on a coarse grid and of what stands still."""
    rays = _view_rays(spec)
    world = np.einsum("nij,rj->nri", poses[:, :3, :3], rays)
    origin = np.broadcast_to(poses[:, None, :3, 3], world.shape)
    depth = scene.still.rays.cast(origin.reshape(-1, 3), world.reshape(-1, 3)).t.reshape(world.shape[:2])
    with np.errstate(divide="ignore", invalid="ignore"):
        points = origin + depth[..., None] * world
        seen = np.einsum("nji,nrj->nri", poses[1:, :3, :3], points[:-1] - poses[1:, None, :3, 3])  # in the next camera
        moved = (seen[..., :2] / seen[..., 2:] - rays[:, :2]) * spec.intrinsics()[0, 0] * 160 / spec.width
    length = np.linalg.norm(moved, axis=-1)
    known = np.isfinite(length).any(-1)
    length[~known] = 0.0  # nothing but sky
    far = np.where(np.isfinite(depth), depth, np.finfo(np.float32).max)
    return np.nanmedian(length, axis=-1), depth.min(1), np.median(far, axis=1)


def is_clear(scene: Scene, centres: Array, times: Array | None = None) -> bool:
    """Whether a bundle of rays from every camera centre [n, 3] meets nothing within the clearance; with times [n], s,
    also nothing of what moves."""
    k = np.arange(96) + 0.5
    z, a = 1 - 2 * k / len(k), k * np.pi * (1 + 5**0.5)  # a Fibonacci sphere
    bundle = np.stack([np.cos(a) * np.sqrt(1 - z**2), np.sin(a) * np.sqrt(1 - z**2), z], -1)
    hits = scene.still.rays.cast(np.repeat(centres, len(k), 0), np.tile(bundle, (len(centres), 1)))
    if hits.t.min() <= CLEARANCE * scene.stage.scale:
        return False
    return times is None or all(_clear_of(scene, k, centres, times) for k in scene.motions)


def _clear_of(scene: Scene, instance: int, centres: Array, times: Array) -> bool:
    """Whether the camera keeps out of the box, a clearance larger, of one thing that moves."""
    first, far = scene.first_moving, CLEARANCE * scene.stage.scale
    own = scene.corners[first:][scene.instance[first:] == instance].reshape(-1, 3)
    T = np.stack([scene.motions[instance](time) for time in times])
    at = np.einsum("nji,nj->ni", T[:, :3, :3], centres - T[:, :3, 3])
    return not ((at > own.min(0) - far) & (at < own.max(0) + far)).all(1).any()


def _wanted(spec: Spec) -> Array:
    """How far the image shall have moved at every frame [frames], px at a width of 160."""
    wave = np.sin(np.arange(spec.frames) * 0.13 + spec.random("pace").uniform(0, 2 * np.pi))
    if spec.histogram:
        share = 0.5 + np.arcsin(wave) / np.pi  # evenly spread over 0..1
        steps = np.interp(share, np.linspace(0, 1, len(spec.histogram)), spec.histogram)
    else:
        steps = spec.speed * (1 + 0.3 * wave)
    return np.concatenate([[0.0], np.cumsum(steps[1:])])


def _is_followable(spec: Spec, scene: Scene, path: Path) -> bool:
    """Whether no frame jumps from one distance to another, and nothing that moves comes too near."""
    poses = path.poses.numpy()
    _, _, median = look_around(spec, scene, poses)
    jumps = np.abs(np.diff(np.log(median)))
    times = np.arange(spec.frames) / spec.fps
    return not (jumps > np.log(LARGEST_CHANGE)).any() and is_clear(scene, poses[:, :3, 3], times)


def walk(spec: Spec, scene: Scene, motion: str) -> Path:
    """The path of all frames.

    It is walked at such a pace that the median displacement between neighbouring frames is `spec.speed`, give or take
    a third, or follows `spec.histogram`. Raises InputError if no path clear of the scene is found, or where the family
    has no place for this motion.
    """
    if motion == "static":
        path = walk(spec, scene, "handheld")
        return Path(path.knots, np.repeat(path.frames[:1], spec.frames), spec.fps)
    wanted, near = _wanted(spec), NEAREST_SEEN * scene.stage.scale
    for attempt in range(ATTEMPTS):
        count = 8 + spec.frames // 8
        while True:  # until the path is long enough
            knots = draw_knots(spec, scene, motion, count, attempt)
            u = torch.arange((count - 3) * STEPS + 1, dtype=torch.float64) / STEPS
            poses = spline(knots, u).numpy()
            moved, nearest, _ = look_around(spec, scene, poses)
            way = np.concatenate([[0.0], np.cumsum(moved)])
            if way[-1] >= wanted[-1] or count > MOST_KNOTS:
                break
            count *= 2
        used = np.searchsorted(way, wanted[-1]) + 1
        if way[-1] >= wanted[-1] and nearest[:used].min() > near and is_clear(scene, poses[:used, :3, 3]):
            path = Path(knots, np.interp(wanted, way, u.numpy()), spec.fps).smoothed(spec.smooth)
            if _is_followable(spec, scene, path):
                return path
    raise InputError(f"seed {spec.seed}, scene {spec.scene} leaves the camera no free path; choose another seed")
