"""Ours against peers and floors, in turns within one process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Rival:
    """What ours is compared with, and the most that (time of ours / time of this) may be; None: only shown.

    `run` is None where the package is not installed; the table then says so.
    """

    name: str
    run: Work | None
    at_most: float | None = None


@dataclass(frozen=True)
class Contest:
    """One piece of work. All set-up is done before: `ours` and `run` do nothing but the work itself."""

    work: str
    ours: Work
    rivals: tuple[Rival, ...]
    repeats: int = 20       # turns; the best counts
    note: str = ""          # what else was measured, e.g. the error both end with


HEADER = "| work | threads | ours | rival | rival's time | ratio | to reach | |\n|---|---|---|---|---|---|---|---|"


def seconds(contest: Contest, threads: int) -> dict[str, float]:
    """The best time of ours (under "") and of every rival, measured in turns after one turn to warm up. For one
    thread it is time of the processor, which other programs on the machine do not lengthen; for more, on the wall."""
    clock = time.process_time if threads == 1 else time.perf_counter
    works = {"": contest.ours} | {r.name: r.run for r in contest.rivals if r.run}
    best = dict.fromkeys(works, float("inf"))
    for turn in range(contest.repeats + 1):
        for name, run in works.items():
            start = clock()
            run()
            if turn:
                best[name] = min(best[name], clock() - start)
    return best


def lines(contest: Contest, threads: int) -> Iterator[str]:
    """The rows of a Markdown table (`HEADER`), one per rival."""
    best = seconds(contest, threads)
    for rival in contest.rivals:
        start = f"| {contest.work} | {threads} | {best['']*1e3:.1f} ms | {rival.name} |"
        if rival.run is None:
            yield f"{start} not installed | | | {contest.note} |"
            continue
        ratio = best[""] / best[rival.name]
        goal = "" if rival.at_most is None else f"<= {rival.at_most:.2f}"
        goal += " (missed)" if rival.at_most and ratio > rival.at_most else ""
        yield f"{start} {best[rival.name]*1e3:.1f} ms | {ratio:.2f} | {goal} | {contest.note} |"
