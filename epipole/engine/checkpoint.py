"""The checkpoint from which an interrupted training goes on, and other files of tensors.

A checkpoint is one safetensors file (no pickle): weights, the optimiser's moments, and the step in its metadata. The
state of the random generators is not in it, because `fit` seeds them anew from (seed, step) at every step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ..formats.atomic import make_folder, replacing
from ..types.errors import InputError

FORMAT = "epipole checkpoint 1"


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Write a file that is whole or not there, with its folder, and push it to the disk. Raises InputError, in one
    sentence, for a full disk or a folder that cannot be written."""
    make_folder(path.parent)
    with replacing(path) as part, part.open("wb") as file:
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write named tensors as safetensors; the same tensors and metadata give the same bytes. Raises InputError as
    `write_bytes` does."""
    apart = {k: v.detach().to("cpu", copy=True, memory_format=torch.contiguous_format) for k, v in tensors.items()}
    write_bytes(path, *_with_sorted_metadata(save(apart, metadata)))


def _with_sorted_metadata(data: bytes) -> tuple[bytes, memoryview]:
    """Header and tensors of a safetensors file, whose library orders the metadata anew on every run."""
    header, start = _header(data)
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text, memoryview(data)[start:]


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The JSON at the head of a safetensors file, and where the tensors begin."""
    start = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:start]), start


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Named tensors and metadata of a safetensors file. Raises InputError if it is not one."""
    try:
        data = path.read_bytes()  # the library opens no file whose name is not UTF-8
        return load(data), _header(data)[0].get("__metadata__", {})
    except (OSError, SafetensorError) as e:
        raise InputError(f"Cannot read {path} as safetensors ({e}): is it the right file?") from e


def decided_once(path: Path, decide: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was decided by the first run and holds for every run that resumes it: read from a JSON file if there is one,
    else decided now and written. Numbers that depend on the speed of the machine belong here. Raises InputError."""
    if not path.exists():
        write_bytes(path, json.dumps(decide(), indent=1).encode())
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise InputError(f"Cannot read {path} ({e}): remove it to start anew") from e


def save_checkpoint(path: Path, system: nn.Module, optimiser: torch.optim.Optimizer, step: int, settings: str) -> None:
    """Store the state after `step` whole steps; `settings` says which training it belongs to. Raises InputError."""
    tensors = {f"weights/{name}": value for name, value in system.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{key}": value for key, value in state.items()}
    write_tensors(path, tensors, {"format": FORMAT, "step": str(step), "settings": settings})


def load_checkpoint(path: Path, system: nn.Module, optimiser: torch.optim.Optimizer, settings: str) -> int:
    """Bring system and optimiser to the stored state and return the number of steps that lie behind it; 0 without a
    file. Raises InputError for a file that is no checkpoint, or one of another training."""
    if not path.exists():
        return 0
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT or metadata.get("settings") != settings:
        raise InputError(f"{path} was written by a training with other settings: "
                         "repeat those settings, or choose another folder")
    weights = {k.removeprefix("weights/"): v for k, v in tensors.items() if k.startswith("weights/")}
    try:
        system.load_state_dict(weights)
    except RuntimeError as e:
        raise InputError(f"{path} was written for another network: choose another folder") from e
    _load_optimiser(optimiser, {k: v for k, v in tensors.items() if k.startswith("optimiser/")})
    return int(metadata["step"])


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Moments take the memory layout of their weights: another layout may round differently."""
    weights = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        _, index, key = name.split("/")
        like = weights[int(index)]
        moment = torch.empty_like(like).copy_(value) if value.shape == like.shape and key != "step" else value
        state.setdefault(int(index), {})[key] = moment.detach()
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
