"""How many steps of learning a budget leaves room for, by the speed of the machine."""

import math
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from ...engine.fit import Train, plan
from ...engine.log import Progress
from ...systems.depth.reprojection import ReprojectionDepth
from .teach import PAIRS, Lessons

FIRST_SHARE = 0.2          # of the steps, before the path is put together again
AHEAD, PER_FRAME = 35.0, 0.18  # seconds that come after learning: placing, writing, showing and judging every frame
LEAST_LEARNING = 0.3       # share of the budget that is learning, whatever the rest takes
MOST_EPOCHS, FEW = 2.25, 600   # over all pairs; taught more often (and longer than so few steps), the network learns
                               # the flow's errors by heart
STARTED = 0.5              # share of those steps for a network that already knows worlds: it is as good after half


@runtime_checkable
class Spent(Protocol):
    """What a run took so far, and whom it tells."""

    progress: Progress | None
    phases: list[dict[str, Any]]

    @property
    def seconds(self) -> float: ...


def seconds_ahead(lessons: Lessons) -> float:
    """What comes after learning."""
    return AHEAD + PER_FRAME * (int(lessons.images.key_frames[-1]) + 1)


def seconds_left(run: Spent, lessons: Lessons, minutes: float) -> float:
    """What of the budget is left for learning, after what was used and what is still to be written."""
    return 60 * minutes - run.seconds - seconds_ahead(lessons)


def most_steps(lessons: Lessons, started: bool) -> int:
    """Steps beyond which more time does not help."""
    most = max(FEW, math.ceil(MOST_EPOCHS * len(lessons) / PAIRS))
    return math.ceil(STARTED * most) if started else most


def first_steps(
    run: Spent, system: ReprojectionDepth, lessons: Lessons, how: Train, minutes: float, steps: int | None,
    started: bool,
) -> dict[str, int]:
    """Steps of the first stage: a share of all that the machine's speed, measured here, leaves room for."""
    if steps is None:
        seconds = max(seconds_left(run, lessons, minutes), LEAST_LEARNING * 60 * minutes)
        planned = plan(system, lessons, replace(how, seconds=seconds)).steps
        steps = min(planned, most_steps(lessons, started))
        if run.progress:
            run.progress.expect(seconds * steps / planned + seconds_ahead(lessons))
    return {"steps": max(1, round(FIRST_SHARE * steps))}


def second_steps(
    run: Spent, lessons: Lessons, first: int, minutes: float, steps: int | None, started: bool
) -> dict[str, int]:
    """Steps of the second stage: what then is left, at the pace of the first."""
    if steps is None:
        pace = next((phase["seconds"] for phase in run.phases if phase["name"] == "learn 1"), 0.0) / first
        least = (1 - FIRST_SHARE) * LEAST_LEARNING * 60 * minutes
        steps = first + int(max(seconds_left(run, lessons, minutes), least) / max(pace, 1e-3))
        steps = min(steps, most_steps(lessons, started))
        if run.progress:
            run.progress.expect(pace * (steps - first) + seconds_ahead(lessons))
    return {"steps": max(1, steps - first)}
