"""Gives a finished run metres: finds the factor, and writes every file of the folder in the new unit, all or none.

The factor in run.yaml counts from the unit that was learned, so that a second call replaces the first one's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from ..formats import colmap, colmap_binary, kitti, mesh, nerfstudio, npz, ply, png16, tum
from ..formats.atomic import unwritable
from ..formats.run import SCALING, RunFiles
from ..formats.track import read_speed, read_track
from ..pipelines import scale
from ..pipelines.scale import Scale
from ..types.errors import InputError
from .learn_video.cache import whole_folder
from .learn_video.describe import write_description

SOME = 200      # frames that are asked, evenly spread
LEAST_APART, STRETCHES = 5, 80      # frames over which the direction of motion is taken: a stretch of so many, at least
LARGEST = np.float32(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Known:
    """What is known in metres: one of these."""

    height: float | None = None                     # of the camera above the ground, m
    distance: tuple[float, ...] | None = None       # frame, x y and x y in pixels of the footage, m between them
    poses: Path | None = None                       # file of positions, see `epipole.formats.track`
    speed: float | Path | None = None               # m/s, or file of times and speeds
    fps: float | None = None                        # of footage that does not tell its times


def scale_run(folder: str | Path, known: Known) -> Scale:
    """Finds the scale of a finished run, writes it to run.yaml and applies it to every output. Returns it, counted
    from the unit that was learned.

    Raises InputError where it cannot be found, or the run is not finished, or nothing can be written; the folder is
    then as it was.
    """
    finish_interrupted(Path(folder))
    run = RunFiles(folder)
    if not run.finished:
        raise InputError(f"{folder} is not finished; the same `epipole learn` again finishes it")
    found = find_scale(run, known)
    before = float((run.about.get("scaling") or {}).get("factor", 1.0))
    found = found._replace(factor=before * found.factor)
    apply_scale(run, found.factor / before, {
        "factor": found.factor, "spread_percent": found.spread_percent, "frames": found.frames, "by": found.by})
    return found


def find_scale(run: RunFiles, known: Known) -> Scale:
    """The factor from the run's present unit to metres. Raises InputError where it cannot be found."""
    if sum(value is not None for value in (known.height, known.distance, known.poses, known.speed)) != 1:
        raise TypeError("scale follows from one thing that is known: height, distance, poses or speed")
    if known.height is not None:
        frames, path = some_frames(run), torch.from_numpy(run.path.copy())
        along = scale.directions(path, max(LEAST_APART, len(path) // STRETCHES))[frames]
        return scale.by_height(map(_depth_of(run), frames), torch.from_numpy(run.depth_intrinsics), known.height, along)
    if known.distance is not None:
        return _by_distance(run, known.distance)
    positions = torch.from_numpy(run.path[:, :3, 3].copy())
    times = _times(run, known.fps)
    if known.poses is not None:
        there = read_track(known.poses).at(run.timestamps if times is None else times)
        both = np.isfinite(there).all(1)
        if both.sum() < scale.FEWEST:
            raise InputError(f"{known.poses} and the clip have {both.sum()} times in common; times count in s from "
                             "the first frame")
        return scale.by_path(positions[both], torch.from_numpy(there[both].copy()))
    if times is None:
        raise InputError("scale cannot be found by the speed: the footage does not tell its times; give --fps")
    speed = read_speed(known.speed, times) if isinstance(known.speed, Path) else np.full(len(times), known.speed)
    both = np.isfinite(speed)
    return scale.by_speed(positions[both], torch.from_numpy(times[both]), torch.from_numpy(speed[both]))


def _times(run: RunFiles, fps: float | None) -> Float64[np.ndarray, "f"] | None:
    """Of the frames in s; None where nobody knows them."""
    if fps is not None:
        return np.arange(len(run.path)) / fps
    return run.timestamps if (run.about.get("footage") or {}).get("fps") else None


def _by_distance(run: RunFiles, distance: tuple[float, ...]) -> Scale:
    number, *ends, metres = distance
    frame = int(number)
    if not 0 <= frame < len(run.path):
        raise InputError(f"there is no frame {frame}: the clip has {len(run.path)}, counted from 0")
    depth, K = _depth_of(run), torch.from_numpy(run.depth_intrinsics)
    path = torch.from_numpy(run.path.copy())
    h, w = run.depth[0].shape
    size = torch.tensor([w, h]).double() / torch.tensor(run.image_size)
    pixels = ((torch.tensor(ends).double().view(2, 2) + 0.5) * size - 0.5).T
    points = scale.world_points(depth(frame), path[frame], K, pixels)
    frames = sorted({frame, *some_frames(run)})
    return scale.by_distance(map(depth, frames), path[frames], K, points, metres)


def some_frames(run: RunFiles) -> list[int]:
    """At most `SOME` frames, evenly spread."""
    return np.unique(np.linspace(0, len(run.path) - 1, SOME).round().astype(int)).tolist()



def _depth_of(run: RunFiles) -> Callable[[int], Tensor]:
    return lambda i: torch.from_numpy(run.depth[i])[None].double()


def apply_scale(run: RunFiles, factor: float, scaling: dict[str, Any]) -> None:
    """Multiplies all lengths in the folder by `factor`, and says in run.yaml that they are metres and why.

    New files are made beside the old ones first, and take their places only when all are whole; what is interrupted
    in between is finished by the next call, and refused by every reader until then.
    """
    folder = run.folder
    with whole_folder(folder / SCALING) as stage:
        for name, write in WRITERS.items():
            if (folder / name).exists():
                write(run, stage / name, factor)
        depth = dict(run.about.get("depth") or {})
        for name, times in {"png_scale": 1 / factor, "typical": factor, "model_factor": factor}.items():
            if name in depth:
                depth[name] = float(depth[name]) * times
        write_description(stage, run.about | {"scale": "metres", "scaling": scaling, "depth": depth})
    finish_interrupted(folder)


def finish_interrupted(folder: Path) -> None:
    """Puts the files of a scaling that is whole into their places; does nothing where there is none."""
    stage = folder / SCALING
    if not stage.is_dir():
        return
    try:
        for file in sorted(stage.rglob("*"), key=lambda path: path.name == "run.yaml"):
            if file.is_file():
                os.replace(file, folder / file.relative_to(stage))
        shutil.rmtree(stage)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error


def _pictures(run: RunFiles, to: Path, factor: float) -> None:
    to.mkdir()
    for file in sorted((run.folder / "depth").glob("*.png")):
        (to / file.name).write_bytes(png16.rescaled(file.read_bytes(), factor))


def _arrays(run: RunFiles, to: Path, factor: float) -> None:
    with npz.writing(to) as add:
        for i, depth in enumerate(run.depth):
            add(f"{i:06d}", np.minimum(depth * np.float32(factor), LARGEST).astype(np.float16))


def stretched(T: Float64[np.ndarray, "f 4 4"], factor: float) -> Float64[np.ndarray, "f 4 4"]:
    """Poses with their translations times `factor`."""
    T = T.copy()
    T[:, :3, 3] *= factor
    return T


def _colmap(run: RunFiles, to: Path, factor: float) -> None:
    model = colmap.read_model(run.folder / "colmap")
    colmap.write_model(to, model.calibration, model.names, stretched(model.T_world_camera, factor),
                       model.points * factor, model.colors)
    for name in colmap_binary.FILES:
        if (file := run.folder / "colmap" / name).is_file():
            (to / name).write_bytes(colmap_binary.rescaled(name, file.read_bytes(), factor))


def _transforms(run: RunFiles, to: Path, factor: float) -> None:
    read = nerfstudio.read_transforms(run.folder / "transforms.json")
    nerfstudio.write_transforms(to, read.calibration, read.names, stretched(read.T_world_camera, factor), "cloud.ply")


def _cloud(run: RunFiles, to: Path, factor: float) -> None:
    points, colors = ply.read(run.folder / "cloud.ply")
    ply.write(to, points * np.float32(factor), colors)


def _mesh(run: RunFiles, to: Path, factor: float) -> None:
    vertices, faces, colors = mesh.read_ply(run.folder / "mesh.ply")
    write = mesh.write_glb if to.suffix == ".glb" else mesh.write_ply
    write(to, vertices * np.float32(factor), faces, colors)


WRITERS: dict[str, Callable[[RunFiles, Path, float], None]] = {
    "depth": _pictures, "depth.npz": _arrays,
    "path_kitti.txt": lambda run, to, factor: kitti.write_poses(to, stretched(run.path, factor)),
    "path_tum.txt": lambda run, to, factor: tum.write(to, run.timestamps, stretched(run.path, factor)),
    "colmap": _colmap, "transforms.json": _transforms, "cloud.ply": _cloud, "mesh.ply": _mesh, "mesh.glb": _mesh,
}
