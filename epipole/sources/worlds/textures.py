"""Solid textures: colour as a function of a point in object coordinates, so that it moves rigidly with the object.

Patterns fade to their mean where they would be finer than two pixels, because a texture that flickers is not the same
in two views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .meshes import Array

_RANDOM = np.random.default_rng(20180613)
PERMUTATION = np.tile(_RANDOM.permutation(256), 3).astype(np.int32)  # Perlin 1985: hash of a lattice point by look-ups
VALUE = _RANDOM.random(768).astype(np.float32)


@dataclass(frozen=True)
class Points:
    """Points to be coloured and what is known of each: all arrays begin with the same axis n."""

    at: Array         # [n, 3] object coordinates, m
    flat: Array       # [n, 2] the two coordinates along the surface, m
    footprint: Array  # [n] size of a pixel on the surface, m
    colours: Array    # [n, 3 colours, 3] linear RGB
    frequency: Array  # [n] 1/m
    offset: Array     # [n, 3] moves every material to a place of its own in the noise


def lattice(i: Array, j: Array, k: Array | int = 0) -> Array:
    """A number in [0, 1) for every lattice point, the same every time."""
    a = np.take(PERMUTATION, np.bitwise_and(i, 255)) + np.bitwise_and(j, 255)
    return np.take(VALUE, np.take(PERMUTATION, a) + np.bitwise_and(k, 255))


def noise(p: Array) -> Array:
    """Value noise in [0, 1) at p [n, 3], smooth, one wave per unit."""
    cell = np.floor(p)
    f = (p - cell).astype(np.float32)
    x, y, z = (f * f * (3 - 2 * f)).T
    i, j, k = (cell.astype(np.int32) & 255).T
    total = np.zeros(len(p), np.float32)
    for dx in (0, 1):
        wx = x if dx else 1 - x
        hx = np.take(PERMUTATION, i + dx) + j
        for dy in (0, 1):
            wy = wx * (y if dy else 1 - y)
            hy = np.take(PERMUTATION, hx + dy) + k
            total += wy * (np.take(VALUE, hy) * (1 - z) + np.take(VALUE, hy + 1) * z)
    return total


def detail(frequency: Array, footprint: Array) -> Array:
    """How much of a wave of this frequency survives: all of it above 4 pixels a wave, nothing below 2."""
    return np.clip(2 - 4 * frequency * footprint, 0, 1).astype(np.float32)


def fractal(at: Array, offset: Array, footprint: Array, frequency: Array, octaves: int = 3) -> Array:
    """Noise [n] of several octaves around 0, about -0.5..0.5, at points [n, 3] moved by offsets [n, 3]; what is too
    fine to be seen is not computed."""
    total = np.zeros(len(at), np.float32)
    for k in range(octaves):
        f = frequency * 2.1**k
        keep = detail(f, footprint)
        seen = slice(None) if keep.all() else np.flatnonzero(keep)
        places = at[seen] * f[seen, None] + offset[seen] + 17.3 * k
        total[seen] += (noise(places) - 0.5) * keep[seen] * 0.62**k
    return total


def fractal_of(p: Array, octaves: int) -> Array:
    """Noise of several octaves around 0 at p [n, 3], one wave of the first per unit."""
    waves = [(noise(p * 2.1**k + 17.3 * k) - 0.5) * np.float32(0.62**k) for k in range(octaves)]
    return np.sum(waves, axis=0)


def ramp(edge: Array, width: Array | float) -> Array:
    """0 below an edge, 1 above, softened over `width`."""
    return np.clip(edge / np.maximum(width, 1e-6) + 0.5, 0, 1)


def mix(a: Array, b: Array, share: Array) -> Array:
    return a + (b - a) * share[:, None]


def pick(q: Points, chance: Array) -> Array:
    """One of the three colours for every number in [0, 1), a little lighter or darker each time."""
    third = np.minimum((chance * 3).astype(np.int32), 2)
    return q.colours[np.arange(len(third)), third] * (0.75 + 0.5 * (chance * 7.31 % 1))[:, None]


def _cells(q: Points, stretch: float = 1.0) -> tuple[Array, Array, Array, Array]:
    """Lattice cells on the surface: indices (i, j), position within (a, b) in [0, 1); cells are `stretch` times as long
    as high and every other row is shifted by half where they are."""
    x = q.flat * q.frequency[:, None] + q.offset[:, :2]
    j = np.floor(x[:, 1])
    along = x[:, 0] / stretch + (0.5 * (j % 2) if stretch != 1 else 0)
    i = np.floor(along)
    return i.astype(np.int32), j.astype(np.int32), along - i, x[:, 1] - j


def plain(q: Points) -> Array:
    """One even colour: nothing to follow."""
    return q.colours[:, 0]


def sky_view(q: Points) -> Array:
    """What a window shows: brighter towards the top, with something dark and uneven below."""
    hill = 0.35 * (fractal(q.at, q.offset, q.footprint, q.frequency) + 0.5) + 0.25
    height = q.at[:, 2] * q.frequency
    above = mix(q.colours[:, 0], q.colours[:, 1], ramp(height - 0.8, 1.0))
    return mix(q.colours[:, 2] * 0.3, above, ramp(height - hill, np.maximum(0.05, q.footprint * q.frequency)))


def blotches(q: Points) -> Array:
    n = fractal(q.at, q.offset, q.footprint, q.frequency)
    return mix(mix(q.colours[:, 0], q.colours[:, 1], ramp(n, 0.5)), q.colours[:, 2], ramp(n - 0.2, 0.15))


def wood(q: Points) -> Array:
    """Rings around an axis along x, bent by noise."""
    warp = noise(q.at * np.array([1.5, 4.0, 4.0]) + q.offset)
    f = q.frequency * 3
    rings = np.hypot(q.at[:, 1] + 0.31, q.at[:, 2] + 0.17) * f + 2.5 * warp
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * rings) * detail(f, q.footprint)
    return mix(mix(q.colours[:, 0], q.colours[:, 1], wave), q.colours[:, 2], 0.5 * warp)


def planks(q: Points) -> Array:
    """Boards along x, each of its own shade, with grain."""
    i, j, a, b = _cells(q, 7.0)
    size = q.footprint * q.frequency
    grain = noise(np.stack([q.flat[:, 0] * 3, q.flat[:, 1] * 30, 37.0 * lattice(i, j)], -1) + q.offset) - 0.5
    board = pick(q, lattice(i, j, 1)) * (1 + 0.7 * grain * detail(np.full(len(grain), 12.0), q.footprint))[:, None]
    gap = ramp(np.minimum(b, 1 - b) - 0.03, size) * ramp(7 * np.minimum(a, 1 - a) - 0.03, size)
    return board * (0.35 + 0.65 * gap)[:, None]


def bricks(q: Points) -> Array:
    i, j, a, b = _cells(q, 2.2)
    size = q.footprint * q.frequency
    inside = ramp(np.minimum(b, 1 - b) - 0.07, size) * ramp(2.2 * np.minimum(a, 1 - a) - 0.07, size)
    mortar = np.broadcast_to(np.array([0.45, 0.43, 0.4], np.float32), (len(a), 3))
    return mix(mortar, pick(q, lattice(i, j, 2)), inside)


def tiles(q: Points) -> Array:
    i, j, a, b = _cells(q)
    size = q.footprint * q.frequency
    inside = ramp(np.minimum(b, 1 - b) - 0.03, size) * ramp(np.minimum(a, 1 - a) - 0.03, size)
    return pick(q, lattice(i, j, 3)) * (0.5 + 0.5 * inside)[:, None]


def stripes(q: Points) -> Array:
    """Bands of random width and colour."""
    x = q.flat[:, 0] * q.frequency + q.offset[:, 0]
    i = np.floor(x).astype(np.int32)
    split = 0.25 + 0.5 * lattice(i, i, 4)
    left, right = pick(q, lattice(i, i, 5)), pick(q, lattice(i, i, 6))
    return mix(left, right, ramp(x - i - split, q.footprint * q.frequency))


def collage(q: Points) -> Array:
    """Discs, bars and frames of any colour on a ground: what prints, posters and packages look like from afar."""
    i, j, a, b = _cells(q)
    x, y = a - 0.5 + 0.24 * (lattice(i, j, 7) - 0.5), b - 0.5 + 0.24 * (lattice(i, j, 8) - 0.5)
    r = 0.2 + 0.2 * lattice(i, j, 9)
    disc, square = np.hypot(x, y) - r, np.maximum(abs(x), abs(y)) - r
    bar, ring, slash = np.maximum(abs(x) - 0.45, abs(y) - 0.3 * r), abs(disc) - 0.08, abs(x + y) - 0.4 * r
    shapes = np.stack([disc, square, bar, ring, slash])
    which = (lattice(i, j, 10) * len(shapes)).astype(np.int32)
    inside = ramp(-shapes[which, np.arange(len(which))], q.footprint * q.frequency)
    ground = mix(q.colours[:, 0], q.colours[:, 1], ramp(noise(q.at * q.frequency[:, None] * 0.4 + q.offset) - 0.5, 0.1))
    ink = pick(q, lattice(i, j, 11))
    return mix(ground, ink[:, [1, 2, 0]], inside)


def mosaic(q: Points) -> Array:
    """Cells around random points (Worley 1996), a colour for each."""
    i, j, a, b = _cells(q)
    best, chance = np.full(len(a), np.inf), np.zeros(len(a), np.float32)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            x, y = lattice(i + di, j + dj, 12), lattice(i + di, j + dj, 13)
            d = (di + x - a) ** 2 + (dj + y - b) ** 2
            nearer = d < best
            best, chance = np.where(nearer, d, best), np.where(nearer, lattice(i + di, j + dj, 14), chance)
    return pick(q, chance)


Pattern = Callable[[Points], Array]
PATTERNS: tuple[Pattern, ...] = (blotches, wood, planks, bricks, tiles, stripes, collage, mosaic, plain, sky_view)
