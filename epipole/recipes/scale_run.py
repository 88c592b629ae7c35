"""Gives a finished run metres: finds the factor, and writes every file of the folder in the new unit, all or none.

The factor in run.yaml counts from the unit that was learned, so that a second call replaces the first one's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ..formats import colmap, kitti, mesh, nerfstudio, npz, ply, png16, tum
from ..formats.atomic import unwritable, whole_folder
from ..formats.run import DOUBTFUL_METRES, SCALING, WITHOUT_METRES, RunFiles, lengths_text
from ..pipelines.scale import Scale
from ..types.errors import InputError
from ..types.known import Known
from .description import write_description
from .find_scale import find_scale
from .reconstruction import write_colmap

LARGEST = np.float32(np.finfo(np.float16).max)


def scale_run(folder: str | Path, known: Known, footage: str | Path | None = None) -> Scale:
    """Finds the scale of a finished run, writes it to run.yaml and applies it to every output. Returns it, counted
    from the unit that was learned. `footage` is the run's, where it is no longer where it was.

    Raises InputError where it cannot be found, or the run is not finished, or nothing can be written; the folder is
    then as it was.
    """
    finish_interrupted(Path(folder))
    run = RunFiles(folder)
    if not run.finished:
        raise InputError(f"{folder} is not finished; the same command again finishes it")
    return _rescaled(run, known, footage)


def give_metres(folder: Path, known: Known, footage: Path | None = None) -> dict[str, Any]:
    """The same for a run that was asked for metres before it learned, finished or not. Where the scale cannot be found
    the run keeps its unit, and a warning in run.yaml says why. Returns what stands there then."""
    finish_interrupted(folder)
    run = RunFiles(folder)
    run.about["arguments"] = dict(run.about["arguments"]) | {"scale": str(known)}
    try:
        _rescaled(run, known, footage)
    except InputError as error:
        write_description(folder, run.about | {"warnings": [*_but(run, WITHOUT_METRES), f"{WITHOUT_METRES}: {error}"]})
    return RunFiles(folder).about


def _rescaled(run: RunFiles, known: Known, footage: str | Path | None) -> Scale:
    found = find_scale(run, known, footage)
    before = float((run.about.get("scaling") or {}).get("factor", 1.0))
    found = found._replace(factor=before * found.factor)
    doubt = [f"{DOUBTFUL_METRES}: {found.doubt}"] if found.doubt else []
    run.about["warnings"] = [*_but(run, WITHOUT_METRES, DOUBTFUL_METRES), *doubt]
    apply_scale(run, found.factor / before, found._asdict())
    return found


def _but(run: RunFiles, *beginnings: str) -> list[str]:
    """The run's warnings, but for those that begin so."""
    return [warning for warning in run.about.get("warnings") or [] if not warning.startswith(beginnings)]


def apply_scale(run: RunFiles, factor: float, scaling: dict[str, Any]) -> None:
    """Multiplies all lengths in the folder by `factor`, and says in run.yaml that they are metres and why.

    New files are made beside the old ones first, and take their places only when all are whole; what is interrupted
    in between is finished by the next call, and refused by every reader until then.
    """
    folder, about = run.folder, run.about | {"scale": "metres", "scaling": scaling}
    with whole_folder(folder / SCALING) as stage:
        for name, write in WRITERS.items():
            if (folder / name).exists():
                write(run, stage / name, factor, lengths_text(about))
        depth = dict(run.about.get("depth") or {})
        for name, times in {"png_scale": 1 / factor, "typical": factor, "model_factor": factor}.items():
            if name in depth:
                depth[name] = float(depth[name]) * times
        write_description(stage, about | {"depth": depth})
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


def _pictures(run: RunFiles, to: Path, factor: float, lengths: str) -> None:
    to.mkdir()
    for file in sorted((run.folder / "depth").glob("*.png")):
        (to / file.name).write_bytes(png16.rescaled(file.read_bytes(), factor))


def _arrays(run: RunFiles, to: Path, factor: float, lengths: str) -> None:
    with npz.writing(to) as add:
        for i, depth in enumerate(run.depth):
            add(f"{i:06d}", np.minimum(depth * np.float32(factor), LARGEST).astype(np.float16))


def stretched(T: Float64[np.ndarray, "f 4 4"], factor: float) -> Float64[np.ndarray, "f 4 4"]:
    """Poses with their translations times `factor`."""
    T = T.copy()
    T[:, :3, 3] *= factor
    return T


def _kitti(run: RunFiles, to: Path, factor: float, lengths: str) -> None:
    kitti.write_poses(to, stretched(run.path, factor))


def _tum(run: RunFiles, to: Path, factor: float, lengths: str) -> None:
    tum.write(to, run.timestamps, stretched(run.path, factor), lengths)


def _colmap(run: RunFiles, to: Path, factor: float, lengths: str) -> None:
    model = colmap.read_model(run.folder / "colmap")
    T = stretched(model.T_world_camera, factor)
    write_colmap(to, model._replace(T_world_camera=T, points=model.points * factor), lengths)


def _transforms(run: RunFiles, to: Path, factor: float, lengths: str) -> None:
    read = nerfstudio.read_transforms(run.folder / "transforms.json")
    T = stretched(read.T_world_camera, factor)
    nerfstudio.write_transforms(to, read.calibration, read.names, T, "cloud.ply", lengths)


def _cloud(run: RunFiles, to: Path, factor: float, lengths: str) -> None:
    points, colors = ply.read(run.folder / "cloud.ply")
    ply.write(to, points * np.float32(factor), colors, lengths)


def _mesh(run: RunFiles, to: Path, factor: float, lengths: str) -> None:
    vertices, faces, colors = mesh.read_ply(run.folder / "mesh.ply")
    write = mesh.write_glb if to.suffix == ".glb" else mesh.write_ply
    write(to, vertices * np.float32(factor), faces, colors, lengths)


WRITERS: dict[str, Callable[[RunFiles, Path, float, str], None]] = {
    "depth": _pictures, "depth.npz": _arrays, "path_kitti.txt": _kitti, "path_tum.txt": _tum,
    "colmap": _colmap, "transforms.json": _transforms, "cloud.ply": _cloud, "mesh.ply": _mesh, "mesh.glb": _mesh,
}
