"""The map of a finished run beside the true one: F-score of the mesh, and how often depth lies in its interval.

    python benchmarks/map.py RUN TRUTH [--clip CLIP] [--voxel SIZE] [--within 0.05] [--every 5] [--swap] [--out FOLDER]

RUN is a finished run, TRUTH a plain folder with poses and dense depth. `epipole mesh` makes the mesh, which is then
laid over the truth by the similarity (Umeyama 1991) that aligns the paths. The true surface is the true depth of every
`--every`th frame, fused. Both are compared by points spread evenly over them (Knapitsch et al. 2017): precision is the
share of the mesh within `--within` metres of the true surface, recall the share of that within as much of the mesh. Of
the mesh only what a true frame shows at a pixel of known depth counts, because nobody knows what is elsewhere; its
share is told. `--swap` tells what limits the map: true depth is fused along the run's path, and the run's depth along
the true path. With `--out` both surfaces are left there in metres, for a look.
"""

import argparse
import resource
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from epipole.formats import mesh
from epipole.formats.run import RunFiles
from epipole.geometry.align import umeyama
from epipole.geometry.camera import project, transform
from epipole.geometry.motion import se3_inverse
from epipole.judges.depth_uncertainty import DepthUncertaintyProtocol, judge_depth_uncertainty
from epipole.judges.points import nearest
from epipole.pipelines.mapping import Config, Mapping
from epipole.recipes.judge_run import SOME, _Frames, _Uncertain, of_the_clip
from epipole.recipes.mesh_run import (
    FAR as FAR_TYPICAL,
)
from epipole.recipes.mesh_run import (
    LEAST_WEIGHT,
    TRUNCATION,
    VOXEL,
    footage_of,
    fused,
    mesh_run,
    usually,
    without_crumbs,
)
from epipole.sources.plain import Truth, rasterise, read_truth
from epipole.types.predictions import Surface
from epipole.types.views import Views

TRUE_VOXEL, FAR = 0.02, 5.0     # m
SIZE = (320, 240)               # of true depth when it is fused
POINTS = 300_000                # on each surface
SEEN_EVERY = 4                  # of the fused frames that say where truth is known
INTERVAL = 0.68


def true_view(truth: Truth, i: int) -> Views:
    """Depth, K and pose of a true frame."""
    if truth.K is None or truth.T_world_camera is None or truth.depth is None:
        raise SystemExit(f"{truth.folder} lacks intrinsics.txt, poses.txt or depth/")
    w, h = SIZE
    K = truth.K * np.array([[w / truth.width], [h / truth.height], [1.0]])
    z = torch.from_numpy(rasterise(truth.depth[i], w, h))[None, None]
    return Views(K=torch.from_numpy(K)[None].float(), depth=z, depth_valid=z > 0,
                 T_world_camera=torch.from_numpy(truth.T_world_camera[i])[None].float())


def true_surface(truth: Truth, every: int) -> tuple[Surface, list[Views]]:
    """The true depth fused, and some of its views."""
    mapping = Mapping(Config(TRUE_VOXEL, 4.0, FAR, most=60_000))
    some = []
    for k, i in enumerate(range(0, len(truth.images), every)):
        view = true_view(truth, i)
        mapping.step(view)
        if k % SEEN_EVERY == 0:
            some.append(view)
    return mapping.result(), some


