"""The whole of a bench, from top to bottom: what competes, training, judging, the table."""

from __future__ import annotations

import json
import os
import platform
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ...engine.checkpoint import write_bytes
from ...engine.fit import Train, torch_device
from ...engine.log import Progress
from ...methods.colmap import Colmap
from ...sources.augment import augmented
from ...sources.source import Source
from ...sources.spoil import WAYS, Spoiled
from ...systems import load
from ...types.errors import EpipoleError, InputError
from ...types.predictions import Motion
from ..samples import Shape, parse_all, parse_data, samples
from ..staged import SCHEDULES
from ..train import installed, versions
from .baselines import Baseline
from .cells import Cell, Tests, check_same, judged, learned
from .entrants import Entrant, entrants_of, taught
from .fields import Field, field_named, knows_metres, views_for_depth
from .judging import Looks
from .table import beside, markdown, row, with_gains

KNOWN = frozenset({"image", "depth", "T_world_camera"})  # what baselines take from training samples, where it is there


@dataclass(frozen=True)
class Bench:
    """What is asked for. Systems are names, or NAME:PRESET; none: all of the field that the training data can teach."""

    field: str
    systems: tuple[str, ...] = ()
    train: str | Sequence[str] = "room:0-7"  # several: each as often as the others
    test: Sequence[str] = ("room:100-103",)
    preset: str = "small"
    steps: int = 1000
    minutes: float | None = None            # of every training, in place of steps
    seeds: int = 3                          # 0 .. seeds - 1
    frames: int | None = None               # of a clip; none: the field's own
    gap: int = 1
    width: int = 128                        # px, in training
    test_width: int | None = None           # none: as in training; 0: as the test data are
    world_frames: int = 64
    batch: int = 4
    rate: float = 2e-4
    final: float = 1.0                      # share of the rate that is left at the end, after a cosine
    augment: bool = False                   # as `epipole train --augment`
    staged: bool = False                    # as `epipole train --staged`, those that have stages
    bf16: bool = False                      # as `epipole train --bf16`
    colmap: bool = False                    # of motion: COLMAP beside the other baselines
    spoil: Sequence[str] = ()               # ways (see sources.spoil) in which test images are worse, a table for each
    device: str = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.train, str) and len(self.train) == 1:
            object.__setattr__(self, "train", self.train[0])

    def shape(self) -> Shape:
        return Shape(self.frames or field_named(self.field).frames, self.gap, self.width, self.world_frames)

    def looks(self, metric: bool = True, views: int = 1) -> Looks:
        width = self.width if self.test_width is None else self.test_width or None
        return Looks(width, self.shape().frames, self.gap, metric, views)

    def how(self, seed: int) -> Train:
        seconds = None if self.minutes is None else 60 * self.minutes
        return Train(self.steps, seconds, self.rate, final=self.final, bf16=self.bf16, seed=seed,
                     device=self.device)

    def binding(self) -> dict[str, Any]:
        """What decides the trained systems; the rest may change from call to call."""
        free = ("systems", "seeds", "test", "test_width", "spoil", "colmap", "device")
        return {name: value for name, value in asdict(self).items() if name not in free}


