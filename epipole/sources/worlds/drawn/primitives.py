"""MagicPoint's primitives (DeTone et al. 2017): each draws itself on a canvas and tells its corners in the plane."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from ..meshes import Array
from .canvas import SCALE, Canvas

Corners = Float[np.ndarray, "n 2"]
Draw = Callable[[Canvas, np.random.Generator], Corners]
Disc = tuple[Array, float]  # middle and radius

TRIES = 60        # places tried for one more shape that overlaps no other
FLATTEST = 120.0  # degrees; a blunter corner is none
NONE = np.zeros((0, 2))


def _anywhere(canvas: Canvas, rng: np.random.Generator, margin: float = 0.0) -> Array:
    size = np.array([canvas.width, canvas.height], float)
    return rng.uniform(margin, size - 1 - margin)


def _least(canvas: Canvas) -> int:
    return min(canvas.width, canvas.height)


def apart(a: Array, b: Array, c: Array, d: Array) -> float:
    """The distance between the segments a b and c d; 0 where they cross."""
    def side(p: Array, q: Array, r: Array) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    def reach(p: Array, q: Array, r: Array) -> float:
        t = np.clip(np.dot(r - p, q - p) / np.dot(q - p, q - p), 0, 1)
        return float(np.linalg.norm(p + t * (q - p) - r))

    if side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0:
        return 0.0
    return min(reach(a, b, c), reach(a, b, d), reach(c, d, a), reach(c, d, b))


def lines(canvas: Canvas, rng: np.random.Generator) -> Corners:
    """One to nine bars that do not touch; both ends count."""
    least = _least(canvas)
    drawn: list[tuple[Array, Array]] = []
    for _ in range(int(rng.integers(1, 10))):
        width = rng.uniform(0.01, 0.02) * least
        for _ in range(TRIES):
            a, b = _anywhere(canvas, rng), _anywhere(canvas, rng)
            if np.linalg.norm(b - a) > 0.15 * least and all(apart(a, b, c, d) > 0.05 * least for c, d in drawn):
                canvas.line(a, b, max(width, 1.0), canvas.level())
                drawn.append((a, b))
                break
    return np.array(drawn).reshape(-1, 2)


def _outline(rng: np.random.Generator, count: int, radius: float) -> Array:
    """A polygon around the origin that is seen whole from it, every corner at a radius of its own."""
    angle = 2 * np.pi * (np.arange(count) + rng.uniform(-0.25, 0.25, count)) / count + rng.uniform(0, 2 * np.pi)
    return radius * rng.uniform(0.5, 1.0, (count, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)


def sharp(points: Array) -> Array:
    """[k] bool: corners of a polygon at which its rim turns enough."""
    before, after = np.roll(points, 1, 0) - points, np.roll(points, -1, 0) - points
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return np.degrees(np.arccos(np.clip((before * after).sum(1) / lengths, -1, 1))) <= FLATTEST


def polygon(canvas: Canvas, rng: np.random.Generator) -> Corners:
    """Three to seven corners, of which blunt ones do not count."""
    radius = rng.uniform(0.15, 0.5) * _least(canvas)
    middle = _anywhere(canvas, rng, 0.3 * radius)
    points = middle + _outline(rng, int(rng.integers(3, 8)), radius)
    canvas.star_shaped(points, middle, canvas.level())
    return points[sharp(canvas.seen(points))]


def polygons(canvas: Canvas, rng: np.random.Generator) -> Corners:
    """Up to thirty that do not overlap, each with blotches of its own."""
    least, corners = _least(canvas), [NONE]
    discs: list[Disc] = []
    for _ in range(int(rng.integers(2, 31))):
        radius = rng.uniform(0.07, 0.22) * least
        if (middle := _free(canvas, rng, discs, radius)) is None:
            continue
        discs.append((middle, radius))
        points = middle + _outline(rng, int(rng.integers(3, 7)), radius)
        canvas.star_shaped(points, middle, canvas.texture(canvas.level()))
        corners.append(points[sharp(canvas.seen(points))])
    return np.concatenate(corners)


def _free(canvas: Canvas, rng: np.random.Generator, discs: list[Disc], radius: float) -> Array | None:
    """The middle of a disc that touches none of the others, if one is found."""
    for _ in range(TRIES):
        middle = _anywhere(canvas, rng)
        if all(np.linalg.norm(middle - other) > 1.05 * (radius + r) for other, r in discs):
            return middle
    return None


def ellipses(canvas: Canvas, rng: np.random.Generator) -> Corners:
    """Up to twenty that do not overlap, and nothing to detect."""
    least = _least(canvas)
    discs: list[Disc] = []
    for _ in range(int(rng.integers(1, 21))):
        axes = rng.uniform(0.04, 0.2, 2) * least
        if (middle := _free(canvas, rng, discs, axes.max())) is not None:
            discs.append((middle, axes.max()))
            canvas.ellipse(middle, axes, rng.uniform(0, np.pi), canvas.level())
    return NONE


def star(canvas: Canvas, rng: np.random.Generator) -> Corners:
    """Three to five bars from one point; the point and the far ends count."""
    count, least = int(rng.integers(3, 6)), _least(canvas)
    middle, width = _anywhere(canvas, rng, 0.25 * least), max(rng.uniform(0.015, 0.03) * least, 1.0)
    angle = 2 * np.pi * (np.arange(count) + rng.uniform(-0.25, 0.25, count)) / count + rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(0.15, 0.5, (count, 1)) * least
    ends, level = middle + reach * np.stack([np.cos(angle), np.sin(angle)], 1), canvas.level()
    for end in ends:
        canvas.line(middle, end, width, level)
    return np.concatenate([middle[None], ends])


def _cuts(rng: np.random.Generator, count: int, low: float, high: float) -> Array:
    """The borders of `count` stretches of uneven length."""
    lengths = rng.uniform(0.7, 1.3, count)
    return low + (high - low) * np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()])


def checkerboard(canvas: Canvas, rng: np.random.Generator) -> Corners:
    """Three to seven rows and columns; all crossings count, the rim's too."""
    w, h = canvas.width, canvas.height
    (x0, y0), (x1, y1) = rng.uniform(0.02, 0.2, 2) * [w, h], rng.uniform(0.8, 0.98, 2) * [w, h]
    x, y = _cuts(rng, int(rng.integers(3, 8)), x0, x1), _cuts(rng, int(rng.integers(3, 8)), y0, y1)
    first = canvas.level()
    levels = (first, canvas.level(first))
    for i in range(len(x) - 1):
        for j in range(len(y) - 1):
            cell = np.array([[x[i], y[j]], [x[i + 1], y[j]], [x[i + 1], y[j + 1]], [x[i], y[j + 1]]])
            canvas.polygon(cell, float(np.clip(levels[(i + j) % 2] + rng.uniform(-8, 8), 0, 255)))
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