def spread(vertices: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    """Points evenly over a surface."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    rng = np.random.default_rng(0)
    face = rng.choice(len(faces), count, p=area / area.sum())
    u, v = rng.random((2, count, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return a[face] + u * (b - a)[face] + v * (c - a)[face]


def known(points: np.ndarray, views: list[Views]) -> np.ndarray:
    """Whether any of the true frames shows a point at a pixel whose depth it knows."""
    seen = np.zeros(len(points), bool)
    world = torch.from_numpy(points).T[:, None]
    for view in views:
        left = np.flatnonzero(~seen)
        at, front = project(transform(se3_inverse(view.T_world_camera[0].double()), world[:, :, left]),
                            view.K[0].double())
        x, y = at[:, 0].round().long().numpy()
        inside = front[0, 0].numpy() & (x >= 0) & (y >= 0) & (x < SIZE[0]) & (y < SIZE[1])
        seen[left[inside]] = view.depth_valid[0, 0].numpy()[y[inside], x[inside]]
    return seen


def covered(run: RunFiles, truth: Truth, intervals: tuple[float, ...] = (INTERVAL,)) -> list[float]:
    """Share of pixels whose log depth, under one scale for the clip, lies in each of the intervals the run gives it."""
    assert truth.depth is not None
    protocol = DepthUncertaintyProtocol(depth=of_the_clip(None), intervals=intervals)
    scores = {s.name: s for s in judge_depth_uncertainty(_Uncertain(_Frames(run, truth.depth, SOME)), protocol)}
    told = [scores[f"coverage_error_{round(100 * interval)}"].protocol for interval in intervals]
    return [float(words.rsplit(" % covered", 1)[0].rsplit(" ", 1)[1]) / 100 for words in told]


class Laid(NamedTuple):
    """A similarity from a run's unit and axes to the truth's."""

    c: np.ndarray
    R: np.ndarray
    t: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.c * points @ self.R.T + self.t


class Swapped(RunFiles):
    """A run with another path or other depth."""

    def __init__(self, folder: Path, **instead: Any) -> None:
        super().__init__(folder)
        self.__dict__.update(instead)


class TrueDepth:
    """As the run would have stored it."""

    def __init__(self, truth: Truth, shape: tuple[int, int], unit: float) -> None:
        self.truth, self.shape, self.unit = truth, shape, unit

    def __getitem__(self, i: int) -> np.ndarray:
        assert self.truth.depth is not None
        return np.asarray(rasterise(self.truth.depth[i], *self.shape[::-1]) / self.unit, np.float32)


def meshed(run: RunFiles, clip: Path | None, voxel: float | None) -> Surface:
    """As `epipole mesh` does it, without its files."""
    typical = float(run.about["depth"]["typical"])
    config = Config(voxel or VOXEL * typical, TRUNCATION, FAR_TYPICAL * typical, sure=usually(run),
                    least_weight=LEAST_WEIGHT)
    return without_crumbs(fused(run, footage_of(run, clip), config, None))


class Judge:
    """Compares surfaces in metres with the true one."""

    def __init__(self, truth: Truth, every: int, within: float) -> None:
        self.surface, self.views = true_surface(truth, every)
        self.points = spread(self.surface.vertices.double().numpy(), self.surface.faces.numpy(), POINTS)
        self.within = within

    def row(self, name: str, vertices: np.ndarray, faces: np.ndarray, more: str = "| | | |") -> str:
        """A line of the table."""
        p = spread(vertices, faces, POINTS)
        counts = known(p, self.views)
        there, back = nearest(p[counts], self.points), nearest(self.points, p[counts])
        precision, recall = float((there <= self.within).mean()), float((back <= self.within).mean())
        return (f"| {name} | **{2 * precision * recall / (precision + recall):.3f}** | {precision:.3f} | {recall:.3f} "
                f"| {100 * np.median(there):.1f} cm | {100 * counts.mean():.0f} % | {len(faces)} {more}")


def main() -> None:
    """Meshes and judges one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--voxel", type=float)
    parser.add_argument("--within", type=float, default=0.05)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--swap", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    surface = mesh_run(options.run, options.clip, options.voxel)
    seconds, megabytes = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    run, truth = RunFiles(options.run), read_truth(options.truth)
    if truth.T_world_camera is None:
        raise SystemExit(f"{truth.folder} lacks poses.txt")
    places = torch.from_numpy(run.path[:, :3, 3].copy()), torch.from_numpy(truth.T_world_camera[:, :3, 3].copy())
    laid, judge = Laid(*(x.numpy() for x in umeyama(*places))), Judge(truth, options.every, options.within)
    print(f"| map | F at {100 * options.within:g} cm | precision | recall | median error | judged | triangles "
          f"| {100 * INTERVAL:.0f} % interval | s | MB |\n|" + "---|" * 10)
    found = laid(surface.vertices.double().numpy())
    print(judge.row(options.run.name, found, surface.faces.numpy(),
                    f"| {covered(run, truth)[0]:.3f} | {seconds:.0f} | {megabytes:.0f} |"), flush=True)
    if options.swap:
        unit, path = float(laid.c), truth.T_world_camera.copy()
        path[:, :3, 3] /= unit
        true_depth = meshed(Swapped(options.run, depth=TrueDepth(truth, run.depth[0].shape, unit)), options.clip,
                            options.voxel)
        print(judge.row("true depth, its path", laid(true_depth.vertices.double().numpy()), true_depth.faces.numpy()),
              flush=True)
        true_path = meshed(Swapped(options.run, path=path), options.clip, options.voxel)
        print(judge.row("its depth, true path", unit * true_path.vertices.double().numpy(), true_path.faces.numpy()),
              flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        true = judge.surface
        for name, vertices, one in (("found", found, surface), ("true", true.vertices.numpy(), true)):
            colour = (255 * one.colour).round().to(torch.uint8).numpy()
            mesh.write_ply(options.out / f"{name}.ply", vertices.astype(np.float32), one.faces.numpy(), colour)


if __name__ == "__main__":
    main()
