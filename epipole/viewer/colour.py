"""One colour scale for a whole clip: the same value has the same colour in every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps

GREY = 118  # of pixels without a value; in no colour map used here


@dataclass(frozen=True)
class ColourScale:
    """Linear in the value handed over (inverse depth, log variance); values beyond `low` and `high` are clamped."""

    low: float
    high: float
    colormap: str

    @property
    def table(self) -> UInt8[np.ndarray, "256 3"]:
        """RGB of the 256 steps from low to high."""
        return np.asarray(colormaps[self.colormap](np.arange(256), bytes=True)[:, :3], np.uint8)

    def position(self, value: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
        """0 at `low`, 1 at `high`, clamped; NaN stays NaN."""
        return np.asarray(np.clip((value - self.low) / (self.high - self.low), 0, 1))

    def paint(self, value: Float[np.ndarray, "*s"]) -> UInt8[np.ndarray, "*s 3"]:
        """RGB of every value; grey where it is not finite."""
        known = np.isfinite(value)
        step = np.round(255 * self.position(np.where(known, value, self.low))).astype(np.uint8)
        return np.where(known[..., None], self.table[step], np.uint8(GREY))


def fit_scale(values: Float[np.ndarray, "*s"], colormap: str, percent: tuple[float, float] = (1, 99)) -> ColourScale:
    """The scale between two percentiles of the finite values; a constant gets a band of 1 % around it."""
    known = values[np.isfinite(values)].astype(np.float64)
    low, high = (float(v) for v in np.percentile(known, percent)) if known.size else (0.0, 1.0)
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        middle, half = (low + high) / 2, 0.005 * max(abs(low), 1e-6)
        low, high = middle - half, middle + half
    return ColourScale(low, high, colormap)


def inverse(depth: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    """1 / z in float64; NaN where z is unknown (0, negative or not finite)."""
    z = depth.astype(np.float64)
    known = np.isfinite(z) & (z > 0)
    return np.where(known, 1 / np.where(known, z, 1), np.nan)


def nice_numbers(low: float, high: float) -> list[float]:
    """Numbers of two digits at most between two positive ones, ascending."""
    if not 0 < low < high < math.inf:
        return []
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    candidates = (float(f"{m}e{p}") for p in powers for m in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9))
    return [v for v in candidates if low <= v <= high]


def even_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers at an even step (1, 2 or 5 times a power of ten) between low and high, about `count` of them."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return [low] if math.isfinite(low) else []
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def depth_ticks(scale: ColourScale) -> list[tuple[float, float]]:
    """(depth, place from 0 = near to 1 = far) of the legend of an inverse-depth scale."""
    places = [(z, 1 - float(scale.position(np.array(1 / z)))) for z in nice_numbers(*depth_ends(scale))]
    return spread(places)


def depth_ends(scale: ColourScale) -> tuple[float, float]:
    """(nearest, farthest) depth that an inverse-depth scale tells apart; what lies beyond has the colour of the end."""
    return 1 / scale.high, 1 / max(scale.low, 1e-9)


def deviation_ticks(scale: ColourScale) -> list[tuple[float, float]]:
    """(standard deviation of log depth in per cent, place from 0 to 1) of the legend of a log-variance scale."""
    within = nice_numbers(*deviation_ends(scale))
    return spread([(s, float(scale.position(np.array(2 * math.log(s / 100))))) for s in within])


def deviation_ends(scale: ColourScale) -> tuple[float, float]:
    """(least, greatest) standard deviation of log depth in per cent that a log-variance scale tells apart."""
    return 100 * math.exp(scale.low / 2), 100 * math.exp(scale.high / 2)


def spread(ticks: list[tuple[float, float]], gap: float = 0.13) -> list[tuple[float, float]]:
    """Those ticks that keep a distance from each other and from the rim."""
    kept: list[tuple[float, float]] = []
    for value, place in ticks:
        if 0.06 <= place <= 0.94 and (not kept or place - kept[-1][1] >= gap):
            kept.append((value, place))
    return kept
