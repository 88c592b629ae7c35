"""The map as HTML that a script turns under the mouse: coloured points, and the surface where there is one."""

from __future__ import annotations

import base64

import numpy as np
from jaxtyping import Bool, Float

from ..types.predictions import Motion
from .markup import script_data, text
from .run_folder import Cloud, evenly
from .surface import Triangles
from .viewpoint import overview

CAMERAS = 400  # poses of the path that are drawn


def map_panel(
    cloud: Cloud, motion: Motion | None, unit: str, half_width: float, aspect: float, surface: Triangles | None = None
) -> str:
    """Points, surface and camera path; `half_width` is the tangent of half the horizontal field of view, `aspect` the
    height of a frame over its width."""
    data = _map_data(cloud, motion, surface) | {"half": half_width, "aspect": aspect}
    views = [("orbit", "Overview"), ("top", "From above")] + [("camera", "Through the camera")] * (motion is not None)
    buttons = _buttons("view", views) + (_buttons("show", [("surface", "Surface"), ("points", "Points")])
                                         if surface is not None else "")
    shown = f"About {len(cloud.points):,} of {cloud.total:,} points are shown"
    if surface is not None:
        shown += f", and {len(surface.faces):,} of {surface.total:,} faces"
    return ('<div class="stage"><canvas tabindex="0" aria-label="3-D map; drag to turn"></canvas></div>'
            f'<div class="controls">{buttons}<span class="hint">Drag to turn, shift-drag to move, pinch or (after a '
            f"click) scroll to zoom. {shown}; coordinates are {'metres' if unit == 'm' else text(unit)}.</span></div>"
            f'{script_data("map-data", data)}')


def _buttons(what: str, names: list[tuple[str, str]]) -> str:
    buttons = "".join(f'<button type="button" data-{what}="{name}">{label}</button>' for name, label in names)
    return f'<span class="choice">{buttons}</span>'


def _map_data(cloud: Cloud, motion: Motion | None, surface: Triangles | None) -> dict[str, object]:
    """Points without stray ones, surface and poses, all turned so that y points down."""
    poses = np.eye(4)[None] if motion is None else motion.T_first_camera.double().numpy()
    view = overview(cloud.points, poses)
    kept = _near(cloud.points)
    shown = evenly(range(len(poses)), CAMERAS)
    upright = view.level @ poses[shown, :3]
    return {
        "cloud": _packed(cloud.points[kept] @ view.level.T, cloud.colours[kept]),
        "surface": None if surface is None else _packed(surface.vertices @ view.level.T, surface.colours)
        | {"faces": _plain(surface.faces.astype("<u2"))},
        "frames": shown, "poses": [[round(v, 5) for v in pose.flatten().tolist()] for pose in upright],
        "home": {"centre": view.centre.tolist(), "distance": view.distance, "yaw": view.yaw, "pitch": view.pitch},
        "radius": _radius(cloud.points),
    }


def _near(points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "n"]:
    """Without those that lie far outside of where the bulk is: they would take the others' precision."""
    low, high = np.percentile(points, (0.5, 99.5), axis=0).astype(np.float64)
    room = 0.25 * np.maximum(high - low, 1e-6)
    return np.asarray(((points >= low - room) & (points <= high + room)).all(1), np.bool_)


def _packed(points: np.ndarray, colours: np.ndarray) -> dict[str, object]:
    """Points on a grid of 16 bits, which starts at `low` and has steps of `step`, and their colours."""
    low = points.min(0).astype(np.float64)
    step = np.maximum(points.max(0) - low, 1e-6) / 65535
    grid = np.round((points - low) / step).astype("<u2")
    return {"low": low.tolist(), "step": step.tolist(), "points": _plain(grid), "colours": _plain(colours)}


def _radius(points: np.ndarray) -> float:
    """Half the diagonal of the middle 80 % of the points."""
    low, high = np.percentile(points, (10, 90), axis=0)
    return max(float(np.linalg.norm(high - low)) / 2, 1e-6)


def _plain(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
