"""Where a map is looked at from at first: the way its cameras looked, from behind and above, all of it in sight."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

WIDE, HIGH = 0.8, 0.45       # tangents of half the field of view that the map shall fill
BULK = (3, 97)               # per cent of the points, between which the map is taken to lie
ASIDE, NEARER = 0.9, 0.8     # radians; share of the distance
SOME = 20_000                # points that say where it lies


class Viewpoint(NamedTuple):
    """`level` turns the world so that y points down where the cameras have it; the rest is said in the level world.
    `yaw` and `pitch` (radians) as for `turned`; the eye is `distance` before `centre`."""

    level: Float[np.ndarray, "3 3"]
    centre: Float[np.ndarray, "3"]
    distance: float
    yaw: float
    pitch: float


def overview(points: Float[np.ndarray, "n 3"], path: Float[np.ndarray, "f 4 4"]) -> Viewpoint:
    """Of a map and the cameras (camera to world) that saw it. The farther they went, the more from above; from aside,
    where they went so far ahead that the map is much nearer from there."""
    level = levelled(path)
    points, eyes = points[:: len(points) // SOME + 1] @ level.T, path[:, :3, 3] @ level.T
    low, high = np.percentile(points, BULK, axis=0)
    shown = np.concatenate([points[((points >= low) & (points <= high)).all(1)], eyes])
    went = np.linalg.norm(np.ptp(eyes, axis=0)) / max(float(np.linalg.norm(high - low)), 1e-9)
    ahead = level @ path[:, :3, 2].mean(0)
    yaw, pitch = float(np.arctan2(ahead[0], ahead[2])), 0.3 + 0.5 * min(1.0, float(went))
    straight, *aside = (_fitted(shown, level, yaw + turn, pitch) for turn in (0.0, ASIDE, -ASIDE))
    nearest = min(aside, key=lambda view: view.distance)
    return nearest if nearest.distance < NEARER * straight.distance else straight


def _fitted(shown: Float[np.ndarray, "n 3"], level: np.ndarray, yaw: float, pitch: float) -> Viewpoint:
    """As near as it can be with all of these points of the level world in sight."""
    R = turned(yaw, pitch)
    seen = shown @ R.T
    centre = (seen.min(0) + seen.max(0)) / 2
    right, down, ahead = (seen - centre).T
    distance = float((np.maximum(abs(right) / WIDE, abs(down) / HIGH) - ahead).max())
    return Viewpoint(level, R.T @ centre, max(distance, 1e-6), yaw, pitch)


def levelled(path: Float[np.ndarray, "f 4 4"]) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation after which the cameras' mean y axis is y; the identity where they have no common one."""
    down = path[:, :3, 1].mean(0).astype(np.float64)
    length = float(np.linalg.norm(down))
    if length < 0.2 or down[1] < -0.9 * length:
        return np.eye(3)
    x, y, z = down / length
    K = np.array([[0, -x, 0], [x, 0, z], [0, -z, 0]])  # of the cross product with down x e_y
    return np.eye(3) + K + K @ K / (1 + y)


def turned(yaw: float, pitch: float) -> Float[np.ndarray, "3 3"]:
    """Rows right, down, forward of a view turned about the vertical (y points down), then tilted down by `pitch`."""
    c, s, d, e = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array([[c, 0, -s], [-s * e, d, -c * e], [s * d, e, c * d]])
