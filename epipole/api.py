"""The library from Python, in a few names: learn a clip, open what was learned, judge it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from .formats import ply
from .formats.run import RunFiles
from .judges.score import Score
from .recipes.judge_model import judge_folder
from .sources.plain import camera_matrix, read_truth
from .types.errors import InputError
from .types.known import Known, known
from .types.seed import check_seed

DEMO_FRAMES, DEMO_SCENE = 160, 407  # `learn` starts from what scenes 0 to 399 have taught
DEMO_MINUTES = 2.4  # of learning; with rendering and judging the demo stays below three


class Cloud(NamedTuple):
    """Coloured points in the first camera's frame, in metres or up to one scale."""

    points: Float32[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]

    def save(self, path: str | Path) -> None:
        """Writes a binary PLY; raises InputError where that is impossible."""
        ply.write(path, self.points, self.colors)


class Run(RunFiles):
    """What was learned from a clip: `run.depth[i]`, `run.log_variance[i]` [h, w] lazily; `run.path` [F, 4, 4] camera to
    world; `run.timestamps`, `run.intrinsics`, `run.cloud`, `run.scores`, `run.about` (all of run.yaml).

    Depth and path are up to one common scale unless `run.about["scale"]` says metres. Raises InputError for a folder
    that is no run.
    """

    @property
    def cloud(self) -> Cloud:
        """The fused, coloured point cloud."""
        return Cloud(*ply.read(self.folder / "cloud.ply"))

    @property
    def scores(self) -> list[Score]:
        """The scores that were measured when the run ended; empty without a truth."""
        return [Score.from_dict(entry) for entry in self.about.get("scores") or []]

    @property
    def reported(self) -> bool:
        """Whether report.html is there and tells what run.yaml says now."""
        report, about = self.folder / "report.html", self.folder / "run.yaml"
        return report.is_file() and report.stat().st_mtime_ns >= about.stat().st_mtime_ns

    def report(self) -> Path:
        """Writes report.html anew, one file that opens without a server, and returns its path."""
        from .viewer.report import write_report

        return write_report(self.folder)

    def judge(self, truth: str | Path) -> list[Score]:
        """Scores against a plain folder that knows the truth; see `judge_run`."""
        return judge_folder(self.folder, truth)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"


def learn(
    clip: str | Path,
    out: str | Path | None = None,
    minutes: float | int = 10,
    intrinsics: tuple[float, float, float, float] | str | Path | None = None,
    truth: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
    steps: int | None = None, start: str | Path | None = "shipped",
    scale: str | Known | None = None, rolling_shutter: float = 0.0,
) -> Run:
    """Learns depth, camera path and map from a video file or a folder of images, and returns the run.

    out         runs/<name of the clip> by default; the same call again goes on where an interrupted one stopped
    minutes     learning budget
    intrinsics  fx, fy, cx, cy in px of the clip, or a file that `formats.camera_files` reads; estimated if not given
    truth       plain folder to judge the result against
    device      "cpu", "cuda", or "auto"
    quiet       no progress on stderr
    steps       training steps instead of `minutes`: then a seed gives the same bits on every run of a machine
    start       weights to start from: "shipped" with the package, what `epipole pretrain` wrote, or None
    scale       what is known in metres, as "height=1.65"; a clip that does not show it keeps its own unit, and warns
    rolling_shutter  share of a frame's time that reading its rows takes, from top to bottom; 0: all at once

    Raises InputError for what cannot be read or written, FootageError for footage that cannot be learned.
    """
    from .recipes.learn_video import learn_video
    from .recipes.learn_video.start import weights

    check_seed(seed)
    if not 0 < minutes < float("inf"):
        raise InputError(f"the learning budget is {minutes} minutes; it must be positive")
    if truth is not None:
        read_truth(truth)  # a mistake here should not show only after the learning
    folder = learn_video(
        Path(clip), default_out(clip) if out is None else Path(out), minutes=float(minutes),
        intrinsics=Path(intrinsics) if isinstance(intrinsics, str) else intrinsics,
        truth=None if truth is None else Path(truth), seed=seed, device=device, quiet=quiet, steps=steps,
        start=weights(start), scale=known(scale) if isinstance(scale, str) else scale,
        rolling_shutter=float(rolling_shutter))
    run = Run(folder)
    if not run.reported:
        run.report()
    return run


def default_out(clip: str | Path) -> Path:
    """Where a run goes when nobody says: runs/<name of the clip>."""
    clip = Path(clip).absolute()
    return Path("runs") / ((clip.name if clip.is_dir() else clip.stem) or "clip")


def judge(run: str | Path | Run, truth: str | Path) -> list[Score]:
    """Scores of a run, of its folder, or of a trained system's, against what knows the truth; see `judge_folder`."""
    return judge_folder(run.folder if isinstance(run, Run) else run, truth)


def demo(out: str | Path = "runs/demo", seed: int = 0, device: str = "auto", quiet: bool = False) -> Run:
    """Renders a furnished room into `out`/footage, learns it within three minutes on two cores, and judges the run."""
    footage = render(Path(out) / "footage", frames=DEMO_FRAMES, scene=DEMO_SCENE, seed=seed, quiet=quiet)
    return learn(footage, out, DEMO_MINUTES, footage / "intrinsics.txt", footage, seed, device, quiet)


