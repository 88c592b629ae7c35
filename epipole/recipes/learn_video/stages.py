"""The stages of the main job, each with its result in RUN/work, where an interrupted run finds it again."""

import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...engine.checkpoint import decided_once, read_tensors, write_bytes, write_tensors
from ...engine.fit import Train, fit
from ...engine.log import Log, Progress
from ...sources.findings import Look
from ...sources.footage import Footage
from ...sources.look import look
from ...systems.depth.reprojection import PRESETS, ReprojectionDepth
from ...types.errors import InputError
from .belief import Belief
from .budget import first_steps, second_steps
from .correspond import FlowStore, KeyImages
from .matches import homography_guesses, matched_pairs
from .predict import KeyDepth, Predictor
from .rejoin import rejoin
from .solve import Solution, edges_of, load_solution, refine, save_solution, solve
from .start import begin
from .teach import Lessons

GAPS = (1, 2, 3, 5)        # of chained pairs, in key frames
SEEN_ON = 0.35             # share of valid flow at one gap from which the next is worth its time
KEEP_EVERY = 5.0           # seconds of a phase that a kill may leave uncounted
HOW = Train(learning_rate=2e-3, warmup=50, weight_decay=1e-2, clip=1.0, bf16=True)


@dataclass
class Run:
    """The folder of a run, who is told of its progress, and what it took so far, with all parts of an interrupted run:
    the phases' seconds, all seconds, and the largest resident set (MB) of its processes."""

    out: Path
    progress: Progress | None
    phases: list[dict[str, Any]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)  # less the seconds of earlier parts
    earlier_peak: float = 0.0

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, KeyError):  # nothing there, or a damaged disk: only the time it took is lost
            kept = json.loads((self.work / "costs.json").read_text(encoding="utf-8"))
            self.phases, self.began, self.earlier_peak = kept["phases"], self.began - kept["seconds"], kept["peak_mb"]

    @property
    def work(self) -> Path:
        return self.out / "work"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def peak_mb(self) -> float:
        return max(self.earlier_peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    def keep(self) -> None:
        """Notes what the run took so far; a disk that refuses is left to what cannot do without it."""
        costs = {"phases": self.phases, "seconds": self.seconds, "peak_mb": self.peak_mb}
        with suppress(InputError):
            write_bytes(self.work / "costs.json", json.dumps(costs).encode())

    @contextmanager
    def phase(self, name: str, total: int = 0, unit: str = "steps", **facts: Any) -> Iterator[Callable[..., None]]:
        """Times a phase, also one that is interrupted, and hands out what its progress is told to. A phase without a
        total is named alone, but for one that has facts: it tells its steps itself."""
        mine = next((p for p in self.phases if p["name"] == name), None)
        if mine is None:
            mine = {"name": name, "seconds": 0.0, **facts}
            self.phases.append(mine)
        kept = time.monotonic()
        began = kept - mine["seconds"]
        if self.progress and total:
            self.progress.phase(name, total, unit)

        def keep() -> None:
            nonlocal kept
            kept = time.monotonic()
            mine["seconds"] = round(kept - began, 1)
            self.keep()

        def tell(done: int, *_: int) -> None:
            if self.progress and total:
                self.progress.reach(done)
            if time.monotonic() - kept > KEEP_EVERY:
                keep()

        named = self.progress.working(name) if self.progress and not total and not facts else nullcontext()
        try:
            with named:
                yield tell
        finally:
            keep()


def look_at(run: Run, footage: Footage) -> Look:
    """The look at the footage, made or remembered."""
    file = run.work / "look.json"
    if file.exists():
        try:
            return Look.from_json(file.read_text(encoding="utf-8"))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file} is damaged: remove it and run the same command again") from error
    with run.phase("look", footage.announced or 0, "frames") as tell:
        seen = look(footage, tell)
    write_bytes(file, seen.to_json().encode())
    return seen


def key_images(run: Run, footage: Footage, frames: list[int], size: tuple[int, int], name: str = "keys") -> KeyImages:
    """These frames at the network's size, read or remembered."""
    folder = run.work / name
    return KeyImages.open(folder) if folder.exists() else KeyImages.write(folder, footage, frames, size)


