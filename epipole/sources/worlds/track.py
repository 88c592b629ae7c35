"""Where scene points lie in another view: exact correspondences, also of what moves, and what hides them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .camera import Camera
from .meshes import Array
from .render import View
from .scene import Moment, Scene
from .shading import moved, object_points

SEEN = 1e-4  # share of the depth by which a point may lie behind what the ray-caster meets on the way to it


class Track(NamedTuple):
    """Points seen by one camera, looked for by another."""

    pixels: Array  # [n, 2] in the other image; where a point is not before the other camera, NaN
    before: Array  # [n, 3] world, at the time of the one camera
    after: Array   # [n, 3] world, at the time of the other; NaN where a ray met nothing
    hidden: Array  # [n] bool: inside the other image, but with something nearer before it
    seen: Array    # [n] bool: inside the other image, with nothing before it


def points_of(view: View) -> Array:
    """World points [n, 3] that rays met; NaN where they met nothing."""
    t = np.where(np.isfinite(view.hits.t), view.hits.t, np.nan)
    return view.origin + t[:, None] * view.directions


def carried(scene: Scene, now: Moment, then: Moment, view: View, points: Array) -> Array:
    """The same points of the same things at another time."""
    if now is then or not scene.motions:
        return points
    instance = scene.instance[view.hits.face]
    moving = np.isin(instance, list(scene.motions)) & (view.hits.face >= 0)
    out = points.copy()
    own = object_points(now, instance[moving], points[moving])
    out[moving] = moved(then.T_world_object, instance[moving], own)
    return out


def track(scene: Scene, now: Moment, view: View, then: Moment, other: Camera) -> Track:
    """Follows what `view` met at the moment `now` into another camera at the moment `then`."""
    before = points_of(view)
    after = carried(scene, now, then, view, before)
    pixels, z = other.project(after)
    inside = other.inside(pixels)
    origin, directions = other.rays(pixels[inside])
    clear = z[inside] <= then.rays.cast(origin, directions).t * (1 + SEEN)
    seen = inside.copy()
    seen[inside] = clear
    return Track(pixels, before, after, inside & ~seen, seen)
