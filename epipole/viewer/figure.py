"""A run at a glance as one still picture, for a README or a paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..formats.atomic import replacing
from ..types.errors import InputError
from ..types.predictions import Motion
from .colour import depth_ticks, deviation_ticks, fit_scale, inverse
from .markup import number
from .panels import aligned
from .preview import decode, previews_of
from .run_folder import Cloud, RunFolder, evenly

SAMPLES = 3            # frames shown
SCALE_FRAMES = 60      # frames over which a colour scale is fitted
POINTS = 600_000       # of the cloud
SOFT, BLUE, ORANGE = "#60666f", "#1f5fae", "#c4571b"
STAGE = (20, 22, 26)   # behind the cloud


def write_figure(run_folder: Path, path: Path, frames: Iterable[tuple[int, np.ndarray]] | None = None) -> Path:
    """Writes a PNG: three frames with their depth and uncertainty, the camera path from above, and the cloud.

    `frames` as for `write_report`. What the run does not hold stays blank. Raises InputError when there is neither
    depth nor a path.
    """
    run = RunFolder(Path(run_folder))
    if not run.frames and run.motion is None:
        raise InputError(f"{run_folder} holds neither depth nor a camera path yet; let the run finish first.")
    picture = Figure(figsize=(12.6, 5.6), dpi=130, facecolor="white")
    grid = picture.add_gridspec(1, 2, width_ratios=(2.75, 1.95), wspace=0.09)
    picture.subplots_adjust(left=0.02, right=0.985, top=0.94, bottom=0.03)
    samples = grid[0].subgridspec(SAMPLES + 1, 3, height_ratios=[1] * SAMPLES + [0.16], wspace=0.03, hspace=0.05)
    _samples([[picture.add_subplot(samples[r, c]) for c in range(3)] for r in range(SAMPLES + 1)], run,
             previews_of(run, frames))
    space = grid[1].subgridspec(2, 1, height_ratios=(1, 1.2), hspace=0.22)
    _path(picture.add_subplot(space[0]), run.motion, run.truth, run.unit)
    _cloud(picture.add_subplot(space[1]), run.cloud(POINTS))
    with replacing(path) as part:
        picture.savefig(part, format="png")
    return Path(path)


def _samples(cells: Sequence[Sequence[Axes]], run: RunFolder, photos: Mapping[int, bytes]) -> None:
    """Rows of footage, depth and uncertainty; the colour bars stand in the last row."""
    for axes in (a for row in cells for a in row):
        axes.axis("off")
    pool = [i for i in photos if i in set(run.frames)] or run.frames or list(photos)
    if not pool:
        return
    shown = evenly(evenly(pool, 2 * SAMPLES + 1)[1::2], SAMPLES)
    pictures = [decode(photos[i]) if i in photos else None for i in shown]
    shape = next((p.shape[0] / p.shape[1] for p in pictures if p is not None), None)
    _column([row[0] for row in cells], "Footage", pictures, shape)
    depth, clip = run.depth(shown), run.depth(evenly(run.frames, SCALE_FRAMES))
    if depth is None or clip is None:
        return
    scale = fit_scale(inverse(clip.depth.numpy()), "turbo")
    painted = [scale.paint(inverse(z)) for z in depth.depth[:, 0].numpy()]
    _column([row[1] for row in cells], f"Learned depth ({run.unit})", painted, shape)
    _bar(cells[-1][1], scale.table[::-1], depth_ticks(scale), "")
    if "log_variance" in depth:
        scale = fit_scale(clip.log_variance.numpy(), "magma")
        painted = [scale.paint(v) for v in depth.log_variance[:, 0].numpy()]
        _column([row[2] for row in cells], "Uncertainty", painted, shape)
        _bar(cells[-1][2], scale.table, deviation_ticks(scale), "%")


def _column(cells: Sequence[Axes], title: str, pictures: Sequence[np.ndarray | None], shape: float | None) -> None:
    cells[0].set_title(title, fontsize=10)
    for axes, picture in zip(cells, pictures, strict=False):
        if picture is not None:
            axes.imshow(picture, extent=(0, 1, 0, 1), aspect=shape or picture.shape[0] / picture.shape[1])


def _bar(axes: Axes, colours: UInt8[np.ndarray, "256 3"], ticks: Sequence[tuple[float, float]], unit: str) -> None:
    axes.imshow(colours[None], extent=(0, 1, 0.72, 1), aspect="auto")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for value, place in ticks:
        axes.text(place, 0.62, number(value, 2) + unit, ha="center", va="top", fontsize=8, color=SOFT)


def _path(axes: Axes, motion: Motion | None, truth: Motion | None, unit: str) -> None:
    """From above, equal axes."""
    if motion is None:
        axes.axis("off")
        return
    centres = motion.T_first_camera[:, :3, 3].numpy()
    if truth is not None and len(truth.T_first_camera) == len(centres):
        true = aligned(truth, motion)
        axes.plot(true[:, 0], true[:, 2], color=ORANGE, linewidth=1.6, label="true path")
    axes.plot(centres[:, 0], centres[:, 2], color=BLUE, linewidth=1.6, label="learned path")
    axes.plot(*centres[0, [0, 2]], "o", color="white", markeredgecolor="black", markersize=6)
    axes.plot(*centres[-1, [0, 2]], "s", color="black", markersize=5)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(f"Camera path from above ({unit})", fontsize=10)
    axes.tick_params(labelsize=8, colors=SOFT, length=0)
    axes.grid(color="#e4e5e1", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="best")


def _cloud(axes: Axes, cloud: Cloud | None) -> None:
    axes.axis("off")
    if cloud is None:
        return
    axes.imshow(render_cloud(cloud, 900, 520), interpolation="antialiased")
    axes.set_title(f"3-D map, {cloud.total:,} points", fontsize=10)


def render_cloud(
    cloud: Cloud, width: int, height: int, yaw: float = 0.45, pitch: float = 0.4
) -> UInt8[np.ndarray, "h w 3"]:
    """The cloud seen from behind and above its middle (radians), nearest points in front."""
    low, high = np.percentile(cloud.points, (10, 90), axis=0)
    distance = 1.2 * float(np.linalg.norm(high - low)) + 1e-9
    view = (cloud.points - np.median(cloud.points, axis=0)) @ turned(yaw, pitch).T + np.array([0, 0, distance])
    front = view[:, 2] > 0.1 * distance
    view, colours = view[front], cloud.colours[front]
    u, v = (view[:, :2] / view[:, 2:] * height + np.array([width / 2, height / 2])).round().astype(int).T
    image = np.full((height, width, 3), STAGE, np.uint8)
    far_first = np.argsort(-view[:, 2], kind="stable")  # later writes win, so the nearest point stays
    dots = [(du, dv) for du in (0, 1) for dv in (0, 1)]
    for part in np.array_split(far_first, 64):
        for du, dv in dots:
            a, b = u[part] + du, v[part] + dv
            seen = (a >= 0) & (a < width) & (b >= 0) & (b < height)
            image[b[seen], a[seen]] = colours[part[seen]]
    return image


def turned(yaw: float, pitch: float) -> Float[np.ndarray, "3 3"]:
    """Rows right, down, forward of a view turned about the vertical (y points down), then tilted down by `pitch`."""
    c, s, d, e = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array([[c, 0, -s], [-s * e, d, -c * e], [s * d, e, c * d]])