def bench(asked: Bench, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Trains every system of the field with every seed for the same budget, judges them and the baselines on the same
    test data, writes `out`/bench.md and bench.json, and returns what stands in the latter.

    What is finished is not done again; an interrupted training goes on. A training that fails is told in the notes, and
    the others go on. Raises InputError, before anything is trained, for arguments that make no sense, and MissingField
    for a system that was named and that the training data cannot teach.
    """
    field, data, shape, cache = field_named(asked.field), parse_all(asked.train), asked.shape(), out / "work" / "data"
    texts = {text: parse_data(text) for text in asked.test}
    torch_device(asked.device)
    if asked.colmap and field.prediction is not Motion:
        raise InputError(f"COLMAP finds paths, and is no rival in {asked.field}: leave it out")
    entrants = entrants_of(asked.field, asked.systems, asked.preset)
    check_same(out, asked.binding())
    tests = spoiled({text: field.tests(each, shape, cache) for text, each in texts.items()}, asked.spoil)
    sources, notes = taught(entrants, field.fields, data, shape, cache, bool(asked.systems))
    shown = {one: augmented(source, load(one.system).needs, one.label) if asked.augment else source
             for one, source in sources.items()}
    notes += _stages(sources) if asked.staged else []
    rivals = _baselines(asked, field, samples(data, KNOWN | field.fields, shape, cache), tests, out)
    _check_judged(rivals, tests)
    rows: dict[str, list[Cell]] = {}
    for one, source in sources.items():
        _fetch(source, f"samples for {one.label}", progress)
        rows[one.label] = []
        for seed in range(asked.seeds):
            try:
                rows[one.label].append(learned(
                    one.system, one.preset, asked.how(seed), shown[one], asked.batch,
                    out / "cells" / f"{one.label.replace(':', '-')}-{seed}", tests, field.judge,
                    asked.looks(knows_metres(one.system), views_for_depth(one.system)), progress,
                    asked.staged and one.system in SCHEDULES))
            except EpipoleError as error:
                notes.append(f"{one.label}, seed {seed}, was not trained to the end: {error}")
            _write(_results(asked, field, tests, rivals, rows, notes), out)
    return _results(asked, field, tests, rivals, rows, notes)


def _stages(entrants: Iterable[Entrant]) -> list[str]:
    """A sentence for each that learns in stages. Raises InputError if none does."""
    told = [f"{one.label} learned in stages, which share the steps: "
            f"{', '.join(stage.name for stage in SCHEDULES[one.system].stages)}"
            for one in entrants if one.system in SCHEDULES]
    if not told:
        raise InputError(f"none of these systems learns in stages; {', '.join(SCHEDULES)} do")
    return told


def spoiled(tests: Tests, ways: Sequence[str]) -> dict[str, Sequence[Source]]:
    """The test sets and, under a name of its own, each of them spoiled in each of these ways."""
    worse = {f"{test}, {way}": [Spoiled(part, way) for part in parts] for way in ways for test, parts in tests.items()}
    return {**tests, **worse}


def _baselines(asked: Bench, field: Field, train: Source, tests: Tests, out: Path) -> dict[str, list[Cell]]:
    def cell(baseline: Baseline) -> Cell:
        file = out / "baselines" / f"{baseline.name.replace(' ', '_')}.json"
        return judged(lambda: baseline.method, tests, field.judge, asked.looks(baseline.metric), file)

    rivals = [Baseline("COLMAP", Colmap(), metric=False)] if asked.colmap else []
    return {baseline.name: [cell(baseline)] for baseline in field.baselines(train, asked.looks()) + rivals}


def _check_judged(rivals: dict[str, list[Cell]], tests: Tests) -> None:
    """Raises InputError for a test set on which no baseline could be judged: it lacks what the judge needs."""
    for test in tests:
        problems = [cell.problems.get(test) for cells in rivals.values() for cell in cells]
        if problems and all(problems):
            raise InputError(f"nothing can be judged on {test}: {problems[0]}")


def _fetch(source: Source, what: str, progress: Progress | None) -> None:
    """Looks at every sample once, so that no training waits for what is rendered or decoded only once."""
    if progress:
        progress.phase(what, len(source), "samples")
    for i in range(len(source)):
        source[i]
        if progress:
            progress.reach(i + 1)


def _results(
    asked: Bench, field: Field, tests: Tests, rivals: dict[str, list[Cell]], rows: dict[str, list[Cell]],
    notes: list[str],
) -> dict[str, Any]:
    tables = [{"test": test, "rows": _rows(field, test, rivals, rows), "notes": _silent(test, rivals | rows)}
              for test in tests]
    return {"title": f"epipole bench {asked.field}", "command": command(asked), "about": _about(asked), "notes": notes,
            "shown": list(field.shown), "arguments": asdict(asked), "machine": machine(asked),
            "versions": {"epipole": installed("epipole")} | versions(), "tables": tables}


def _rows(
    field: Field, test: str, rivals: dict[str, list[Cell]], rows: dict[str, list[Cell]]
) -> list[dict[str, Any]]:
    found = [row(name, cells, test, False) for name, cells in rivals.items()]
    found += [row(name, cells, test, True) for name, cells in rows.items()]
    entries = [entry for entry in found if entry is not None]
    every = [cell for cells in [*rows.values(), *rivals.values()] for cell in cells]
    return with_gains(beside(entries, every, test, field.beside) + entries, field.rivals)


def _silent(test: str, cells: dict[str, list[Cell]]) -> list[str]:
    """A sentence for everything that could not be judged on this test set."""
    reasons = {name: next((cell.problems[test] for cell in several if test in cell.problems), None)
               for name, several in cells.items()}
    return [f"{name} was not judged here: {reason}" for name, reason in reasons.items() if reason]


def _about(asked: Bench) -> list[str]:
    shape, where = asked.shape(), machine(asked)
    budget = f"{asked.steps} steps" if asked.minutes is None else f"{asked.minutes:g} minutes"
    falling = "" if asked.final == 1 else f" falling to {100 * asked.final:g} %"
    wide = {None: "as in training", 0: "as the test data are"}.get(asked.test_width, f"{asked.test_width} px wide")
    preset = asked.preset + (" in bfloat16" if asked.bf16 else "")
    return [
        f"budget of every training: {budget} of {asked.batch}{' augmented' if asked.augment else ''} samples, learning "
        f"rate {asked.rate:g}{falling}, preset {preset}, seeds 0 to {asked.seeds - 1}; medians over seeds (least to "
        "most)",
        f"trained on {' and '.join(_texts(asked.train))}, {shape.width} px wide, clips of {shape.frames} frames "
        f"{shape.gap} apart; worlds are {shape.world_frames} frames long; tested on images {wide}",
        *(f"{way}: test images are {WAYS[way].about}" for way in asked.spoil),
        f"machine: {where['processor']}, {where['cores']} cores, {where['threads']} threads of torch, device "
        f"{where['device']}, {where['system']}",
    ]


def machine(asked: Bench) -> dict[str, Any]:
    """What the times depend on."""
    device = torch_device(asked.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"processor": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
            "device": name, "system": platform.platform()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
                platform.processor() or platform.machine())


def command(asked: Bench) -> str:
    """The command line that repeats it."""
    words = ["epipole", "bench", asked.field, *asked.systems, "--train", *_texts(asked.train), "--test", *asked.test]
    usual = asdict(Bench(asked.field))
    for name, value in asdict(asked).items():
        if name not in ("field", "systems", "train", "test") and value != usual[name]:
            values = value if isinstance(value, (list, tuple)) else [] if value is True else [value]
            given = [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
            words += [f"--{name.replace('_', '-')}", *given]
    return shlex.join(words)


def _texts(train: str | Sequence[str]) -> Sequence[str]:
    return [train] if isinstance(train, str) else train


def _write(results: dict[str, Any], out: Path) -> None:
    write_bytes(out / "bench.json", json.dumps(results, indent=1).encode())
    write_bytes(out / "bench.md", markdown(results).encode())
