"""From a finished run to a surface: depth of the key frames fused by how sure it is, without edges, sky and what moved;
mesh.ply and mesh.glb. Frames pass one by one; memory does not grow with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ..formats import mesh
from ..formats.numbers import DAMAGED
from ..formats.run import FAR, FARTHEST, LEAST_SURE, RunFiles, lengths_text
from ..pipelines.mapping import Config, Mapping
from ..sources.footage import Footage
from ..sources.straight import straightened
from ..sources.video import open_footage
from ..types.errors import InputError
from ..types.predictions import Depth, Surface
from ..types.views import Views

VOXEL, TRUNCATION = 0.012, 5.0          # typical depths; voxels
SOME = 20                               # frames that say how sure depth usually is
CRUMB = 200                             # faces; smaller pieces that hang in the air are left out
LEAST_WEIGHT = 1.0                      # of a surface, in pixels of usual sureness

Progress = Callable[[int, int], None]


class Frame(NamedTuple):
    """A key frame as it stands in the folder."""

    number: int
    depth: Float32[np.ndarray, "h w"]
    log_variance: Float32[np.ndarray, "h w"]
    moved: Bool[np.ndarray, "h w"]


def mesh_run(
    folder: str | Path, clip: str | Path | None = None, voxel: float | None = None, progress: Progress | None = None
) -> Surface:
    """Writes mesh.ply and mesh.glb into the folder, and returns the surface.

    `clip` is the footage, where it is no longer where it was; `voxel` the size of one in the run's unit, by default
    `VOXEL` typical depths (it doubles where memory would not suffice). Raises InputError where the run is not
    finished, its footage is not found or another, or no surface is left.
    """
    run = RunFiles(folder)
    if not run.finished:
        raise InputError(f"{folder} is not finished; the same command again finishes it")
    footage, typical = footage_of(run, clip), float(run.about["depth"]["typical"])
    usual = VOXEL * typical
    config = Config(voxel or usual, TRUNCATION, FAR * typical, sure=usually(run), least_weight=LEAST_WEIGHT)
    surface = without_crumbs(fused(run, footage, config, progress))
    if not len(surface.faces):
        mend = "more footage may help" if voxel is None else f"leave out --voxel, or give one nearer to {usual:.2g}"
        raise InputError(f"{folder} holds no surface that two views are sure of, in voxels of {config.voxel:g}: {mend}")
    vertices, faces = surface.vertices.numpy(), surface.faces.numpy()
    colors = (255 * surface.colour).round().to(torch.uint8).numpy()
    for write, name in ((mesh.write_ply, "mesh.ply"), (mesh.write_glb, "mesh.glb")):
        write(run.folder / name, vertices, faces, colors, lengths_text(run.about))
    return surface


def footage_of(run: RunFiles, clip: str | Path | None) -> Footage:
    """The footage a run was learned from, straight if it was then; raises InputError where it is not there, or
    another."""
    about = run.about.get("footage") or {}
    named = clip if clip is not None else (run.about.get("arguments") or {}).get("clip")
    if named is None or not Path(named).exists():
        raise InputError(f"the footage {named} that {run.folder} was learned from is not there; say where it is with "
                         "--clip")
    footage = open_footage(named)
    if footage.sha256() != about.get("sha256"):
        raise InputError(f"{named} is not the footage that {run.folder} was learned from; say where that is with "
                         "--clip")
    return footage if run.lens is None else straightened(footage, run.lens)


def usually(run: RunFiles) -> float:
    """Median relative error that the run expects of its depth."""
    some = np.unique(np.linspace(0, len(run.log_variance) - 1, SOME).round().astype(int)).tolist()
    return float(np.exp(0.5 * np.median([np.median(run.log_variance[i]) for i in some])))


def key_frames(run: RunFiles) -> Iterator[Frame]:
    """One after the other. Frames without a mask have nothing that moved."""
    try:
        masks: Any = np.load(run.folder / "mask.npz") if (run.folder / "mask.npz").is_file() else {}
        for number in run.about["key_frames"]:
            z, name = run.depth[number], f"{number:06d}"
            yield Frame(number, z, run.log_variance[number],
                        masks[name] if name in masks else np.zeros(z.shape, bool))
    except DAMAGED as error:
        raise InputError(f"{run.folder / 'mask.npz'} is damaged; learn the clip again") from error


def fused(run: RunFiles, footage: Footage, config: Config, progress: Progress | None) -> Surface:
    """The surface of all key frames. Raises InputError where the footage has fewer frames than the run."""
    frames, K, path = key_frames(run), torch.from_numpy(run.depth_intrinsics), torch.from_numpy(run.path.copy())
    numbers = set(run.about["key_frames"])
    stored: list[Frame] = []
    mapping = Mapping(config, lambda view: _depth(stored[0]), lambda view, said: _keep(stored[0], view))
    h, w = run.depth[0].shape
    done = 0
    for done, (frame, photo) in enumerate(zip(frames, footage.read(w, h, only=numbers), strict=False), 1):
        stored[:] = [frame]
        mapping.step(Views(image=torch.from_numpy(photo.image).permute(2, 0, 1)[None].float() / 255,
                           K=K[None].float(), T_world_camera=path[frame.number][None].float()))
        if progress:
            progress(done, len(numbers))
    if done < len(numbers):
        raise InputError(f"{footage.name} gave {done} of {len(numbers)} key frames; it was changed since")
    return mapping.result()


def _depth(frame: Frame) -> Depth:
    return Depth(depth=torch.from_numpy(frame.depth)[None, None],
                 log_variance=torch.from_numpy(frame.log_variance)[None, None])


def _keep(frame: Frame, view: Views) -> Bool[Tensor, "1 1 h w"]:
    """Without what moved, the farthest pixels (sky) and the least sure ones."""
    near = frame.depth <= np.percentile(frame.depth, FARTHEST)
    sure = frame.log_variance <= np.percentile(frame.log_variance, LEAST_SURE)
    return torch.from_numpy(near & sure & ~frame.moved)[None, None]


def without_crumbs(surface: Surface, least: int = CRUMB) -> Surface:
    """The surface without pieces of fewer than `least` faces."""
    faces, n = surface.faces.numpy(), len(surface.vertices)
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    _, piece = connected_components(coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (n, n)), False)
    large = np.bincount(piece[faces[:, 0]], minlength=n)[piece[faces[:, 0]]] >= least
    kept, renumbered = np.unique(faces[large], return_inverse=True)
    return Surface(vertices=surface.vertices[kept], colour=surface.colour[kept],
                   faces=torch.from_numpy(renumbered.reshape(-1, 3)))
