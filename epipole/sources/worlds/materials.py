"""What surfaces are made of: which patterns, scales and colours a wall, a fabric or a book cover may have."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from .meshes import Array
from .textures import (
    PATTERNS,
    Pattern,
    Points,
    blotches,
    bricks,
    collage,
    detail,
    fractal,
    mix,
    mosaic,
    planks,
    stripes,
    tiles,
    wood,
)

Span = tuple[float, float]


@dataclass(frozen=True)
class Surface:
    """What materials a kind of surface may be given: every value is drawn from its span."""

    patterns: tuple[Pattern, ...]
    frequency: Span        # 1/m
    saturation: Span
    brightness: Span
    hue: Span = (0.0, 1.0)


SURFACES = {
    "wall": Surface((blotches, blotches, bricks, collage, mosaic), (3.0, 7.0), (0.05, 0.35), (0.5, 0.9)),
    "floor": Surface((planks, planks, tiles, mosaic), (5.0, 9.0), (0.15, 0.5), (0.3, 0.65), (0.02, 0.13)),
    "ceiling": Surface((tiles, blotches), (2.0, 4.0), (0.0, 0.1), (0.65, 0.95)),
    "wood": Surface((wood,), (5.0, 10.0), (0.3, 0.65), (0.25, 0.7), (0.03, 0.12)),
    "fabric": Surface((stripes, blotches, collage, mosaic), (9.0, 18.0), (0.2, 0.65), (0.25, 0.8)),
    "print": Surface((collage, mosaic, tiles, stripes), (7.0, 14.0), (0.3, 0.8), (0.3, 0.9)),
    "poster": Surface((collage, mosaic, blotches), (5.0, 12.0), (0.2, 0.8), (0.2, 1.0)),
    "cover": Surface((blotches, stripes, collage), (10.0, 25.0), (0.2, 0.8), (0.15, 0.85)),
    "rug": Surface((tiles, collage, stripes, mosaic), (5.0, 9.0), (0.3, 0.7), (0.2, 0.7)),
    "ceramic": Surface((blotches, stripes, mosaic), (10.0, 20.0), (0.2, 0.7), (0.4, 0.95)),
    "leaf": Surface((blotches, mosaic), (14.0, 24.0), (0.4, 0.7), (0.15, 0.6), (0.22, 0.38)),
}


@dataclass(frozen=True)
class Materials:
    """One row per material."""

    pattern: Array    # [M] index into PATTERNS
    colours: Array    # [M, 3, 3] linear RGB
    frequency: Array  # [M] 1/m
    offset: Array     # [M, 3]
    mean: Array       # [M, 3] what is seen from very far

    def colour(self, material: Array, at: Array, normal: Array, footprint: Array) -> Array:
        """Albedo [n, 3] of surface points: material [n], point and normal [n, 3] in object coordinates, size of a pixel
        on the surface [n], m."""
        across = np.argmax(np.abs(normal), -1)
        along = np.array([[1, 2], [0, 2], [0, 1]])[across]
        p = Points(at, np.take_along_axis(at, along, 1), footprint, self.colours[material], self.frequency[material],
                   self.offset[material])
        albedo = np.empty((len(at), 3), np.float32)
        pattern = self.pattern[material]
        for k in np.unique(pattern):
            mask = pattern == k
            q = p.of(mask)
            keep = detail(0.7 * q.frequency, q.footprint)
            albedo[mask] = mix(self.mean[material[mask]], PATTERNS[k](q), keep)
        grain = fractal(p, p.frequency * 1.7)  # nothing is so even that it could not be followed
        return np.clip(albedo * (1 + 0.7 * grain)[:, None], 0.01, 0.95)


def draw_materials(surfaces: list[str], rng: np.random.Generator) -> Materials:
    """A random material for every surface."""
    rows = []
    for surface in surfaces:
        s = SURFACES[surface]
        kind = PATTERNS.index(s.patterns[rng.integers(len(s.patterns))])
        base, spread = rng.uniform(*s.hue), 0.5 * min(s.hue[1] - s.hue[0], 0.5)
        levels = _levels(s.brightness, rng)
        hsv = [(base + rng.uniform(-spread, spread), rng.uniform(*s.saturation), v) for v in levels]
        colours = np.array([colorsys.hsv_to_rgb(h % 1, s, v) for h, s, v in hsv]) ** 2.2
        rows.append((kind, colours, np.exp(rng.uniform(*np.log(s.frequency))), rng.uniform(0, 200, 3)))
    kinds, colour_rows, frequencies, offsets = zip(*rows, strict=True)
    colours = np.array(colour_rows, np.float32)
    return Materials(np.array(kinds), colours, np.array(frequencies), np.array(offsets), colours.mean(1))


def _levels(brightness: Span, rng: np.random.Generator) -> Array:
    """Three brightnesses that differ enough to be told apart, in random order."""
    low, high = brightness
    return rng.permutation(low + (high - low) * (np.array([0.15, 0.5, 0.85]) + rng.uniform(-0.15, 0.15, 3)))
