"""What was predicted for one image as one picture: the image, the prediction in colour, how unsure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from ..formats.atomic import replacing
from .colour import GREY, ColourScale, depth_ticks, deviation_ticks, even_ticks, fit_scale, inverse, spread
from .markup import number

WIDE, BAR = 4.2, 0.16   # inches of a panel; share of its height that the bar below it takes
SOFT = "#60666f"
LONG = 99               # per cent of the flow that is shorter than what has full colour

Map = Float[np.ndarray, "..."]
Ticks = Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """A picture, and the colours from its lowest to its highest number with (number, place) beside them, if any."""

    title: str
    picture: UInt8[np.ndarray, "h w 3"]
    colours: UInt8[np.ndarray, "256 3"] | None = None
    ticks: Ticks = ()
    unit: str = ""


def write_prediction(path: Path, image: Float[np.ndarray, "3 h w"], found: Mapping[str, Map], unit: str = "") -> Path:
    """Writes a PNG: the image in [0, 1], then depth [h w] (in `unit`), disparity [h w] and flow [2 h w] (px), and
    `deviation` [h w], of log depth where there is depth, else in px; each in colours of its own range.

    Raises InputError where the disk refuses.
    """
    panels = panels_of(image, found, unit)
    h, w = image.shape[1:]
    tall = WIDE * h / w
    figure = Figure(figsize=(WIDE * len(panels), tall * (1 + BAR) + 0.35), dpi=100, facecolor="white")
    grid = figure.add_gridspec(2, len(panels), height_ratios=(1, BAR), wspace=0.03, hspace=0.04, left=0.01, right=0.99,
                               bottom=0.01, top=1 - 0.3 / (tall * (1 + BAR) + 0.35))
    for k, panel in enumerate(panels):
        top, below = (figure.add_subplot(grid[row, k]) for row in range(2))
        top.axis("off")
        top.set_title(panel.title, fontsize=10)
        top.imshow(panel.picture, interpolation="nearest", aspect="auto")
        below.axis("off")
        if panel.colours is not None:
            _bar(below, panel)
    with replacing(path) as part:
        figure.savefig(part, format="png")
    return path


def panels_of(image: Float[np.ndarray, "3 h w"], found: Mapping[str, Map], unit: str = "") -> list[Panel]:
    """The panels from left to right."""
    panels = [Panel("Image", np.round(255 * image.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0))]
    if "depth" in found:
        z = inverse(found["depth"])
        scale = fit_scale(z, "turbo")
        panels.append(Panel(f"Depth{f' ({unit})' if unit else ''}", scale.paint(z), scale.table[::-1],
                            depth_ticks(scale)))
    if "disparity" in found:
        panels.append(_linear("Disparity (px)", found["disparity"], "turbo"))
    if "flow" in found:
        picture, longest = paint_flow(found["flow"])
        panels.append(Panel(f"Flow (full colour: {number(longest, 2)} px and more)", picture))
    if "deviation" in found and "depth" in found:
        variance = 2 * np.log(np.maximum(found["deviation"], np.finfo(np.float32).tiny))
        scale = fit_scale(variance, "magma")
        panels.append(Panel("Uncertainty", scale.paint(variance), scale.table, deviation_ticks(scale), "%"))
    elif "deviation" in found:
        panels.append(_linear("Uncertainty (px)", found["deviation"], "magma"))
    return panels


def _linear(title: str, values: Map, colours: str) -> Panel:
    scale = fit_scale(values, colours)
    return Panel(title, scale.paint(values), scale.table, spread(_places(scale)))


def _places(scale: ColourScale) -> list[tuple[float, float]]:
    return [(value, float(scale.position(np.array(value)))) for value in even_ticks(scale.low, scale.high)]


def paint_flow(flow: Float[np.ndarray, "2 h w"]) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
    """Direction as hue and length as saturation, white where nothing moves (as Baker et al. 2011), grey where it is
    unknown; and the length (px) from which colours are full."""
    known = np.isfinite(flow).all(0)
    u, v = np.where(known, flow, 0).astype(np.float64)
    length = np.hypot(u, v)
    longest = max(float(np.percentile(length[known], LONG)) if known.any() else 0.0, 1e-6)
    hue = (np.arctan2(v, u) / (2 * np.pi)) % 1
    colour = hsv_to_rgb(np.stack([hue, (length / longest).clip(0, 1), np.ones_like(hue)], -1))
    return np.where(known[..., None], np.round(255 * colour).astype(np.uint8), np.uint8(GREY)), longest


def _bar(axes: Axes, panel: Panel) -> None:
    assert panel.colours is not None
    axes.imshow(panel.colours[None], extent=(0, 1, 0.6, 1), aspect="auto")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for value, place in panel.ticks:
        axes.text(place, 0.5, number(value, 2) + panel.unit, ha="center", va="top", fontsize=8, color=SOFT)
