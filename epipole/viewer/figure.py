"""A run at a glance as one still picture, for a README or a paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..formats.atomic import replacing
from ..formats.run import FAR, lengths_text
from ..types.errors import InputError
from ..types.predictions import Motion
from .colour import depth_ends, depth_ticks, deviation_ends, deviation_ticks, fit_scale, inverse, spread
from .marks import DISTANT, MOVED, WIDTH, left_out, marked, marks_in, masks_of, stripes
from .markup import number
from .panels import aligned
from .preview import decode, previews_of
from .run_folder import Cloud, RunFolder, evenly
from .viewpoint import Viewpoint, overview, turned

FEWEST, MOST = 3, 7    # frames shown: the more, the wider they are
SCALE_FRAMES = 60      # frames over which a colour scale is fitted
POINTS = 600_000       # of the cloud
SOFT, BLUE, ORANGE = "#60666f", "#1f5fae", "#c4571b"
STAGE, TRACE = (20, 22, 26), (106, 165, 236)   # behind the cloud; the path in it
MAP = (1200, 694)      # pixels of the picture of the cloud
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")   # each a format
DOT, LARGEST = 1.8, 5  # of a point: side against the mean distance of points over the picture; pixels


def write_figure(run_folder: Path, path: Path, frames: Iterable[tuple[int, np.ndarray]] | None = None) -> Path:
    """Writes what the path's suffix says: some frames with their depth and uncertainty, the camera path from above, and
    the cloud. What moved or is suspiciously far is marked over the uncertainty.

    `frames` as for `write_report`. What the run does not hold stays blank. Raises InputError when there is neither
    depth nor a path, and for a suffix that is not one of `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} cannot be written: give the picture one of the suffixes {', '.join(SUFFIXES)}")
    run = RunFolder(Path(run_folder))
    if not run.frames and run.motion is None:
        raise InputError(f"{run_folder} holds neither depth nor a camera path yet; let the run finish first.")
    picture = Figure(figsize=(12.6, 6.15), dpi=130, facecolor="white")
    grid = picture.add_gridspec(1, 2, width_ratios=(2.4, 2), wspace=0.09)
    picture.subplots_adjust(left=0.01, right=0.99, top=0.945, bottom=0.125)
    lines = [line for said in (lengths_text(run.about).replace("l", "L", 1), left_out(run)) for line in wrap(said, 200)]
    picture.text(0.01, 0.01, "\n".join(lines), fontsize=8, color=SOFT, va="bottom")
    photos = previews_of(run, frames)
    rows = _rows(photos)
    samples = grid[0].subgridspec(rows + 1, 3, height_ratios=[1] * rows + [0.05 * rows], wspace=0.03, hspace=0.05)
    _samples([[picture.add_subplot(samples[r, c]) for c in range(3)] for r in range(rows + 1)], run, photos)
    space = grid[1].subgridspec(2, 1, height_ratios=(1, 2.3), hspace=0.26)
    _path(picture.add_subplot(space[0]), run.motion, run.truth, run.unit)
    _cloud(picture.add_subplot(space[1]), run.cloud(POINTS), run.motion)
    with replacing(path) as part:
        picture.savefig(part, format=path.suffix[1:].lower())
    return Path(path)


def _rows(photos: Mapping[int, bytes]) -> int:
    """As many as fill the picture's height."""
    photo = decode(next(iter(photos.values()))) if photos else None
    return FEWEST if photo is None else max(FEWEST, min(MOST, round(2.25 * photo.shape[1] / photo.shape[0])))


def _samples(cells: Sequence[Sequence[Axes]], run: RunFolder, photos: Mapping[int, bytes]) -> None:
    """Rows of footage, depth and uncertainty; the colour bars stand in the last row."""
    for axes in (a for row in cells for a in row):
        axes.axis("off")
    pool = [i for i in photos if i in set(run.frames)] or run.frames or list(photos)
    if not pool:
        return
    rows = len(cells) - 1
    keys = [i for i in pool if i in set(run.items("key_frames"))]   # of which it is known what moved
    pool = keys if run.has_masks and len(keys) > 2 * rows else pool
    shown = evenly(evenly(pool, 2 * rows + 1)[1::2], rows)
    pictures = [decode(photos[i]) if i in photos else None for i in shown]
    shape = next((p.shape[0] / p.shape[1] for p in pictures if p is not None), None)
    _column([row[0] for row in cells], "Footage", pictures, shape)
    depth, clip = run.depth(shown), run.depth(evenly(run.frames, SCALE_FRAMES))
    if depth is None or clip is None:
        return
    scale = fit_scale(inverse(clip.depth.numpy()), "turbo")
    painted = [scale.paint(inverse(z)) for z in depth.depth[:, 0].numpy()]
    _column([row[1] for row in cells], f"Learned depth ({run.unit})", painted, shape)
    _bar(cells[-1][1], scale.table[::-1], depth_ticks(scale), depth_ends(scale), "")
    _key(cells[-1][0], run)
    if "log_variance" in depth:
        scale = fit_scale(clip.log_variance.numpy(), "magma")
        painted = [scale.paint(v) for v in depth.log_variance[:, 0].numpy()]
        size = WIDTH, round(WIDTH * (shape or painted[0].shape[0] / painted[0].shape[1]))
        painted = [marked(image, masks_of(run, i), size) for i, image in zip(shown, painted, strict=True)]
        _column([row[2] for row in cells], "Uncertainty", painted, shape)
        _bar(cells[-1][2], scale.table, deviation_ticks(scale), deviation_ends(scale), "%")


def _column(cells: Sequence[Axes], title: str, pictures: Sequence[np.ndarray | None], shape: float | None) -> None:
    cells[0].set_title(title, fontsize=10)
    for axes, picture in zip(cells, pictures, strict=False):
        if picture is not None:
            axes.imshow(picture, extent=(0, 1, 0, 1), aspect=shape or picture.shape[0] / picture.shape[1])


def _key(axes: Axes, run: RunFolder) -> None:
    """What the stripes mean."""
    meaning = {MOVED: "moved or not confirmed", DISTANT: f"beyond {FAR:.0f} typical depths"}
    for row, mark in enumerate(marks_in(run)):
        patch = stripes(np.ones((1, 1), bool), mark, (40, 20))
        axes.imshow(np.where(patch[..., 3:] > 0, patch[..., :3], 118), extent=(0, 0.09, 0.45 - row, 1 - row),
                    aspect="auto", clip_on=False)
        axes.text(0.12, 0.72 - row, meaning[mark], va="center", fontsize=8, color=SOFT)
    axes.set(xlim=(0, 1), ylim=(0, 1))


def _bar(
    axes: Axes, colours: UInt8[np.ndarray, "256 3"], ticks: Sequence[tuple[float, float]], ends: tuple[float, float],
    unit: str,
) -> None:
    """A colour scale, and what its ends stand for: all that is less, or more."""
    axes.imshow(colours[None], extent=(0, 1, 0.72, 1), aspect="auto")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    inner = [(value, place) for value, place in ticks if 0.26 < place < 0.74]
    for value, place in spread(inner, 0.16):
        axes.text(place, 0.62, number(value, 2) + unit, ha="center", va="top", fontsize=8, color=SOFT)
    for value, place, side, sign in zip(ends, (0, 1), ("left", "right"), "≤≥", strict=True):
        axes.text(place, 0.62, f"{sign} {number(value, 2)}{unit}", ha=side, va="top", fontsize=8, color=SOFT)


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


def _cloud(axes: Axes, cloud: Cloud | None, motion: Motion | None) -> None:
    axes.axis("off")
    if cloud is None:
        return
    path = np.eye(4)[None] if motion is None else motion.T_first_camera.double().numpy()
    view = overview(cloud.points, path)
    picture = render_cloud(cloud, view, *MAP)
    at = np.stack(_looked_at(path[:, :3, 3], view, *MAP)[:2], 1)
    cv2.polylines(picture, [at.round().astype(np.int32)], False, TRACE, 2, cv2.LINE_AA)
    axes.imshow(picture, interpolation="antialiased")
    axes.set_title(f"3-D map, {cloud.total:,} points", fontsize=10)


def render_cloud(cloud: Cloud, view: Viewpoint, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
    """The cloud as a viewpoint has it: dots as large as their distance asks, nearest in front, edges shaded."""
    u, v, z = _looked_at(cloud.points, view, width, height)
    far_first = np.argsort(-z, kind="stable")  # later writes win, so the nearest point stays
    far_first = far_first[z[far_first] > 0.03 * view.distance]
    (u, v), z, colours = np.stack((u, v))[:, far_first].round().astype(int), z[far_first], cloud.colours[far_first]
    size = (DOT * height * view.distance / z / np.sqrt(len(cloud.points))).clip(1)
    image, depth = np.full((height, width, 3), STAGE, np.uint8), np.full((height, width), np.inf)
    for part in np.array_split(np.arange(len(z)), 64):
        for du, dv in np.ndindex(LARGEST, LARGEST):
            a, b = u[part] + du, v[part] + dv
            kept = (a >= 0) & (a < width) & (b >= 0) & (b < height) & (max(du, dv) < size[part])
            image[b[kept], a[kept]], depth[b[kept], a[kept]] = colours[part[kept]], z[part[kept]]
    return shaded(image, depth)


def _looked_at(points: Float[np.ndarray, "n 3"], view: Viewpoint, width: int, height: int) -> tuple[np.ndarray, ...]:
    """Column, row and distance ahead of points in the picture; the first two mean nothing behind it."""
    x, y, z = turned(view.yaw, view.pitch) @ (points @ view.level.T - view.centre).T
    z = z + view.distance
    safe = np.where(np.abs(z) > 1e-9, z, 1e-9)
    return width / 2 + height * x / safe, height / 2 + height * y / safe, z


def shaded(image: UInt8[np.ndarray, "h w 3"], depth: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Darker where a pixel lies behind its neighbours (eye-dome lighting, Boucheny 2009)."""
    logs = np.log2(np.where(np.isfinite(depth), depth, depth[np.isfinite(depth)].max(initial=1)))
    around = np.pad(logs, 1, mode="edge")
    beside = (around[1:-1, :-2], around[1:-1, 2:], around[:-2, 1:-1], around[2:, 1:-1])
    behind = np.sum([np.maximum(0, logs - other) for other in beside], 0)
    light = np.exp(-3 * np.maximum(0, behind - 0.02)).clip(0.35)
    return np.where(np.isfinite(depth)[..., None], image * light[..., None], image).astype(np.uint8)
