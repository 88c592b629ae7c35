"""The report: one HTML file that opens from disk, without a server or a network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from . import sections
from .map_panel import map_panel
from .marks import left_out, marks_in, masks_of
from .markup import absent, section, text
from .page import write_page
from .panels import depth_panel, motion_panel
from .preview import MOST, previews_of
from .run_folder import RunFolder, evenly

CLOUD_POINTS, VERTICES = 80_000, 40_000


def write_report(run_folder: Path, frames: Iterable[tuple[int, np.ndarray]] | None = None) -> Path:
    """Writes `report.html` into a RUN folder and returns its path.

    `frames` are pairs of frame number and RGB image, uint8 [H,W,3], of the footage in any number; the report keeps at
    most 150 of them, small. Without them the cache `work/preview/NNNNNN.jpg` serves. Panels whose files are missing are
    replaced by a sentence. Raises InputError when the folder has no readable `run.yaml` or cannot be written to.
    """
    run = RunFolder(Path(run_folder))
    body = "".join((_player(run, frames), _path(run), _map(run), sections.scores(run), sections.learning(run),
                    sections.footage(run), f'<div class="pair"><div>{sections.camera(run)}{sections.turns(run)}</div>'
                                           f"{sections.time(run)}</div>", sections.reproduce(run)))
    body = sections.head(run) + body  # written last: by now it is known which files are damaged
    title = f"{run.part('footage').get('name') or run.folder.name} – epipole run"
    return write_page(run.folder / "report.html", title, body, ("player.js", "map.js"))


def _player(run: RunFolder, frames: Iterable[tuple[int, np.ndarray]] | None) -> str:
    photos = previews_of(run, frames)
    with_depth = set(run.frames)
    shown = [i for i in photos if i in with_depth or not with_depth] or evenly(run.frames, MOST)
    depth = run.depth(shown)
    masks = [masks_of(run, i) for i in shown]
    marks = {mark: [known.get(mark) for known in masks] for mark in marks_in(run)}
    panel = depth_panel(depth, shown, photos, run.unit, _fps(run), notes(run), marks) if shown else ""
    missing = ["pictures of the footage"] * (not photos) + ["depth"] * (depth is None)
    if depth is None or "log_variance" not in depth:
        missing.append("uncertainty")
    missing += ["what moved"] * (not run.has_masks)
    if missing:
        panel += absent(f"Not in this folder: {', '.join(missing)}.")
    lead = ("One colour scale holds for the whole clip; the hundredth that lies beyond either end has that end's "
            "colour. Point at a picture to read its value.")
    return section("depth", "Depth", panel, lead if depth is not None else "")


def notes(run: RunFolder) -> dict[int, str]:
    """What the look said about single frames: key frame, or why it was skipped."""
    said = {k: "key frame" for k in run.items("key_frames") if isinstance(k, int)}
    return said | {i: f"skipped: {why}" for first, last, why in run.skipped for i in range(first, last + 1)}


def _fps(run: RunFolder) -> float:
    fps = run.part("footage").get("fps")
    return float(fps) if isinstance(fps, int | float) and fps > 0 else 0.0


def _path(run: RunFolder) -> str:
    if run.motion is None:
        return section("path", "Camera path", absent("The camera path has not been written yet."))
    length = len(run.motion.T_first_camera)
    truth = run.truth if run.truth is not None and len(run.truth.T_first_camera) == length else None
    panel = motion_panel(run.motion, run.unit, truth)
    if run.truth is not None and truth is None:
        panel += absent(f"The true path has {len(run.truth.T_first_camera)} poses and the learned one {length}, "
                        "so they cannot be laid over each other.")
    return section("path", "Camera path", panel, "Seen in the frame of the first camera, both axes in the same unit.")


def _map(run: RunFolder) -> str:
    cloud = run.cloud(CLOUD_POINTS)
    if cloud is None:
        return section("map", "3-D map", absent("The point cloud has not been written yet."))
    K = run.part("intrinsics")
    known = {"width", "height", "fx"} <= K.keys()
    half, aspect = (K["width"] / 2 / K["fx"], K["height"] / K["width"]) if known else (0.6, 0.75)
    panel = map_panel(cloud, run.motion, run.unit, half, aspect, run.surface(VERTICES))
    return section("map", "3-D map", panel + (f"<p>{text(said)}</p>" if (said := left_out(run)) else ""))
