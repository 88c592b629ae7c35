"""Gray pictures of polygons and ellipses whose corners are where they are said to be, not at the nearest pixel.

A shape is drawn in its own plane, in pixels, and seen through a homography; every pixel is the mean of 4x4 places in
it, no two of them in one line along an axis, each of which lies within the shape or not.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ..meshes import Array

SCALE = 4            # places along each side of a pixel
LEAST_CONTRAST = 45  # between neighbours, of 255
BLOBS = 100          # in a background


class Canvas:
    """A picture while it is drawn. Levels are 0 to 255."""

    def __init__(self, width: int, height: int, H_image_plane: Array, paint: np.random.Generator) -> None:
        self.width, self.height, self.H, self.paint = width, height, H_image_plane, paint
        self.ground = float(paint.uniform(30, 225))
        self.fine = self.texture(self.ground)

    def level(self, *away: float) -> float:
        """A random level that can be told from the ground's and all others given, as far as there is one."""
        levels = self.paint.uniform(0, 255, 64)
        apart = np.abs(levels[:, None] - [self.ground, *away]).min(1)
        clear = np.flatnonzero(apart >= LEAST_CONTRAST)
        return float(levels[clear[0] if len(clear) else apart.argmax()])

    def texture(self, level: float) -> UInt8[np.ndarray, "H W"]:
        """Soft blotches around a level, as large as the canvas: discs under a wide box filter."""
        size = (self.height * SCALE, self.width * SCALE)
        image, longest = np.full(size, level, np.uint8), max(size)
        spread = self.paint.uniform(0.3, 1.0)
        for _ in range(BLOBS):
            middle = self.paint.uniform(0, 1, 2) * size[::-1]
            tone = level + spread * self.paint.uniform(-LEAST_CONTRAST, LEAST_CONTRAST)
            radius = self.paint.uniform(0.02, 0.031) * longest
            cv2.circle(image, middle.astype(int).tolist(), int(radius), float(np.clip(tone, 0, 255)), -1)
        kernel = int(self.paint.uniform(0.03, 0.2) * longest) | 1
        return cv2.blur(image, (kernel, kernel)).astype(np.uint8)

    def seen(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Where points of the plane are in the image, px."""
        p = np.c_[points, np.ones(len(points))] @ self.H.T
        return p[:, :2] / p[:, 2:]

    def polygon(self, points: Float[np.ndarray, "k 2"], colour: float | Array) -> None:
        """Fills a convex polygon of the plane with a level or a texture."""
        self._fill(*self._within(points), colour)

    def star_shaped(self, points: Float[np.ndarray, "k 2"], middle: Array, colour: float | Array) -> None:
        """Fills a polygon whose whole rim is seen from a point within."""
        for a, b in zip(points, np.roll(points, -1, 0), strict=True):
            self.polygon(np.stack([middle, a, b]), colour)

    def line(self, a: Array, b: Array, width: float, colour: float | Array) -> None:
        """A bar with square ends at a and b."""
        along = (b - a) / np.linalg.norm(b - a)
        side = 0.5 * width * np.array([-along[1], along[0]])
        self.polygon(np.stack([a - side, b - side, b + side, a + side]), colour)

    def ellipse(self, middle: Array, axes: Array, turn: float, colour: float | Array) -> None:
        """Fills an ellipse of the plane; half axes in px, turn in radians."""
        c, s = np.cos(turn), np.sin(turn)
        reach = np.hypot(axes * [c, s], axes[::-1] * [s, c])
        frame = middle + reach * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        rows, columns, places = self._places(self.seen(frame))
        x, y = (self._back(places) - middle).T
        inside = ((c * x + s * y) / axes[0]) ** 2 + ((c * y - s * x) / axes[1]) ** 2 <= 1
        self._fill(rows, columns, inside.reshape(rows.stop - rows.start, columns.stop - columns.start), colour)

    def image(self) -> Float[np.ndarray, "h w"]:
        """The picture, one level per pixel."""
        blocks = self.fine.reshape(self.height, SCALE, self.width, SCALE)
        return blocks.mean((1, 3), dtype=np.float32)

    def _back(self, places: Array) -> Array:
        p = np.c_[places, np.ones(len(places))] @ np.linalg.inv(self.H).T
        return p[:, :2] / p[:, 2:]

    def _places(self, outline: Array) -> tuple[slice, slice, Array]:
        """Rows and columns of the canvas around an outline [k, 2] of the image, and their places [n, 2] in it, px."""
        size = np.array([self.width, self.height]) * SCALE
        low = np.clip(np.floor((outline.min(0) + 0.5) * SCALE).astype(int), 0, size)
        high = np.clip(np.ceil((outline.max(0) + 0.5) * SCALE).astype(int) + 1, 0, size)
        v, u = np.mgrid[low[1] : max(high[1], low[1]), low[0] : max(high[0], low[0])]
        skew = (np.stack([v.ravel(), u.ravel()], 1) % SCALE + 0.5) / SCALE
        places = (np.stack([u.ravel(), v.ravel()], 1) + skew) / SCALE - 0.5
        return slice(low[1], low[1] + len(u)), slice(low[0], low[0] + u.shape[1]), places

    def _within(self, points: Array) -> tuple[slice, slice, Array]:
        """Rows and columns of the canvas around a convex polygon of the plane, and which of them lie within it."""
        corners = self.seen(points)
        edge = np.roll(corners, -1, 0) - corners
        turn = np.sign(edge[0, 0] * edge[1, 1] - edge[0, 1] * edge[1, 0])
        rows, columns, places = self._places(corners)
        inside = np.ones(len(places), bool)
        for (x, y), (dx, dy) in zip(corners, edge, strict=True):
            inside &= turn * (dx * (places[:, 1] - y) - dy * (places[:, 0] - x)) >= 0
        return rows, columns, inside.reshape(rows.stop - rows.start, columns.stop - columns.start)

    def _fill(self, rows: slice, columns: slice, inside: Array, colour: float | Array) -> None:
        part = self.fine[rows, columns]
        part[inside] = colour[rows, columns][inside] if isinstance(colour, np.ndarray) else np.uint8(round(colour))
