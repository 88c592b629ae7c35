"""The stages of the main job, each with its result in RUN/work, where an interrupted run finds it again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...engine.checkpoint import decided_once, read_tensors, write_bytes, write_tensors
from ...engine.fit import Train, fit, plan
from ...engine.log import Log, Progress
from ...sources.findings import Look
from ...sources.footage import Footage
from ...sources.look import look
from ...systems.depth.reprojection import PRESETS, ReprojectionDepth
from .correspond import FlowStore, KeyImages
from .matches import homography_guesses, matched_pairs
from .predict import Predictor
from .rejoin import rejoin
from .solve import Solution, load_solution, network_size, refine, save_solution, solve
from .teach import Lessons

GAPS = (1, 2, 3, 5)        # of chained pairs, in key frames
FIRST_SHARE = 0.2          # of the steps, before the path is put together again
LEAST_LEARNING = 0.3       # share of the budget that is learning, whatever the rest takes
HOW = Train(learning_rate=2e-3, warmup=50, weight_decay=1e-2, clip=1.0, bf16=True, channels_last=True)


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
    learn_stage(run, "learn 1", system, lessons, first, system.loss)

    def again(name: str, before: Solution) -> Solution:
        depth_of = Predictor(system, device).of_key_frames(keys)
        return stored(run.work / name, lambda: rejoin(before, stores, depth_of, free_focal))

    path = again("path-3.safetensors", path)
    lessons = Lessons(keys, stores, path, seed + 1)
    learn_stage(run, "learn 2", system, lessons, replace(how, steps=counts["second"], final=0.02), system.later_loss)
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
        steps = plan(system, lessons, replace(how, seconds=seconds)).steps
    first = max(1, round(FIRST_SHARE * steps))
    return {"first": first, "second": max(1, steps - first)}