def render(
    out: str | Path, family: str = "room", frames: int | None = None, seed: int | None = None,
    difficulty: int | None = None, quiet: bool = False, layout: str = "plain", truth: Sequence[str] = (),
    mesh: str | Path | None = None, workers: int = 1, **more: Any,
) -> Path:
    """Renders a clip through a procedural world, or draws pictures, with exact truth, and returns its folder.

    family   its name, or the world.yaml of another clip; what is None is as there, or 160 frames, seed 0, difficulty 1
    layout   of the files: "plain", "kitti" or "tartanair"
    truth    what a plain folder shall hold besides, any of `epipole.sources.worlds.TRUTHS`
    mesh     .ply or .glb file for the scene's geometry
    workers  processes that render a plain folder, which is the same for any number of them
    more     any other field of `epipole.sources.worlds.Spec`

    A plain folder that holds this very clip already is left as it is. Raises InputError for what there is not, or where
    nothing can be written.
    """
    check_seed(0 if seed is None else seed)
    from .engine.log import Progress
    from .sources.worlds.commission import commission, spec_of

    spec = spec_of(family, layout, frames=frames, seed=seed, difficulty=difficulty, **more)
    if quiet:
        return commission(spec, out, layout, truth, mesh, workers)
    with Progress() as progress:
        progress.phase("render", spec.frames, "frames")
        return commission(spec, out, layout, truth, mesh, workers, lambda finished, _: progress.reach(finished))


def train(
    system: str,
    data: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    preset: str = "small",
    steps: int = 1000,
    frames: int | None = None, gap: int = 1, width: int = 256,
    intrinsics: tuple[float, float, float, float] | str | Path | None = None,
    seed: int = 0, device: str = "auto", quiet: bool = False, augment: bool = False, staged: bool = False,
    bf16: bool = False, rate: float | None = None, final: float = 1.0, batch: int = 4,
) -> Path:
    """Trains a system of the table of contents on some footage, and returns the folder of the results with its
    model.safetensors (`epipole.recipes.train.load_model` opens it).

    data        plain folder, folder of pairs, video, scenes of a world such as "room:0-7" (see
                `epipole.recipes.samples`), or "world", a room rendered into `out`/footage; several: evenly
    out         runs/<system> by default; the same call again goes on where an interrupted one stopped
    frames      of a clip (3), `gap` apart and `width` pixels wide, or of a focal stack; stereo learns from pairs
    intrinsics  fx, fy, cx, cy in pixels of the footage, or a file with the 3x3 matrix; a plain folder may bring its own
    augment     show every sample through another window under another light each time; for flow and stereo
    staged      in the stages of the system's paper, which share the steps; bf16: networks compute in bfloat16
    rate        of learning (2e-4; staged: the paper's, in the first stage), of which a cosine leaves the share `final`
    batch       samples a step
    """
    from .engine.log import Progress
    from .recipes import train as training
    from .recipes.samples import Shape, described, parse_all, samples, world_for
    from .sources.augment import augmented
    from .systems import load

    check_seed(seed)
    folder, needs = Path("runs") / system if out is None else Path(out), load(system).needs
    data = data[0] if not isinstance(data, str | Path) and len(data) == 1 else data
    if str(data) == "world":
        data = world_for(needs, seed) or render(folder / "footage", seed=seed, quiet=quiet)
    K = None if intrinsics is None else camera_matrix(intrinsics)
    named, shape = parse_all(data), Shape(frames or training.views_in_sample(system, preset), gap, width)
    source = samples(named, needs, shape, folder / "work", K)
    source = augmented(source, needs, system) if augment else source
    how = training.asked(system, staged, rate, steps=steps, final=final, bf16=bf16, seed=seed, device=device)
    with nullcontext() if quiet else Progress() as progress:
        training.train(system, source, preset, how, folder, batch, progress,
                       data=described(named, shape, K) | {"augment": augment}, staged=staged)
    return folder


def bench(
    field: str, systems: Sequence[str] = (), out: str | Path | None = None, quiet: bool = False, **options: Any
) -> Path:
    """Trains systems for equal budgets, judges them and the baselines on the same unseen data, and returns the page
    with the table; beside it bench.json has every number, and bench.png shows who leads.

    field    "depth", "focus", "motion", "pose", "stereo" or "flow"
    systems  names; none: all that the training data can teach; `options`: see `epipole.recipes.bench.Bench`
    out      runs/bench-<field> by default; the same call again does only what is not done yet
    """
    from .engine.log import Progress
    from .recipes.bench import Bench
    from .recipes.bench import bench as run_bench
    from .viewer.bench_figure import write_bench_figure

    folder = Path("runs") / f"bench-{field}" if out is None else Path(out)
    asked = Bench(field, tuple(systems), **options)
    with nullcontext() if quiet else Progress() as progress:
        write_bench_figure(run_bench(asked, folder, progress), folder / "bench.png")
    return folder / "bench.md"


@dataclass(frozen=True)
class SystemInfo:
    """One line of the table of contents."""

    name: str
    paper: str
    presets: list[str]


def list_systems() -> list[SystemInfo]:
    """Every system that `epipole train` knows."""
    from .systems import SYSTEMS, load, presets

    return [SystemInfo(name, load(name).paper, list(presets(name))) for name in SYSTEMS]
