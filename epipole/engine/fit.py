"""The one training loop."""

from __future__ import annotations

import copy
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..types.batch import Batch
from ..types.errors import InputError, TrainingError
from .checkpoint import load_checkpoint, save_checkpoint
from .log import Log
from .precision import channels_last, networks_in_bf16
from .system import System

Batches = Callable[[int], Batch] | Iterable[Batch]
Loss = Callable[[Any], dict[str, Tensor]]


@dataclass(frozen=True)
class Train:
    """How to train."""

    steps: int = 1000
    seconds: float | None = None            # a learning budget instead of `steps`; `plan` turns it into steps
    learning_rate: float = 2e-4
    warmup: int = 0                         # steps of linear rise to the learning rate
    final: float = 1.0                      # share of the learning rate left after cosine decay; 1 = no decay
    weight_decay: float = 0.0               # decoupled (AdamW)
    clip: float = 1.0                       # largest norm of the gradient
    bf16: bool = False                      # networks compute in bfloat16, everything else in float32
    channels_last: bool = True              # layout of convolution weights; up to twice as fast on a CPU
    seed: int = 0
    device: str = "auto"                    # auto: the GPU where there is one
    log_every: int = 10                     # steps
    checkpoint_every_seconds: float = 30.0

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        cosine = (1 + math.cos(math.pi * step / max(self.steps - 1, 1))) / 2
        return self.learning_rate * rise * (self.final + (1 - self.final) * cosine)

    def settings(self) -> str:
        """What decides the weights that come out, as JSON: two trainings that agree here are the same training."""
        free = {"seconds", "device", "log_every", "checkpoint_every_seconds"}
        return json.dumps({k: v for k, v in asdict(self).items() if k not in free}, sort_keys=True)


def fit(
    system: System,
    batches: Batches,
    train: Train = Train(),
    loss: Loss | None = None,
    log: Log | None = None,
    checkpoint: Path | None = None,
    on_step: Callable[[int, Batch, Mapping[str, Tensor]], None] | None = None,
) -> System:
    """Train for `train.steps` steps and return the system, in eval mode.

    batches     a function step -> Batch, or any iterable; one that ends is begun again
    loss        another of the system's losses, for training in stages; default `system.loss`
    log         where loss terms are written and progress is shown
    checkpoint  a file. If it is there, training goes on from it, and ends with the weights, bit for bit on a CPU, of
                an uninterrupted run: everything random in a step follows from (seed, step). It is renewed every
                `checkpoint_every_seconds`, at the end, and on SIGINT or SIGTERM, once the step is whole.
    on_step     called after each step with (step, batch, loss terms): watches for collapse, say, by raising
                TrainingError

    The system is handed only what it `needs`. Raises TrainingError for a loss or gradient that is not finite,
    MissingField for a batch that lacks a needed field, InputError for a file that cannot be written or resumed.
    """
    if train.seconds is not None:
        raise ValueError("fit takes a number of steps; plan() turns a budget in seconds into one")
    device = torch_device(train.device)
    system.to(device).train()
    if train.channels_last:
        channels_last(system)
    weights = [p for p in system.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, train.learning_rate, weight_decay=train.weight_decay)
    first = load_checkpoint(checkpoint, system, optimiser, train.settings()) if checkpoint else 0
    log = log or Log()
    log.start(first, train.steps)

    done, saved = first, time.monotonic()
    with signals_held() as signals, networks_in_bf16(system, train.bf16):
        for step, batch in enumerate(stream(batches, train.seed, first, train.steps), first):
            batch = batch.keep(system.needs).to(device)
            terms = descend(loss or system.loss, batch, weights, optimiser, train, step)
            done = step + 1
            log.step(step, terms, write=step % train.log_every == 0 or done == train.steps)
            if on_step:
                on_step(step, batch, terms)
            late = time.monotonic() - saved >= train.checkpoint_every_seconds
            if checkpoint and (late or signals or done == train.steps):
                save_checkpoint(checkpoint, system, optimiser, done, train.settings())
                saved = time.monotonic()
            if signals:
                break
    if signals:
        signal.raise_signal(signals[0])  # whoever listened before now hears it
        raise KeyboardInterrupt
    return system.eval()


def descend(
    loss: Loss, batch: Batch, weights: list[nn.Parameter], optimiser: torch.optim.Optimizer, train: Train, step: int
) -> dict[str, Tensor]:
    """One step of gradient descent; the loss terms before it. Raises TrainingError if a number is not finite."""
    terms = loss(batch)
    total = torch.stack(list(terms.values())).sum()
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    norm = nn.utils.clip_grad_norm_(weights, train.clip)
    if not torch.isfinite(total + norm):
        what = "loss" if not torch.isfinite(total) else "gradient"
        values = ", ".join(f"{name} = {float(term.detach()):.4g}" for name, term in terms.items())
        raise TrainingError(f"The {what} is not finite at step {step} ({values}): try a lower learning rate")
    for group in optimiser.param_groups:
        group["lr"] = train.rate(step)
    optimiser.step()
    return {name: term.detach() for name, term in terms.items()}


def stream(batches: Batches, seed: int, first: int, steps: int) -> Iterator[Batch]:
    """The batches of steps first .. steps - 1; the random generator is seeded from (seed, step) before each is drawn,
    so that both the batch and what the loss draws afterwards are a function of the step."""

    source = map(batches, range(first, steps)) if callable(batches) else repeated(batches)
    # an iterable can only be resumed by drawing again what was drawn
    for step in range(first if callable(batches) else 0, steps):
        seed_step(seed, step)
        batch = next(source)
        if step >= first:
            yield batch


def repeated(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The iterable again and again; raises InputError if there is nothing (left) in it."""
    while True:
        batch = None
        for batch in batches:
            yield batch
        if batch is None:
            raise InputError("The data ended before the training did: give a source that can be read again")


def seed_step(seed: int, step: int) -> None:
    """Seed torch from (seed, step). The multiplier spreads seeds over the 32 bits that torch's generator uses, so that
    step s of one seed is not step s + 1 of its neighbour."""
    torch.manual_seed((seed * 2654435761 + step) % 2**32)


def plan(system: System, batches: Batches, train: Train, loss: Loss | None = None, trial: int = 12) -> Train:
    """Turn `train.seconds` into a number of steps by timing `trial` steps, whose effect on the weights is undone.

    A schedule by the clock could not be resumed bit for bit; so the clock is read once, here, and the caller keeps the
    result (see `decided_once`). Without a budget, `train` comes back as it is.
    """
    if train.seconds is None:
        return train
    marks: list[float] = []
    before = copy.deepcopy(system.state_dict())
    fit(system, batches, replace(train, seconds=None, steps=trial), loss,
        on_step=lambda *_: marks.append(time.monotonic()))
    system.load_state_dict(before)
    times = sorted(b - a for a, b in pairwise(marks[2:]))  # the first steps warm the machine up
    typical = times[len(times) // 2]
    return replace(train, seconds=None, steps=max(1, int(0.97 * train.seconds / typical)))


def torch_device(name: str) -> torch.device:
    """The device of this name; raises InputError if this machine or torch does not know it."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as e:
        raise InputError(f"Device '{name}' cannot be used here: choose auto, cpu or cuda") from e


@contextmanager
def signals_held() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of letting them cut a step in half; a second one interrupts at once."""
    held: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield held  # only the main thread may listen
        return

    def hold(number: int, _: Any) -> None:
        if held:
            raise KeyboardInterrupt
        held.append(number)

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield held
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
