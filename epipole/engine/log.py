"""What a run tells while it learns: a file of JSON lines, and a progress bar whose time left is measured."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOBase
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

from torch import Tensor

from ..formats.atomic import unwritable
from ..types.errors import InputError
from .checkpoint import write_bytes


class Pace:
    """Throughput over the last `window` seconds, and the time left that follows from it.

    A window follows a machine that gets busier or faster; an average since the start would not.
    """

    def __init__(self, total: int, done: int = 0, window: float = 30.0, clock: Callable[[], float] = time.monotonic):
        self.total, self.done, self.window, self.clock = total, done, window, clock
        self.marks = deque([(clock(), done)])

    def reach(self, done: int) -> None:
        """Note that `done` of `total` are done now."""
        now = self.clock()
        self.done = done
        self.marks.append((now, done))
        while len(self.marks) > 2 and now - self.marks[1][0] >= self.window:
            self.marks.popleft()

    @property
    def rate(self) -> float:
        """Units per second; 0 while nothing was measured."""
        (t0, n0), (t1, n1) = self.marks[0], self.marks[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the present rate; None while nothing was measured."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


def clock_face(seconds: float | None) -> str:
    """m:ss or h:mm:ss, and -:-- for a time nobody knows yet."""
    if seconds is None:
        return "-:--"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


class Progress:
    """One line of progress: phase, how far, throughput, time left of the phase, and of all phases if that is expected.

    On a terminal it is a bar that renews itself; elsewhere a line every `every` seconds.

        with Progress() as progress:
            progress.phase("decode", total=1000, unit="frames")
            for i in range(1000): progress.reach(i + 1)
    """

    def __init__(self, stream: TextIO | TextIOBase | None = None, every: float = 10.0,
                 clock: Callable[[], float] = time.monotonic):
        self.stream, self.every, self.clock = stream or sys.stderr, every, clock
        self.bar: Any = None
        self.pace = Pace(0, clock=clock)
        self.name, self.unit, self.told = "", "steps", clock()
        self.ends: float | None = None

    def __enter__(self) -> Progress:
        if self.stream.isatty():
            from rich import console, progress  # a tenth of a second that a log file does not need

            self.bar = progress.Progress(progress.TextColumn("{task.description:<12}"), progress.BarColumn(),
                                         progress.TextColumn("{task.fields[words]}"),
                                         console=console.Console(file=cast(TextIO, self.stream)))
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()

    def expect(self, seconds: float) -> None:
        """Say that all phases together end in so many seconds; forgotten when that time is past."""
        self.ends = self.clock() + seconds

    def phase(self, name: str, total: int, unit: str = "steps", done: int = 0) -> None:
        """Begin a phase of `total` units, `done` of which were done by an earlier, interrupted run."""
        self.pace = Pace(total, done, clock=self.clock)
        self.name, self.unit, self.told = name, unit, self.clock()
        if self.bar is not None:
            self.task = self.bar.add_task(name, total=total, completed=done, words=self.words())

    @contextmanager
    def working(self, name: str) -> Iterator[None]:
        """Name a phase while it lasts, of which nobody knows how long that is."""
        if self.bar is not None:
            task = self.bar.add_task(name, total=None, words="")
        else:
            self.stream.write(f"{name} ...\n")
            self.stream.flush()
        yield
        if self.bar is not None:
            self.bar.update(task, total=1, completed=1, words="done")

    def reach(self, done: int) -> None:
        """Say that `done` units of the phase are done."""
        self.pace.reach(done)
        if self.bar is not None:
            self.bar.update(self.task, completed=done, words=self.words())
        elif self.clock() - self.told >= self.every or done == self.pace.total:
            self.told = self.clock()
            self.stream.write(f"{self.name}: {self.words()}\n")
            self.stream.flush()

    def words(self) -> str:
        """How far, how fast, how long still."""
        p = self.pace
        rate = f"{p.rate:.0f}" if p.rate >= 100 else f"{p.rate:.3g}"
        in_all = self.ends - self.clock() if self.ends is not None else 0.0
        left = f"{clock_face(p.seconds_left)} left" + (f", about {clock_face(in_all)} in all" if in_all > 0 else "")
        return f"{p.done}/{p.total} {self.unit}  {rate} {self.unit}/s  {left}"


class Log:
    """A file of lines `{"phase", "step", "seconds", "loss": {term: value}}`, and the progress of one phase.

    path      the file, shared by all phases; None: nothing is written
    phase     name of this phase of the run
    progress  where to show it; None: nowhere
    """

    def __init__(self, path: Path | None = None, phase: str = "train", progress: Progress | None = None):
        self.path, self.phase, self.progress = path, phase, progress
        self.since = time.monotonic()

    def start(self, step: int, total: int) -> None:
        """Begin or resume at `step`: lines of this phase from `step` on belong to steps that are taken again, and go.

        Raises InputError if the file cannot be written.
        """
        self.since = time.monotonic()
        if self.path is not None:
            kept = [line for line in self._lines() if line["phase"] != self.phase or line["step"] < step]
            mine = [line["seconds"] for line in kept if line["phase"] == self.phase]
            self.since -= max(mine, default=0.0)
            write_bytes(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        if self.progress:
            self.progress.phase(self.phase, total, done=step)

    def step(self, step: int, terms: Mapping[str, Tensor | float], write: bool = True) -> None:
        """Step `step` is done, with these loss terms; `write` puts it into the file."""
        if write and self.path is not None:
            line = {"phase": self.phase, "step": step, "seconds": round(time.monotonic() - self.since, 3),
                    "loss": {name: float(value) for name, value in terms.items()}}
            self._append(json.dumps(line) + "\n")
        if self.progress:
            self.progress.reach(step + 1)

    def _lines(self) -> list[dict[str, Any]]:
        return read_log(self.path) if self.path is not None and self.path.exists() else []

    def _append(self, text: str) -> None:
        assert self.path is not None
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as e:
            raise InputError(unwritable(self.path, e)) from e


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line that a kill cut in half is left out. Raises InputError for any other damage."""
    try:
        *whole, cut = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    lines = [_line(text) for text in whole]
    if None in lines:
        raise InputError(f"{path} is damaged in line {lines.index(None) + 1}; take that line out, or start again in "
                         "another folder")
    last = _line(cut)  # each is flushed before the next begins: only this one can be incomplete
    return [line for line in [*lines, last] if line is not None]


def _line(text: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is none that `Log` writes."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    kinds = {"phase": str, "step": int, "seconds": int | float, "loss": dict}
    right = isinstance(line, dict) and all(isinstance(line.get(name), kind) for name, kind in kinds.items())
    return line if right else None
