"""DeMoN in the stages of its paper: each of its networks learns beside those before it, which stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from ..engine.fit import Train, fit
from ..engine.log import Log, Progress
from ..sources.source import Source
from ..systems.depth.demon import PRESETS, Demon
from .train import sampled, save_model


@dataclass(frozen=True)
class Stage:
    """One of `Demon.stages`, and how it is trained."""

    name: str
    steps: int
    learning_rate: float
    batch_size: int = 32


SCHEDULE = (
    Stage("flow1", 1_000_000, 2.5e-4), Stage("motion1", 1_000_000, 2e-4),
    Stage("flow2", 250_000, 1.5e-4), Stage("motion2", 250_000, 1.5e-4),
    Stage("iterative", 1_500_000, 1.5e-4, batch_size=8), Stage("refine", 250_000, 2e-4),
)
"""The paper's. Its learning rate stays for a third of a stage and then falls to 1e-6; here it falls by a cosine."""
TRAIN = Train(final=0.005, weight_decay=4e-4)


def train_demon(
    source: Source,
    out: Path,
    preset: str = "small",
    schedule: Sequence[Stage] = SCHEDULE,
    train: Train = TRAIN,
    progress: Progress | None = None,
) -> Demon:
    """Train stage by stage, write `model.safetensors` into the folder `out`, and return the system in eval mode.

    `train` says how, but for the steps and learning rates. Interrupted and called again with the same arguments, it
    goes on. Raises what `fit` raises.
    """
    torch.manual_seed(train.seed)
    system = Demon(PRESETS[preset])
    for stage in schedule:
        learning, _ = system.stages()[stage.name]
        for name, network in system.named_children():
            network.requires_grad_(name in learning)
        how = replace(train, steps=stage.steps, learning_rate=stage.learning_rate)
        fit(system, sampled(source, stage.batch_size, train.seed), how, partial(system.loss, stage=stage.name),
            Log(out / "log.jsonl", stage.name, progress), out / "work" / f"{stage.name}.safetensors")
    save_model(out / "model.safetensors", "demon", system.config, system.requires_grad_(True))
    return system