def stripes(canvas: Canvas, rng: np.random.Generator) -> Corners:
    """Bands side by side; both ends of every border count."""
    x = _cuts(rng, int(rng.integers(3, 9)), *(rng.uniform([0.02, 0.75], [0.25, 0.98]) * canvas.width))
    top, foot = rng.uniform([0.02, 0.7], [0.3, 0.98]) * canvas.height
    level = canvas.level()
    for a, b in pairwise(x):
        canvas.polygon(np.array([[a, top], [b, top], [b, foot], [a, foot]]), level)
        level = canvas.level(level)
    return np.stack(np.meshgrid(x, [top, foot]), -1).reshape(-1, 2)


def cube(canvas: Canvas, rng: np.random.Generator) -> Corners:
    """A box turned by 18 to 72 degrees about every axis: the seven corners that are seen."""
    size, turn = rng.uniform(0.3, 0.5, 3) * _least(canvas), np.radians(rng.uniform(18, 72, 3))
    R = np.eye(3)
    for axis, (c, s) in enumerate(zip(np.cos(turn), np.sin(turn), strict=True)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(3)
        one[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
        R = one @ R
    places = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3, indexing="ij"), -1)  # [2, 2, 2, 3]
    flat = _anywhere(canvas, rng, 0.3 * _least(canvas)) + (places * size) @ R.T[:, :2]
    level, seen = canvas.ground, []
    for axis in range(3):
        near = int(R[2, axis] < 0)  # seen from below, along z
        face = np.take(flat, near, axis)
        level = canvas.level(level)
        canvas.polygon(face[[0, 0, 1, 1], [0, 1, 1, 0]], level)
        seen.append(face.reshape(-1, 2))
    return np.unique(np.concatenate(seen).round(9), axis=0)


def noise(canvas: Canvas, rng: np.random.Generator) -> Corners:
    """Every place of its own level, and nothing to detect."""
    levels = rng.integers(0, 256, (canvas.height, canvas.width), dtype=np.uint8)
    canvas.fine[:] = levels.repeat(SCALE, 0).repeat(SCALE, 1)
    return NONE
