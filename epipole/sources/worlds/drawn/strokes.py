"""Thin pictures of pen strokes, soft at their edges: coverage follows from the distance to the nearest stroke."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..meshes import Array

Stroke = Array  # points [k, 2] that are joined by straight lines, px


def distance(points: Float[np.ndarray, "n 2"], strokes: list[Stroke]) -> Float[np.ndarray, "n"]:
    """From every point to the nearest of all strokes, px."""
    a = np.concatenate([stroke[:-1] for stroke in strokes])
    d = np.concatenate([np.diff(stroke, axis=0) for stroke in strokes])
    away = points[:, None] - a
    share = (away * d).sum(-1) / np.maximum((d * d).sum(-1), 1e-12)
    rest = away - np.clip(share, 0, 1)[..., None] * d
    return np.sqrt((rest * rest).sum(-1).min(1))


def ink(strokes: list[Stroke], width: int, height: int, pen: float) -> Float[np.ndarray, "h w"]:
    """How much of every pixel a round pen of this diameter in px covers, 0 to 1: all of it within the stroke, none a
    pixel farther out."""
    v, u = np.mgrid[:height, :width]
    far = distance(np.stack([u.ravel(), v.ravel()], 1).astype(float), strokes)
    return np.clip(0.5 + pen / 2 - far, 0, 1).reshape(height, width)


def arc(middle: tuple[float, float], radii: tuple[float, float], start: float, end: float, count: int = 12) -> Array:
    """Points on an ellipse from one angle to another, degrees; 0 is to the right, 90 is down."""
    a = np.radians(np.linspace(start, end, count))
    return np.array(middle) + np.stack([radii[0] * np.cos(a), radii[1] * np.sin(a)], 1)
