"""The main job from top to bottom: look, correspond, solve, teach, rejoin, teach on, place, export, judge.

Every stage leaves its result in RUN/work and is not done again: interrupted anywhere, the same command goes on.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...engine.checkpoint import decided_once, read_tensors, write_bytes, write_tensors
from ...engine.fit import Train, fit, plan, torch_device
from ...engine.log import Log, Progress
from ...formats.atomic import make_folder
from ...geometry.camera import resize_intrinsics
from ...geometry.motion import se3_inverse
from ...judges.score import Score
from ...sources.findings import Look
from ...sources.footage import Footage
from ...sources.look import look
from ...sources.video import open_footage
from ...systems.depth.reprojection import PRESETS, ReprojectionDepth
from ...types.errors import InputError
from ..judge_run import judge_run
from .correspond import FlowStore, KeyImages, chain_pairs
from .describe import Intrinsics, Result, write_description
from .everyframe import place_every_frame
from .export import write_outputs
from .intrinsics import given_intrinsics
from .moved import moved_by
from .predict import Predictor
from .rejoin import rejoin, scale_drift
from .selfcheck import check
from .solve import Solution, load_solution, network_intrinsics, network_size, refine, save_solution, solve, verdict
from .teach import Lessons
from .wide import rigid_guesses, wide_pairs

GAPS = (1, 2, 3, 5)        # of chained pairs, in key frames
WIDE_PER_KEY_FRAME = 2     # further pairs, at most
FIRST_SHARE = 0.2          # of the steps, before the path is put together again
LEAST_LEARNING = 0.3       # share of the budget that is learning, whatever the rest takes
HOW = Train(learning_rate=2e-3, warmup=50, weight_decay=1e-2, clip=1.0, bf16=True, channels_last=True)
HEALTHY = {"reprojection": [0.0, 0.8], "consistency": [0.0, 0.04], "photometric": [0.0, 0.015]}

T = TypeVar("T")


@dataclass
class Run:
    """The folder of a run, its phases so far, and who is told of progress."""

    out: Path
    progress: Progress | None
    began: float = field(default_factory=time.monotonic)
    phases: list[dict[str, Any]] = field(default_factory=list)

    @property
    def work(self) -> Path:
        return self.out / "work"

    @contextmanager
    def phase(self, name: str, total: int = 0, unit: str = "steps") -> Iterator[Callable[..., None]]:
        """Times a phase and hands out what its progress is told to."""
        began = time.monotonic()
        if self.progress and total:
            self.progress.phase(name, total, unit)

        def tell(done: int, *_: int) -> None:
            if self.progress and total:
                self.progress.reach(done)

        yield tell
        self.phases.append({"name": name, "seconds": round(time.monotonic() - began, 1)})


def learn_video(
    clip: Path,
    out: Path,
    *,
    minutes: float = 10.0,
    intrinsics: tuple[float, float, float, float] | Path | None = None,
    truth: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
    steps: int | None = None,
) -> Path:
    """Learns a clip into the folder `out` (docs/run-folder.md), and returns it.

    `minutes` is the budget: the number of training steps follows from it and the machine's speed, measured once; with
    `steps` it is said outright, and then a seed gives the same bits on every run of a machine. The rest is as in
    `epipole.learn`. Raises InputError, FootageError, TrainingError.
    """
    footage = open_footage(clip)
    given = given_intrinsics(intrinsics, footage)
    where = torch_device(device)
    _same_run(out, footage, given, minutes, seed, steps)
    torch.manual_seed(seed)
    with Progress() if not quiet else nullcontext() as progress:
        run = Run(out, progress)
        seen = look_at(run, footage)
        seen.refuse()
        keys = key_images(run, footage, seen)
        size = keys.size
        shots = np.searchsorted(seen.cuts, keys.key_frames, side="right").tolist()
        K = None if given is None else network_intrinsics(given, (footage.width, footage.height), size)
        chain = correspond(run, "chain", keys, chain_pairs(shots, GAPS))
        first = stored(run.work / "path-1.safetensors", lambda: solved(run, chain, keys, K, footage, seed))
        pairs = wide_pairs(first.scene, first.pixels, size, {(int(a), int(b)) for a, b in chain.pairs}, shots,
                           WIDE_PER_KEY_FRAME * len(keys))
        wide = correspond(run, "wide", keys, pairs, rigid_guesses(first.scene, first.pixels, size))
        stores = [chain, wide] if len(wide) else [chain]
        path = stored(run.work / "path-2.safetensors", lambda: refined(run, first, stores, K is None))
        system, path, lessons = teach(run, keys, stores, path, K is None, minutes, seed, where, steps)
        result, drift = finish(run, footage, seen, keys, stores, path, system, given, where)
        scores, warnings = check(system.to("cpu"), lessons, drift)
        arguments = {"clip": clip, "minutes": minutes, "seed": seed, "device": str(where), "steps": steps,
                     "intrinsics": intrinsics, "truth": truth}
        result = replace(result, arguments=arguments, warnings=[*result.warnings, *warnings, *lost(path, keys)],
                         phases=run.phases, healthy=HEALTHY)
        with run.phase("export", len(seen.times), "frames") as tell:
            about = write_outputs(out, footage, seen, keys, path.scene.K.double().numpy(),
                                  moved_by(keys, stores, path, Predictor(system, where).of_key_frames(keys)),
                                  result, device=str(where), progress=tell)
        write_description(out, about | {"finished": False})
        judged = judge_run(out, truth) if truth is not None else []
        about |= {"phases": run.phases, "scores": [s.as_dict() for s in (*judged, *scores, *costs(run))]}
        write_description(out, about | {"finished": True})
    return out


def look_at(run: Run, footage: Footage) -> Look:
    """The look at the footage, made or remembered."""
    file = run.work / "look.json"
    if file.exists():
        return Look.from_json(file.read_text(encoding="utf-8"))
    with run.phase("look", footage.announced or 0, "frames") as tell:
        seen = look(footage, tell)
    write_bytes(file, seen.to_json().encode())
    return seen


def key_images(run: Run, footage: Footage, seen: Look) -> KeyImages:
    """Key frames at the network's size, read or remembered."""
    folder, size = run.work / "keys", network_size(footage.width, footage.height)
    return KeyImages.open(folder) if folder.exists() else KeyImages.write(folder, footage, seen.key_frames, size)