def correspond(run: Run, name: str, keys: KeyImages, pairs: list[tuple[int, int]], guesses: Any = None,
               enough: float = 0.0) -> FlowStore:
    """Checked flow of these pairs, computed or remembered."""
    folder = run.work / name
    if folder.exists():
        return FlowStore.open(folder)
    with run.phase(f"flow, {name}", len(pairs), "pairs") as tell:
        return FlowStore.build(folder, keys, pairs, guesses, tell, enough=enough)


def matched(run: Run, keys: KeyImages, chain: FlowStore) -> list[FlowStore]:
    """Flow of pairs that share features far apart in time: loops, and photos that are not in order."""
    folder = run.work / "matched"
    if folder.exists():
        return [FlowStore.open(folder)] if len(FlowStore.open(folder)) else []
    with run.phase("match"):
        matches = matched_pairs(keys.gray, max(GAPS), [(int(a), int(b)) for a, b in chain.pairs])
    guesses = homography_guesses(keys.gray, matches)
    store = correspond(run, "matched", keys, [(m.a, m.b) for m in matches], guesses)
    return [store] if len(store) else []


def stored(file: Path, make: Callable[[], Solution]) -> Solution:
    """A solution, found or remembered."""
    if not file.exists():
        save_solution(file, make())
    return load_solution(file)


def solved(
    run: Run, stores: list[FlowStore], keys: KeyImages, K: Tensor | None, footage: Footage, seed: int
) -> Solution:
    with run.phase("path", len(keys), "key frames") as tell:
        return solve(stores, len(keys), K, (footage.width, footage.height), seed, tell)


def refined(run: Run, first: Solution, stores: list[FlowStore], free_focal: bool) -> Solution:
    with run.phase("adjust"):
        return refine(first, edges_of(stores)[0], free_focal)


def rejoined(
    run: Run, before: Solution, stores: list[FlowStore], depth_of: KeyDepth, free_focal: bool
) -> Solution:
    with run.phase("rejoin"):
        return rejoin(before, stores, depth_of, free_focal)


def teach(
    run: Run, keys: KeyImages, stores: list[FlowStore], path: Solution, free_focal: bool, minutes: float, seed: int,
    device: torch.device, steps: int | None, start: Path | None,
) -> tuple[ReprojectionDepth, Solution, Lessons]:
    """Both stages of learning with the path put together again between them; the path as it is afterwards."""
    torch.manual_seed(seed)
    system = ReprojectionDepth(PRESETS["paper"])
    begin(system, start)
    how = replace(HOW, seed=seed, device=str(device))
    belief = None if start is None else believe(run, system, keys, device)
    lessons = Lessons(keys, stores, path, seed, belief)
    first = decided_once(run.work / "first-steps.json",
                         lambda: first_steps(run, system, lessons, how, minutes, steps, start is not None))
    learn_stage(run, "learn 1", system, lessons, replace(how, steps=first["steps"]))

    def again(name: str, before: Solution) -> Solution:
        depth_of = Predictor(system, device).of_key_frames(keys)
        return stored(run.work / name, lambda: rejoined(run, before, stores, depth_of, free_focal))

    path = again("path-3.safetensors", path)
    lessons = Lessons(keys, stores, path, seed + 1, belief)
    second = decided_once(run.work / "second-steps.json",
                          lambda: second_steps(run, lessons, first["steps"], minutes, steps, start is not None))
    learn_stage(run, "learn 2", system, lessons, replace(how, steps=second["steps"], final=0.02))
    path = again("path-4.safetensors", path)
    lessons.follow(path)  # by which the run judges itself
    return system, path, lessons


def believe(run: Run, system: ReprojectionDepth, keys: KeyImages, device: torch.device) -> Belief:
    """What the start says of the key frames, asked or remembered."""
    return Belief.build(run.work / "start", keys, Predictor(system, device).of_key_frames(keys))


def learn_stage(run: Run, name: str, system: ReprojectionDepth, lessons: Lessons, how: Train) -> None:
    """One call of fit; what it has learned is kept, so that a finished stage is not begun again."""
    learned, going = run.work / f"{name}.safetensors", run.work / f"{name}-going"
    if learned.exists():
        system.load_state_dict(read_tensors(learned)[0])
    else:
        with run.phase(name, steps=how.steps) as tell:
            log = Log(run.out / "log.jsonl", name, run.progress)
            fit(system, lessons, how, None, log, going, on_step=lambda step, *_: tell(step))
            write_tensors(learned, system.state_dict(), {})
    going.unlink(missing_ok=True)
