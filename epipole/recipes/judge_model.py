"""Judges a system that `epipole train` or a bench left, as the bench judges it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ..judges.score import Score
from ..sources.source import Source
from ..types.errors import EpipoleError, InputError
from .bench.fields import FIELDS, knows_metres, systems_of, views_for_depth
from .bench.judging import Looks
from .judge_run import judge_run
from .samples import Shape, parse_data
from .train import load_model

MODEL = "model.safetensors"
RIVALS = {"stereo": "SGM", "flow": "DIS"}  # what one has without learning, of the field's baselines


def is_model(folder: str | Path) -> bool:
    """Whether a training left a system here; what `epipole learn` leaves is a run, whose network is a part of it."""
    return "system" in _arguments(Path(folder)) and (Path(folder) / MODEL).is_file()


def name_of(folder: Path) -> str:
    """Of the system that a training left here. Raises KeyError where there was none."""
    return _arguments(folder)["system"]


def shape_of(folder: Path) -> Shape:
    """Of the samples that a system learned from, as its training says, or the bench that its folder is a cell of; what
    neither tells is as usual."""
    arguments, usual = _arguments(folder), Shape()
    if "width" not in arguments:
        arguments |= _bench_of(folder)
    said = {name: arguments.get(name) for name in vars(usual)}
    return replace(usual, **{name: value for name, value in said.items() if value is not None})


def judge_folder(folder: str | Path, truth: str | Path) -> list[Score]:
    """Scores of a run against a plain folder, see `judge_run`; or of a trained system, see `judge_model`."""
    return judge_model(folder, truth)[0] if is_model(folder) else judge_run(folder, truth)


def judge_model(folder: str | Path, truth: str | Path) -> tuple[list[Score], list[str]]:
    """The scores of every field of the bench that the system competes in, on views of the width, and clips of the
    length and gap, that it was trained on; those of disparity beside SGM's, those of flow beside DIS's. And sentences
    that say which fields cannot be judged, and why.

    `truth` is named as DATA is, see `samples`: plain folders and scenes of worlds tell depth, path and poses, folders
    of pairs disparity or flow. Raises InputError where nothing can be judged.
    """
    folder, data = Path(folder), parse_data(str(truth))
    name, model, shape = name_of(folder), load_model(folder / MODEL), shape_of(folder)
    looks = Looks(shape.width, shape.frames, shape.gap, knows_metres(name), views_for_depth(name))
    scores, reasons = [], []
    for field in (field for field in FIELDS if name in systems_of(field)):
        try:
            parts = FIELDS[field].tests(data, shape, folder / "work")
            found = FIELDS[field].judge(model, parts, looks)
        except EpipoleError as error:
            reasons.append(f"no {field} scores: {error}")
            continue
        try:
            found = _beside_rival(field, found, parts, looks)
        except EpipoleError as error:
            reasons.append(f"no scores of {RIVALS[field]} beside them: {error}")
        scores += found
    if not scores:
        raise InputError(f"{data.text} cannot judge {name}: {'; '.join(reasons) or 'no field of the bench has it'}")
    return scores, reasons


def _beside_rival(field: str, scores: list[Score], parts: Sequence[Source], looks: Looks) -> list[Score]:
    """The scores, each beside the rival's, which sees the same images, where the field has one that learned nothing."""
    if field not in RIVALS:
        return scores
    name = RIVALS[field]
    rival = next(one for one in FIELDS[field].baselines(parts[0], looks) if one.name == name)
    theirs = {score.name: score.value for score in FIELDS[field].judge(rival.method, parts, looks)}
    return [replace(score, baselines=score.baselines | {name: theirs[score.name]}) if score.name in theirs else score
            for score in scores]


def _arguments(folder: Path) -> dict[str, Any]:
    """Of the training; none where there was none."""
    try:
        about = yaml.safe_load((folder / "run.yaml").read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    arguments = about.get("arguments") if isinstance(about, dict) else None
    return arguments if isinstance(arguments, dict) else {}


def _bench_of(folder: Path) -> dict[str, Any]:
    """What was asked of the bench that this folder is a cell of; nothing where it is none."""
    try:
        asked = json.loads((folder.absolute().parents[1] / "work" / "bench.json").read_text())
        return asked | {"frames": asked["frames"] or FIELDS[asked["field"]].frames}
    except (OSError, IndexError, ValueError, KeyError, TypeError):
        return {}
