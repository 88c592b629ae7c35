"""Plots as SVG text that scales with the page and follows its colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from .colour import even_ticks
from .markup import text


@dataclass(frozen=True)
class Frame:
    """Data window [x0, x1] x [y0, y1] in a box of `width` x `height` user units, with margins for the numbers."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 420
    height: int = 250
    left: int = 46
    right: int = 12
    top: int = 12
    bottom: int = 36
    parts: list[str] = field(default_factory=list)

    def place(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Data to user units; y points up in the data, down in SVG."""
        inner_width, inner_height = self.width - self.left - self.right, self.height - self.top - self.bottom
        u = self.left + (points[:, 0] - self.x[0]) / (self.x[1] - self.x[0]) * inner_width
        v = self.top + (self.y[1] - points[:, 1]) / (self.y[1] - self.y[0]) * inner_height
        return np.stack([u, v], 1)

    def at(self, x: float, y: float) -> tuple[float, float]:
        u, v = self.place(np.array([[x, y]], np.float64))[0]
        return round(float(u), 1), round(float(v), 1)

    def axes(self, x_label: str, y_label: str) -> None:
        bottom, right = self.height - self.bottom, self.width - self.right
        for value, name in _named(even_ticks(*self.x)):
            u, _ = self.at(value, self.y[0])
            self.parts.append(f'<path class="grid" d="M{u} {self.top}V{bottom}"/>'
                              f'<text class="tick" x="{u}" y="{bottom + 14}" text-anchor="middle">{name}</text>')
        for value, name in _named(even_ticks(*self.y, count=4)):
            _, v = self.at(self.x[0], value)
            self.parts.append(f'<path class="grid" d="M{self.left} {v}H{right}"/>'
                              f'<text class="tick" x="{self.left - 6}" y="{v + 4}" text-anchor="end">{name}</text>')
        self.parts.append(f'<text class="label" x="{right}" y="{self.height - 4}" text-anchor="end">'
                          f"{text(x_label)}</text>")
        if y_label:
            self.parts.append(f'<text class="label" x="{self.left + 5}" y="{self.top + 11}">{text(y_label)}</text>')

    def line(self, points: Float[np.ndarray, "n 2"], style: str) -> None:
        """A polyline; a value that is not finite interrupts it."""
        known = np.isfinite(points).all(1)
        pen, steps = "M", []
        for (u, v), good in zip(self.place(np.where(known[:, None], points, 0)), known, strict=True):
            if good:
                steps.append(f"{pen}{u:.1f} {v:.1f}")
            pen = "L" if good else "M"
        if steps:
            self.parts.append(f'<path class="{style}" d="{"".join(steps)}"/>')

    def band(self, low: float, high: float, style: str) -> None:
        """A horizontal band of the data, cut at the window."""
        low, high = (min(max(v, self.y[0]), self.y[1]) for v in (low, high))
        (left, top), (_, bottom) = self.at(self.x[0], high), self.at(self.x[0], low)
        self.parts.append(f'<rect class="{style}" x="{left}" y="{top}" width="{self.width - self.left - self.right}" '
                          f'height="{round(max(bottom - top, 0), 1)}"/>')

    def svg(self, title: str, attributes: str = "") -> str:
        return (f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{text(title)}"{attributes}>'
                f'<title>{text(title)}</title>{"".join(self.parts)}</svg>')


def _named(ticks: Sequence[float]) -> list[tuple[float, str]]:
    """Ticks with their text: all with as many decimals as the step between them needs."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0] or 1) if ticks else 1
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(v, f"{v + 0.0:.{decimals}f}" if 1e-5 < step < 1e7 else f"{v:.3g}") for v in ticks]


def equal_frame(points: Float[np.ndarray, "n 2"], width: int = 420, highest: int = 380) -> Frame:
    """A window around the points in which one unit is as long in x as in y; its height follows the points."""
    low, high = points.min(0), points.max(0)
    size = np.maximum(high - low, 1e-3 * max(float((high - low).max()), 1e-9)) * 1.12
    blank = Frame((0.0, 1.0), (0.0, 1.0), width)
    inner = width - blank.left - blank.right
    tall = float(np.clip(inner * size[1] / size[0], 90, highest))
    per_unit = min(inner / size[0], tall / size[1])
    middle, half = (low + high) / 2, np.array([inner, tall]) / per_unit / 2
    (x0, y0), (x1, y1) = (middle - half).tolist(), (middle + half).tolist()
    return Frame((x0, x1), (y0, y1), width, round(tall) + blank.top + blank.bottom)


def smooth(values: Float[np.ndarray, "n"], window: int) -> Float[np.ndarray, "n"]:
    """Running mean over the finite values of a centred window."""
    good = np.isfinite(values)
    kernel = np.ones(min(window, len(values)))
    total = np.convolve(np.where(good, values, 0), kernel, "same")
    count = np.convolve(good.astype(np.float64), kernel, "same")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def loss_plot(
    term: str, steps: Float[np.ndarray, "n"], values: Float[np.ndarray, "n"],
    starts: Sequence[tuple[float, str]], healthy: tuple[float, float] | None,
) -> str:
    """One term's curve with its phases (first step, name) and the band in which a healthy run ends."""
    curve = smooth(values, max(1, len(values) // 60))
    seen = values[np.isfinite(values)]
    rim = [0.0, float(np.percentile(seen, 98)), *(healthy or ())] if seen.size else [0.0, 1.0, *(healthy or ())]
    low, high = min(rim + ([float(seen.min())] if seen.size and seen.min() < 0 else [])), max(rim)
    window = (float(steps.min()), float(max(steps.max(), steps.min() + 1)))
    plot = Frame(window, (low, low + 1.08 * (high - low or 1)), width=350, height=210)
    if healthy:
        plot.band(*healthy, "healthy")
    plot.axes("step", "")
    for first, name in starts:
        u, _ = plot.at(first, low)
        plot.parts.append(f'<path class="phase" d="M{u} {plot.top}V{plot.height - plot.bottom}"/>'
                          f'<text class="tick" x="{u + 4}" y="{plot.top + 10}">{text(name)}</text>')
    clipped = np.where(values > plot.y[1], plot.y[1], values)
    plot.line(np.stack([steps, clipped], 1), "raw")
    plot.line(np.stack([steps, np.where(curve > plot.y[1], plot.y[1], curve)], 1), "curve")
    return plot.svg(f"{term} over the steps")


def share_bar(parts: Sequence[tuple[str, float]]) -> str:
    """One bar in which every part is as wide as its share of the whole."""
    whole = sum(size for _, size in parts) or 1
    return '<div class="bar">' + "".join(
        f'<span class="tone{k % 6}" style="width:{100 * size / whole:.2f}%" title="{text(name)}"></span>'
        for k, (name, size) in enumerate(parts)) + "</div>"


def timeline(frames: int, keys: Sequence[int], skipped: Sequence[tuple[int, int]]) -> str:
    """The footage from its first to its last frame: a tick for every key frame, a block for every skipped span."""
    wide, most = 1000, max(frames, 1)
    blocks = "".join(f'<rect class="gap" x="{wide * a / most:.1f}" y="0" height="26" '
                     f'width="{max(wide * (b + 1 - a) / most, 1):.1f}"/>' for a, b in skipped)
    ticks = "".join(f"M{wide * (k + 0.5) / most:.1f} 5V21" for k in keys)
    return (f'<svg class="timeline" viewBox="0 0 {wide} 26" preserveAspectRatio="none" role="img" '
            f'aria-label="key frames and skipped spans">{blocks}<path class="keys" d="{ticks}"/></svg>')
