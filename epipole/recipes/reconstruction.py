"""A run as programs of photogrammetry and radiance fields open it: colmap/, as text and in binary, and transforms.json.
Both name the footage's own images, hence its lens. Key frames pass one by one; memory does not grow with them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from ..formats import colmap, colmap_binary, nerfstudio
from ..formats.atomic import whole_folder
from ..formats.calibration import Calibration, pinhole
from ..formats.colmap import Model, Observations
from ..formats.run import RunFiles, lengths_text
from ..geometry import lenses
from ..geometry.camera import project, transform
from ..geometry.motion import se3_inverse
from ..geometry.sample import sample
from ..sources.folder import FolderFootage
from ..sources.footage import Footage, shown
from ..sources.straight import Straight

POINTS, VIEWS = 50_000, 20      # points, and key frames that see each of them, at most
FEWEST = 2                      # key frames that see a point
AGREES = 0.05                   # of depth, for a key frame to see a point


def write_models(
    run: RunFiles, footage: Footage, points: Float32[np.ndarray, "p 3"], colours: UInt8[np.ndarray, "p 3"]
) -> None:
    """colmap/ with a part of the cloud, and transforms.json. Depth, path and run.yaml are there before."""
    files, camera = image_files(footage, len(run.path)), footage.lens or pinhole(run.intrinsics, *run.image_size)
    some = np.unique(np.linspace(0, len(points) - 1, min(POINTS, len(points))).round().astype(int))
    names, lengths = [shown(file.name) for file in files], lengths_text(run.about)
    model = Model(camera, names, run.path, points[some].astype(np.float64), colours[some])
    with whole_folder(run.folder / "colmap") as folder:
        write_colmap(folder, tracked(run, model), lengths)
    names = [shown(os.path.relpath(file, run.folder) if file.is_absolute() else file) for file in files]
    nerfstudio.write_transforms(run.folder / "transforms.json", camera, names, run.path, "cloud.ply", lengths)


def write_colmap(folder: Path, model: Model, comment: str) -> None:
    """The same model in text and in binary, of which the latter has no room for the comment."""
    colmap.write_model(folder, model, comment)
    colmap_binary.write_model(folder, model)


def image_files(footage: Footage, frames: int) -> list[Path]:
    """The images of a folder; of a video those that ffmpeg makes of it in RUN (docs/run-folder.md)."""
    footage = footage.footage if isinstance(footage, Straight) else footage
    if isinstance(footage, FolderFootage):
        return [file.absolute() for file in footage.files]
    return [Path(f"frames/{number:06d}.png") for number in range(frames)]


def tracked(run: RunFiles, model: Model) -> Model:
    """The model with those of its points that `FEWEST` key frames see, and where they do."""
    seen = observed(run, torch.from_numpy(model.points), model.calibration)
    often = np.bincount(seen.point, minlength=len(model.points)) >= FEWEST
    kept = often[seen.point]
    seen = Observations(seen.image[kept], (np.cumsum(often) - 1)[seen.point[kept]], seen.pixel[kept])
    return model._replace(points=model.points[often], colors=model.colors[often], seen=seen)


def observed(run: RunFiles, points: Float[Tensor, "p 3"], camera: Calibration) -> Observations:
    """Pixels of the footage, which `camera` took, at which key frames see points where their depth has them, at most
    `VIEWS` of each."""
    times, found = np.zeros(len(points), np.int64), [colmap.UNSEEN]
    K, path = torch.from_numpy(run.depth_intrinsics), torch.from_numpy(run.path.copy())
    for number in run.about["key_frames"]:
        asked = np.flatnonzero(times < VIEWS)
        there = transform(se3_inverse(path[number]), points[asked].double().T[:, None])
        at, front = project(there, K)
        z, inside = sample(torch.from_numpy(run.depth[number]).double()[None, None], at[None])
        right = (front & inside[0] & ((there[2:] / z[0] - 1).abs() < AGREES))[0, 0]
        mine = asked[right.numpy()]
        times[mine] += 1
        pixel = lenses.project(there[..., right], camera.camera)[0][:, 0].T.numpy().astype(np.float32)
        found.append(Observations(np.full(len(mine), number), mine, pixel))
    return Observations(*(np.concatenate(column) for column in zip(*found, strict=True)))
