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
    plain,
    planks,
    sky_view,
    stripes,
    tiles,
    wood,
)

Span = tuple[float, float]
GRAIN = 0.7  # unevenness of what is not bare, so that it can be followed


@dataclass(frozen=True)
class Surface:
    """What materials a kind of surface may be given: every value is drawn from its span."""

    patterns: tuple[Pattern, ...]
    frequency: Span        # 1/m
    saturation: Span
    brightness: Span
    hue: Span = (0.0, 1.0)
    grain: float = GRAIN


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
    "door": Surface((wood, wood, plain, stripes), (4.0, 8.0), (0.1, 0.5), (0.3, 0.85), (0.03, 0.12)),
    "glass": Surface((sky_view,), (0.6, 1.2), (0.1, 0.4), (0.5, 0.95), (0.52, 0.64)),
    "screen": Surface((plain, collage, blotches), (2.0, 5.0), (0.1, 0.6), (0.02, 0.5)),
    "plastic": Surface((plain, blotches), (8.0, 16.0), (0.0, 0.5), (0.05, 0.9)),
    "linen": Surface((stripes, blotches, tiles, collage), (6.0, 14.0), (0.05, 0.5), (0.4, 0.95)),
    "road": Surface((blotches,), (1.0, 8.0), (0.0, 0.1), (0.25, 0.42)),
    "pavement": Surface((tiles, bricks), (1.2, 3.0), (0.0, 0.15), (0.4, 0.65), (0.05, 0.12)),
    "kerb": Surface((blotches,), (5.0, 12.0), (0.0, 0.06), (0.5, 0.75)),
    "grass": Surface((blotches,), (4.0, 10.0), (0.3, 0.6), (0.15, 0.45), (0.2, 0.32)),
    "marking": Surface((blotches,), (6.0, 12.0), (0.0, 0.05), (0.75, 1.0)),
    "facade": Surface((bricks, bricks, plain, plain, tiles), (2.5, 6.0), (0.03, 0.4), (0.35, 0.9), (0.0, 0.14)),
    "pane": Surface((blotches, sky_view), (0.3, 1.0), (0.1, 0.4), (0.08, 0.45), (0.5, 0.65)),
    "trim": Surface((blotches, wood), (5.0, 10.0), (0.0, 0.3), (0.4, 0.95)),
    "roof": Surface((tiles, bricks), (2.0, 4.0), (0.2, 0.6), (0.2, 0.5), (0.0, 0.08)),
    "paint": Surface((plain,), (0.5, 2.0), (0.0, 0.9), (0.1, 0.95)),
    "rubber": Surface((blotches,), (10.0, 20.0), (0.0, 0.05), (0.05, 0.15)),
    "metal": Surface((blotches, plain), (3.0, 9.0), (0.0, 0.1), (0.3, 0.7)),
    "tail": Surface((plain,), (2.0, 4.0), (0.7, 0.9), (0.4, 0.7), (0.98, 1.0)),
    "plate": Surface((stripes,), (12.0, 20.0), (0.0, 0.1), (0.1, 1.0)),
    "skin": Surface((blotches,), (6.0, 12.0), (0.3, 0.5), (0.35, 0.85), (0.04, 0.08)),
    "bark": Surface((wood, blotches), (6.0, 12.0), (0.2, 0.5), (0.15, 0.4), (0.05, 0.1)),
    "lamplight": Surface((plain,), (1.0, 2.0), (0.0, 0.1), (0.95, 1.0)),
    "backdrop": Surface((plain,), (1.0, 2.0), (0.0, 0.03), (0.9, 1.0), grain=0.1),
    "ground": Surface((plain, blotches), (2.0, 6.0), (0.0, 0.4), (0.3, 0.9)),
    "cloth": Surface((stripes, tiles, collage, blotches, wood), (14.0, 40.0), (0.1, 0.5), (0.3, 0.9)),
    "backing": Surface((mosaic, collage, bricks, blotches), (8.0, 25.0), (0.1, 0.5), (0.3, 0.9)),
    "small print": Surface((collage, mosaic, tiles, stripes), (50.0, 120.0), (0.3, 0.8), (0.3, 0.95)),
    "label": Surface((blotches, stripes, collage, plain), (40.0, 110.0), (0.3, 0.8), (0.2, 0.9)),
    "paper": Surface((stripes,), (300.0, 600.0), (0.0, 0.15), (0.7, 0.95)),
    "glaze": Surface((blotches, stripes, mosaic, plain), (30.0, 80.0), (0.1, 0.7), (0.3, 0.95)),
    "peel": Surface((blotches,), (40.0, 120.0), (0.4, 0.8), (0.3, 0.8), (0.0, 0.32)),
    "complexion": Surface((plain,), (10.0, 20.0), (0.3, 0.55), (0.25, 1.0), (0.03, 0.075), grain=0.15),
    "hair": Surface((blotches, wood), (15.0, 40.0), (0.1, 0.7), (0.02, 0.75), (0.02, 0.13)),
    "lips": Surface((plain,), (20.0, 40.0), (0.35, 0.65), (0.3, 0.8), (0.94, 1.02), grain=0.1),
    "eyeball": Surface((plain,), (20.0, 40.0), (0.0, 0.05), (0.85, 1.0), grain=0.1),
    "iris": Surface((plain,), (80.0, 160.0), (0.3, 0.7), (0.15, 0.65), (0.05, 0.62)),
    "dark": Surface((plain,), (20.0, 40.0), (0.0, 0.4), (0.0, 0.08), (0.95, 1.0), grain=0.1),
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
    grain: Array      # [M] unevenness on top of the pattern
    gloss: Array      # [M] strength of the highlight; 0: none
    hardness: Array   # [M] the highlight's exponent (Blinn 1977)

    def colour(self, material: Array, at: Array, normal: Array, footprint: Array) -> Array:
        """Albedo [n, 3] of surface points: material [n], point and normal [n, 3] in object coordinates, size of a pixel
        on the surface [n], m."""
        across = np.argmax(np.abs(normal), -1)
        along = np.array([[1, 2], [0, 2], [0, 1]])[across]
        flat, frequency = np.take_along_axis(at, along, 1), np.take(self.frequency, material)
        offset, albedo = np.take(self.offset, material, 0), np.take(self.mean.astype(np.float32), material, 0)
        pattern, keep = self.pattern[material], detail(0.7 * frequency, footprint)
        for k in np.flatnonzero(np.bincount(pattern)):
            i = np.flatnonzero((pattern == k) & (keep > 0))
            q = Points(at[i], flat[i], footprint[i], np.take(self.colours, material[i], 0), frequency[i], offset[i])
            albedo[i] = mix(albedo[i], PATTERNS[k](q), keep[i])
        grain = fractal(at, offset, footprint, frequency * 1.7)  # nothing is so even that it could not be followed
        return np.clip(albedo * (1 + self.grain[material] * grain)[:, None], 0.01, 0.95)


