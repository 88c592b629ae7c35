"""The cells of the table: one system trained with one seed, or one baseline, and its scores on every test set. What is
done stands on the disk and is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ...engine.checkpoint import write_bytes
from ...engine.fit import Train
from ...engine.log import Progress, read_log
from ...engine.system import System
from ...judges.score import Score
from ...sources.source import Source
from ...types.errors import EpipoleError, InputError
from ..train import load_model, train
from .judging import Judge, Looks, Method

Tests = Mapping[str, Sequence[Source]]


@dataclass(frozen=True)
class Cell:
    """What came out: scores by test set, or why there are none; of a system also what its training took."""

    scores: dict[str, list[Score]]
    problems: dict[str, str]
    weights: int = 0
    steps: int = 0
    seconds: float = 0.0


def judged(make: Callable[[], Method], tests: Tests, judge: Judge, looks: Looks, file: Path) -> Cell:
    """The scores of a method on every test set, from `file` as far as they stand there; `make` is asked for the method
    where one is missing. What cannot be judged is told in a sentence, and tried again the next time."""
    known = json.loads(file.read_text()) if file.is_file() else {}
    missing = [name for name in tests if _key(name, looks) not in known]
    problems: dict[str, str] = {}
    if missing:
        method = make()
        for name in missing:
            try:
                known[_key(name, looks)] = [score.as_dict() for score in judge(method, tests[name], looks)]
                write_bytes(file, json.dumps(known, indent=1).encode())
            except EpipoleError as error:
                problems[name] = str(error)
    return Cell({name: [Score.from_dict(entry) for entry in known[_key(name, looks)]] for name in tests
                 if name not in problems}, problems)


def _key(test: str, looks: Looks) -> str:
    return f"{test} {looks}"


def learned(
    name: str, preset: str, how: Train, source: Source, batch_size: int, folder: Path, tests: Tests, judge: Judge,
    looks: Looks, progress: Progress | None, staged: bool = False,
) -> Cell:
    """A system trained in this folder, `staged` or not, if that was not done yet, and judged."""
    system: System | None = None
    if not _finished(folder):
        system = train(name, source, preset, how, folder, batch_size, progress, None, staged)
    if progress:
        progress.phase(f"judge {name}", 1, "models")
    cell = judged(lambda: system or load_model(folder / "model.safetensors"), tests, judge, looks,
                  folder / "scores.json")
    steps, seconds, weights = _costs(folder)
    return replace(cell, weights=weights, steps=steps, seconds=seconds)


def _finished(folder: Path) -> bool:
    about = folder / "run.yaml"
    return about.is_file() and bool(yaml.safe_load(about.read_text()).get("finished"))


def _costs(folder: Path) -> tuple[int, float, int]:
    """Steps, seconds and weights of a training, the log of whose stages counts over interruptions."""
    ends = {line["phase"]: line for line in read_log(folder / "log.jsonl")}.values()
    model = load_model(folder / "model.safetensors")
    return (sum(end["step"] + 1 for end in ends), sum(end["seconds"] for end in ends),
            sum(p.numel() for p in model.parameters()))


def check_same(folder: Path, binding: dict[str, object]) -> None:
    """Raises InputError if the folder holds a bench of other arguments than these. What is off is as if not said: a
    folder does not know the switches that came after it."""
    file = folder / "work" / "bench.json"
    asked = json.loads(json.dumps({name: value for name, value in binding.items() if value is not False}))
    if not file.is_file():
        write_bytes(file, json.dumps(asked, indent=1, sort_keys=True).encode())
    elif {name: value for name, value in json.loads(file.read_text()).items() if value is not False} != asked:
        raise InputError(f"{folder} holds a bench with other arguments: repeat those, or choose another folder")
