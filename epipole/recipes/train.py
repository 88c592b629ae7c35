"""Train any system of the table of contents on any source, and bring trained systems back."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, is_dataclass
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_type_hints

import torch
import yaml

from ..engine.checkpoint import decided_once, read_tensors, write_bytes, write_tensors
from ..engine.fit import Train, fit, plan
from ..engine.log import Log, Progress
from ..engine.precision import channels_last
from ..engine.system import System
from ..sources.source import Source
from ..systems import SYSTEMS, config_class, load, presets
from ..types.errors import InputError, MissingField
from ..types.views import Views
from .staged import fit_in_stages, schedule_of

FORMAT = "epipole model 1"
DEFAULT = Train()


def train(
    name: str,
    source: Source,
    preset: str = "small",
    train: Train = DEFAULT,
    out: Path = Path("run"),
    batch_size: int = 4,
    progress: Progress | None = None,
    data: Mapping[str, Any] | None = None,
    staged: bool = False,
) -> System:
    """Train a system, write the folder `out`, and return the system in eval mode; `staged`: in the stages of its paper,
    which share the steps, and whose learning rates are in proportion, as there.

    `data` says what the samples follow from, in values that JSON knows (see `samples.described`): it stands in
    run.yaml, and a training on other data is another training. What it calls `data` is a name, which binds nothing.

    Interrupted at any moment and called again with the same arguments, it goes on, and on a CPU ends bit-equal to an
    uninterrupted run. With `train.seconds` the number of steps is decided by the first run and kept.

    Raises InputError for an unknown name or preset, stages where there are none, an empty source, no more steps than
    the system takes to settle, a folder of another training or one that cannot be written; MissingField if the source
    does not provide what the system needs; TrainingError as `fit` does.
    """
    if preset not in presets(name):
        raise InputError(f"{name} has no preset '{preset}': choose one of {', '.join(presets(name))}")
    if not len(source):
        raise InputError("The source holds no sample: give more footage, or shorter clips")
    config, began = presets(name)[preset], time.monotonic()
    schedule = schedule_of(name) if staged else None
    torch.manual_seed(train.seed)
    system = load(name)(config)
    _check_teaches(name, source, system.needs)
    batches = sampled(source, batch_size, train.seed)

    arguments = {"system": name, "preset": preset, "samples": len(source), "batch_size": batch_size,
                 **asdict(train), **(data or {}), **({"staged": True} if staged else {})}
    planned = _planned(out, arguments, lambda: _long_enough(plan(system, batches, train), system.settle, name))
    report = {"epipole": installed("epipole"), "finished": False, "arguments": arguments, "versions": versions()}
    _write_yaml(out / "run.yaml", report)
    if schedule:
        fit_in_stages(system, partial(sampled, source, seed=train.seed), schedule, planned, batch_size, out, progress)
    else:
        fit(system, batches, planned, log=Log(out / "log.jsonl", "train", progress),
            checkpoint=out / "work" / "train.safetensors")
    save_model(out / "model.safetensors", name, config, system)
    phases = [{"name": "train", "seconds": round(time.monotonic() - began, 1)}]
    _write_yaml(out / "run.yaml", report | {"finished": True, "steps": planned.steps, "phases": phases})
    return system


def asked(name: str, staged: bool, rate: float | None, **others: Any) -> Train:
    """How a system is to be trained, at its usual learning rate where none is given: staged, that of the first stage of
    its paper. Raises InputError for stages where there are none."""
    usual = schedule_of(name).stages[0].learning_rate if staged else DEFAULT.learning_rate
    return Train(learning_rate=usual if rate is None else rate, **others)


def views_in_sample(name: str, preset: str) -> int:
    """How many views a sample has where nobody says: as many as the preset's focal stacks have slices, or a clip of 3.
    Raises InputError for a name that is not in the table."""
    return getattr(presets(name).get(preset), "slices", 3)


def sampled(source: Source, batch_size: int, seed: int) -> Callable[[int], Views]:
    """The function step -> batch that visits every sample once an epoch, in an order drawn from (seed, epoch)."""

    @lru_cache(maxsize=2)  # a batch may straddle two epochs
    def order(epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed((seed * 2654435761 + epoch) % 2**32)
        return torch.randperm(len(source), generator=generator).tolist()

    def batch(step: int) -> Views:
        places = (divmod(i, len(source)) for i in range(step * batch_size, (step + 1) * batch_size))
        return Views.collate([source[order(epoch)[i]] for epoch, i in places])

    return batch


def save_model(path: Path, name: str, config: Any, system: System) -> None:
    """Write the weights of a system of the table as safetensors, with its name and Config in the metadata.
    Raises InputError if the file cannot be written."""
    metadata = {"format": FORMAT, "system": name, "config": json.dumps(asdict(config))}
    write_tensors(path, system.state_dict(), metadata)


def load_model(path: Path) -> System:
    """The trained system in a file that `save_model` wrote, on the CPU, in eval mode. Raises InputError for any other
    file."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT or metadata.get("system") not in SYSTEMS:
        raise InputError(f"{path} holds no system that this epipole knows: give a model.safetensors that it wrote")
    name = metadata["system"]
    try:
        config = config_from(config_class(name), json.loads(metadata["config"]))
        system = load(name)(config)
        system.load_state_dict(tensors)
        channels_last(system)  # as it was trained: another layout adds up in another order
    except (KeyError, ValueError, TypeError, RuntimeError) as e:
        raise InputError(f"{path} does not fit this version of {name}: train it again") from e
    return system.eval()