def correspond(run: Run, name: str, keys: KeyImages, pairs: list[tuple[int, int]], guesses: Any = None) -> FlowStore:
    """Checked flow of these pairs, computed or remembered."""
    folder = run.work / name
    if folder.exists():
        return FlowStore.open(folder)
    with run.phase(f"flow, {name}", len(pairs), "pairs") as tell:
        return FlowStore.build(folder, keys, pairs, guesses, tell)


def stored(file: Path, make: Callable[[], Solution]) -> Solution:
    """A solution, found or remembered."""
    if not file.exists():
        save_solution(file, make())
    return load_solution(file)


def solved(run: Run, chain: FlowStore, keys: KeyImages, K: Tensor | None, footage: Footage, seed: int) -> Solution:
    with run.phase("path", len(keys), "key frames") as tell:
        return solve(chain, len(keys), K, (footage.width, footage.height), seed, tell)


def refined(run: Run, first: Solution, stores: list[FlowStore], free_focal: bool) -> Solution:
    with run.phase("adjust"):
        return refine(first, stores, free_focal)


def teach(
    run: Run, keys: KeyImages, stores: list[FlowStore], path: Solution, free_focal: bool, minutes: float, seed: int,
    device: torch.device, steps: int | None,
) -> tuple[ReprojectionDepth, Solution, Lessons]:
    """Both stages of learning with the path put together again between them; the path as it is afterwards."""
    torch.manual_seed(seed)
    system = ReprojectionDepth(PRESETS["paper"])
    how = replace(HOW, seed=seed, device=str(device))
    lessons = Lessons(keys, stores, path, seed)
    counts = decided_once(run.work / "steps.json", lambda: step_counts(run, system, lessons, how, minutes, steps))
    first = replace(how, steps=counts["first"], final=0.3)
    learn_stage(run, "learn 1", system, lessons, first, system.first_loss)

    def again(name: str, before: Solution) -> Solution:
        depth_of = Predictor(system, device).of_key_frames(keys)
        return stored(run.work / name, lambda: rejoin(before, stores, depth_of, free_focal))

    path = again("path-3.safetensors", path)
    lessons = Lessons(keys, stores, path, seed + 1)
    learn_stage(run, "learn 2", system, lessons, replace(how, steps=counts["second"], final=0.02), system.loss)
    return system, again("path-4.safetensors", path), lessons


