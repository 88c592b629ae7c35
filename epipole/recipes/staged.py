"""The schedules of papers that train stage by stage: in each a part of the networks learns, by a loss of its own,
beside the rest, which stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..engine.fit import Batches, Train, fit
from ..engine.log import Log, Progress
from ..engine.system import System
from ..types.errors import InputError


@dataclass(frozen=True)
class Stage:
    """One of a system's `stages`, and how it is trained; `batch` is its share of the largest stage's samples."""

    name: str
    steps: int
    learning_rate: float
    batch: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """The stages in their order, with the paper's learning rates. Asked for another rate, the first stage has that one,
    and the others are in proportion. Each falls by a cosine to the share `final`, or to what is asked for if that is
    less."""

    stages: tuple[Stage, ...]
    final: float = 1.0
    weight_decay: float = 0.0

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def how(self, stage: Stage, asked: Train) -> Train:
        """To train one of the stages, where the whole is asked for like this."""
        share = stage.learning_rate / self.stages[0].learning_rate
        return replace(asked, steps=max(1, round(asked.steps * stage.steps / self.steps)),
                       learning_rate=share * asked.learning_rate, final=min(self.final, asked.final),
                       weight_decay=self.weight_decay)


SCHEDULES = {
    # 32 samples. The paper's rate stays for a third of a stage and then falls to 1e-6
    "demon": Schedule((
        Stage("flow1", 1_000_000, 2.5e-4), Stage("motion1", 1_000_000, 2e-4), Stage("flow2", 250_000, 1.5e-4),
        Stage("motion2", 250_000, 1.5e-4), Stage("iterative", 1_500_000, 1.5e-4, batch=0.25),
        Stage("refine", 250_000, 2e-4)), final=0.005, weight_decay=4e-4),
    # 32 samples, 2 and 1.5 million of them; the rates are Adam's, where the paper has momentum
    "eigen": Schedule((Stage("coarse", 62_500, 1e-4), Stage("fine", 46_875, 1e-4))),
    # what each level, and each of DispNet's scales, takes is ours
    "garg": Schedule(tuple(Stage(f"level{k}", 10_000, 1e-4) for k in (3, 2, 1, 0))),
    **dict.fromkeys(("dispnet", "dispnetc"), Schedule(tuple(Stage(f"scale{2**k}", 10_000, 1e-4)
                                                            for k in (6, 5, 4, 3, 2, 1)))),
    "unflow": Schedule((Stage("all_seen", 500_000, 1e-4), Stage("occlusion", 500_000, 1e-5))),
    # what learned weights have brought near is refined (Kendall & Cipolla 2017); how long and how fast is ours
    "posenet_geometric": Schedule((Stage("learned", 3, 2e-4), Stage("geometric", 1, 2e-5))),
}
"""The steps, rates and batches of the papers."""


def schedule_of(name: str) -> Schedule:
    """The schedule of this system; raises InputError for one that learns in a single stage."""
    if name not in SCHEDULES:
        raise InputError(f"{name} learns in one stage; in stages learn {', '.join(SCHEDULES)}")
    return SCHEDULES[name]


def fit_in_stages(
    system: System, batches: Callable[[int], Batches], schedule: Schedule, how: Train, batch_size: int, out: Path,
    progress: Progress | None = None,
) -> System:
    """Train stage by stage and return the system in eval mode. `how.steps` are those of all stages, which share them as
    the schedule's are shared; `batches` gives, for a number of samples, the batches of so many.

    Logs to `out`/log.jsonl; interrupted and called again with the same arguments, it goes on. Raises what `fit` raises.
    """
    for stage in schedule.stages:
        learning, loss = system.stages()[stage.name]
        for name, network in system.named_children():
            network.requires_grad_(name in learning)
        fit(system, batches(max(1, round(batch_size * stage.batch))), schedule.how(stage, how), loss,
            Log(out / "log.jsonl", stage.name, progress), out / "work" / f"{stage.name}.safetensors")
    system.requires_grad_(True)
    return system