BARE = (0.0, 0.0, 0.1, 0.25)     # share of materials without any texture, by difficulty
SHINING = (0.0, 0.0, 0.05, 0.12)  # share of materials with highlights
NEVER_BARE = {"road", "facade", "leaf", "grass"}
ALWAYS_SHINING = {"paint": 0.5, "glass": 0.8, "screen": 0.5}  # share of highlights in surfaces that have them


def draw_materials(surfaces: list[str], difficulty: int, rng: np.random.Generator) -> Materials:
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
    hard = rng.random((3, len(surfaces)))  # drawn last, so that no other value depends on the difficulty
    bare = (hard[0] < BARE[difficulty]) & [s not in NEVER_BARE for s in surfaces]
    pattern = np.where(bare, PATTERNS.index(plain), kinds)
    grain = [SURFACES[s].grain for s in surfaces]
    always = np.array([ALWAYS_SHINING.get(s, 0.0) for s in surfaces])
    gloss = np.where(hard[1] < SHINING[difficulty], 0.15 + 0.45 * hard[2], always)
    return Materials(
        pattern, colours, np.array(frequencies, np.float32), np.array(offsets, np.float32),
        np.where(bare[:, None], colours[:, 0], colours.mean(1)), np.where(bare, 0, grain).astype(np.float32), gloss,
        10 * 8 ** hard[2],
    )


def _levels(brightness: Span, rng: np.random.Generator) -> Array:
    """Three brightnesses that differ enough to be told apart, in random order."""
    low, high = brightness
    return rng.permutation(low + (high - low) * (np.array([0.15, 0.5, 0.85]) + rng.uniform(-0.15, 0.15, 3)))
