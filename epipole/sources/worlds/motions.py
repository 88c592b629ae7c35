"""How cameras are moved: each way of moving gives the knots of its path as positions, points looked at, and roll."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from epipole.types.errors import InputError

from .meshes import Array
from .scene import Stage

SHAKE = np.array([0.02, 0.02, 0.02, 0.035, 0.035, 0.028])  # sd per knot: m along x y z, gaze aside and up, roll (rad)
RIDE = np.array([0.03, 0.005, 0.004, 0.005])  # of a car: m across the lane, m up, pitch, roll (rad)
STRIDE = 4.0  # m of road between two knots

Move = Callable[[np.random.Generator, Stage, int], tuple[Array, Array, Array]]
"""(generator, stage, number of knots) -> positions [k, 3], points looked at [k, 3], roll [k] in radians. More knots
continue the same path up to its shaking."""


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


def _sway(rng: np.random.Generator, count: int, pace: list[float]) -> Array:
    """Six waves of their own pace and phase [k, 6], each within 0..1."""
    phase = rng.uniform(0, 2 * np.pi, 6)
    speed = np.array(pace) * rng.uniform(0.8, 1.2, 6)
    return (1 + np.sin(speed * np.arange(count)[:, None] + phase)) / 2


def handheld(rng: np.random.Generator, stage: Stage, count: int) -> tuple[Array, Array, Array]:
    """The camera sways through its region while its gaze sways over what there is to see."""
    share = _sway(rng, count, [0.45, 0.62, 0.35, 0.24, 0.3, 0.4])
    shake = rng.normal(size=(count, 6)) * SHAKE
    position = stage.walk.at(share[:, :3]) + stage.scale * shake[:, :3]
    target = stage.sight.at(share[:, 3:])
    target[:, [0, 2]] += shake[:, 3:5] * np.linalg.norm(target - position, axis=-1, keepdims=True)
    return position, target, shake[:, 5]


def drone(rng: np.random.Generator, stage: Stage, count: int) -> tuple[Array, Array, Array]:
    """Fast in all six directions: it leans into its turns and looks where it likes."""
    share = _sway(rng, count, [0.75, 0.95, 0.6, 0.5, 0.65, 0.8])
    shake = rng.normal(size=(count, 6)) * SHAKE * [2, 2, 2, 2, 2, 3]
    position = stage.walk.at(share[:, :3]) + stage.scale * shake[:, :3]
    target = stage.sight.at(share[:, 3:])
    target[:, [0, 2]] += shake[:, 3:5] * np.linalg.norm(target - position, axis=-1, keepdims=True)
    lean = np.gradient(share[:, 3]) if count > 1 else np.zeros(count)
    return position, target, shake[:, 5] + 0.8 * lean


def rotation(rng: np.random.Generator, stage: Stage, count: int) -> tuple[Array, Array, Array]:
    """The camera's centre stays at the first knot; the gaze turns as it would have on the walk."""
    position, target, roll = handheld(rng, stage, count)
    target += position[:1] - position
    return np.broadcast_to(position[:1], position.shape), target, roll


def orbit(rng: np.random.Generator, stage: Stage, count: int) -> tuple[Array, Array, Array]:
    """Round and round a point, or to and fro where there is only an arc."""
    if stage.orbit is None:
        raise InputError("this family has nothing to orbit; choose another motion")
    o, phase = stage.orbit, rng.uniform(0, 2 * np.pi)
    turn = phase + 0.25 * np.arange(count)
    angle = o.start + (turn if o.arc >= 2 * np.pi else o.arc / 2 * np.sin(turn))
    shake = rng.normal(size=(count, 6)) * SHAKE * [0.5, 0.5, 0.5, 0.3, 0.3, 0.3]
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], -1)
    position = o.centre + o.radius * ring + [0.0, 0.0, o.height] + stage.scale * shake[:, :3]
    return position, o.centre + o.radius * shake[:, [3, 3, 4]], shake[:, 5]


def drive(rng: np.random.Generator, stage: Stage, count: int) -> tuple[Array, Array, Array]:
    """Along the road, looking ahead: the heading is the road's own, so that the wheels never slip sideways."""
    if stage.road is None:
        raise InputError("this family has no road to drive on; choose another motion")
    way = rng.uniform(0, 1e3) + STRIDE * np.arange(count)
    ride = rng.normal(size=(count, 4)) * RIDE
    position, heading = stage.road(way)
    ahead = np.stack([np.cos(heading), np.sin(heading), ride[:, 2]], -1)
    position = position + np.stack([-ahead[:, 1] * ride[:, 0], ahead[:, 0] * ride[:, 0], ride[:, 1]], -1)
    return position, position + ahead, ride[:, 3]


MOVES: dict[str, Move] = {
    "handheld": handheld, "drive": drive, "drone": drone, "orbit": orbit, "rotation": rotation,
}