def config_from(kind: type[Any], values: dict[str, Any]) -> Any:
    """The Config whose `asdict` went through JSON: lists become tuples again, dicts the dataclasses they were.
    Raises TypeError for a field that `kind` does not have."""
    hints = get_type_hints(kind)

    def back(hint: Any, value: Any) -> Any:
        if isinstance(value, dict) and is_dataclass(hint):
            return config_from(hint, value)  # type: ignore[arg-type]
        return tuple(back(None, v) for v in value) if isinstance(value, list) else value

    return kind(**{name: back(hints.get(name), value) for name, value in values.items()})


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = {"torch": "torch", "numpy": "numpy", "opencv": "opencv-python-headless"}
    return {"python": platform.python_version()} | {k: installed(v) for k, v in names.items()}


def installed(package: str) -> str:
    """Version of an installed package, or that it is not installed (a checkout on the path, another build)."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _check_teaches(name: str, source: Source, needs: Collection[str]) -> None:
    """Raises MissingField for samples that lack what a system needs."""
    try:
        source[0].keep(needs)
    except MissingField as error:
        raise MissingField(f"{name} cannot learn from this data: it {error}; scenes of a world, such as room:0-7, tell "
                           "most") from error


def _long_enough(planned: Train, settle: int, name: str) -> Train:
    """The same plan; one of no more steps than the system takes to settle is refused."""
    if 0 < settle >= planned.steps:
        raise InputError(f"This preset of {name} learns all it should only after {settle} steps: train it for more "
                         f"than the {planned.steps} that were asked for")
    return planned


def _planned(out: Path, arguments: dict[str, Any], decide: Callable[[], Train]) -> Train:
    """The plan of the run in this folder, made now if there is none; other arguments than its own are refused."""
    free = {"device", "log_every", "checkpoint_every_seconds", "data"}
    binding = {k: v for k, v in arguments.items() if k not in free}
    stored = decided_once(out / "work" / "train.json", lambda: {"arguments": binding, "steps": decide().steps})
    known = stored.get("arguments", {})
    if other := sorted(k for k in known.keys() | binding.keys() if known.get(k) != binding.get(k)):
        raise InputError(f"{out} holds another training ({', '.join(other)}): repeat its arguments, or choose another "
                         "folder")
    fields = {k: arguments[k] for k in Train.__dataclass_fields__}
    return Train(**fields | {"steps": stored["steps"], "seconds": None})


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    write_bytes(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