def learn_stage(run: Run, name: str, system: ReprojectionDepth, lessons: Lessons, how: Train, loss: Any) -> None:
    """One call of fit; what it has learned is kept, so that a finished stage is not begun again."""
    learned = run.work / f"{name}.safetensors"
    if learned.exists():
        system.load_state_dict(read_tensors(learned)[0])
        return
    began = time.monotonic()
    fit(system, lessons, how, loss, Log(run.out / "log.jsonl", name, run.progress), run.work / f"{name}-going")
    write_tensors(learned, system.state_dict(), {})
    (run.work / f"{name}-going").unlink(missing_ok=True)
    run.phases.append({"name": name, "seconds": round(time.monotonic() - began, 1), "steps": how.steps})


def step_counts(
    run: Run, system: ReprojectionDepth, lessons: Lessons, how: Train, minutes: float, steps: int | None
) -> dict[str, int]:
    """How many steps the budget leaves room for, after what was used and what is still to be written."""
    if steps is None:
        frames = int(lessons.images.key_frames[-1]) + 1
        ahead = 15 + 0.025 * frames + 0.05 * len(lessons.images)
        left = 60 * minutes - (time.monotonic() - run.began) - ahead
        seconds = max(left, LEAST_LEARNING * 60 * minutes)
        steps = plan(system, lessons, replace(how, seconds=seconds), system.first_loss).steps
    first = max(1, round(FIRST_SHARE * steps))
    return {"first": first, "second": max(1, steps - first)}


def finish(
    run: Run, footage: Footage, seen: Look, keys: KeyImages, stores: list[FlowStore], path: Solution,
    system: ReprojectionDepth, given: Tensor | None, device: torch.device,
) -> tuple[Result, np.ndarray]:
    """Every frame's pose, and what is known of intrinsics and scale."""
    depth_of = Predictor(system, device).of_key_frames(keys)
    drift = scale_drift(path, stores, depth_of)
    placed = se3_inverse(path.scene.T_camera_world).double().numpy()
    with run.phase("place", len(seen.times), "frames") as tell:
        every = place_every_frame(footage, seen, keys, placed, depth_of, path.scene.K.double().numpy(), progress=tell)
    w, h = keys.size
    K = given if given is not None else resize_intrinsics(path.scene.K.double(), footage.width / w, footage.height / h)
    known = Intrinsics(K.numpy(), "given" if given is not None else "estimated",
                       verdict(path.focal_spread, given is not None), None if given is not None else path.focal_spread)
    return Result(every.T_world_camera, known, system, "reprojection", system.config, {}, skipped=every.skipped), drift


def lost(path: Solution, keys: KeyImages) -> list[str]:
    """A sentence on key frames that nothing could place."""
    if not path.lost:
        return []
    names = ", ".join(str(int(keys.key_frames[k])) for k in sorted(path.lost)[:10])
    return [f"{len(path.lost)} key frames share too little with the others to be placed well (frames {names}"
            f"{', ...' if len(path.lost) > 10 else ''}): their pose is a guess."]


def costs(run: Run) -> list[Score]:
    """Wall time and peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = sum(phase["seconds"] for phase in run.phases)
    machine = f"{os.cpu_count()} cores, torch with {torch.get_num_threads()} threads"
    return [Score("wall_s", round(seconds, 1), "s", "lower", machine),
            Score("peak_memory_mb", round(peak), "MB", "lower", "resident set of the process")]


def _same_run(out: Path, footage: Footage, given: Tensor | None, minutes: float, seed: int, steps: int | None) -> None:
    """Raises InputError if the folder holds a run of something else."""
    make_folder(out / "work")
    now = {"sha256": footage.sha256(), "intrinsics": None if given is None else given.tolist(), "minutes": minutes,
           "seed": seed, "steps": steps}
    before = decided_once(out / "work" / "arguments.json", lambda: now)
    if different := [name for name in now if before.get(name) != now[name]]:
        raise InputError(f"{out} holds a run with another {' and '.join(different)}: choose another folder with -o, "
                         "or remove it")


