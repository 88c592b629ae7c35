"""Judges a system that `epipole train` or a bench left, as the bench judges it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ..judges.score import Score
from ..types.errors import EpipoleError, InputError
from .bench.fields import FIELDS, knows_metres, systems_of, views_for_depth
from .bench.judging import Looks
from .judge_run import judge_run
from .samples import Shape, parse_data
from .train import load_model

MODEL = "model.safetensors"


def is_model(folder: str | Path) -> bool:
    """Whether a training left a system here; what `epipole learn` leaves is a run, whose network is a part of it."""
    return "system" in _arguments(Path(folder)) and (Path(folder) / MODEL).is_file()


def judge_folder(folder: str | Path, truth: str | Path) -> list[Score]:
    """Scores of a run against a plain folder, see `judge_run`; or of a trained system, see `judge_model`."""
    return judge_model(folder, truth)[0] if is_model(folder) else judge_run(folder, truth)


def judge_model(folder: str | Path, truth: str | Path) -> tuple[list[Score], list[str]]:
    """The scores of every field of the bench that the system competes in, on views of the width, and clips of the
    length and gap, that it was trained on; and sentences that say which fields cannot be judged, and why.

    `truth` is named as DATA is, see `samples`: plain folders and scenes of worlds tell depth, path and poses, folders
    of pairs disparity or flow. Raises InputError where nothing can be judged.
    """
    folder, data = Path(folder), parse_data(str(truth))
    arguments, model = _arguments(folder), load_model(folder / MODEL)
    name, usual = arguments["system"], Shape()
    shape = Shape(*(arguments.get(key, getattr(usual, key)) for key in ("frames", "gap", "width")))
    looks = Looks(shape.width, shape.frames, shape.gap, knows_metres(name), views_for_depth(name))
    scores, reasons = [], []
    for field in (field for field in FIELDS if name in systems_of(field)):
        try:
            scores += FIELDS[field].judge(model, FIELDS[field].tests(data, shape, folder / "work"), looks)
        except EpipoleError as error:
            reasons.append(f"no {field} scores: {error}")
    if not scores:
        raise InputError(f"{data.text} cannot judge {name}: {'; '.join(reasons) or 'no field of the bench has it'}")
    return scores, reasons


def _arguments(folder: Path) -> dict[str, Any]:
    """Of the training; none where there was none."""
    try:
        about = yaml.safe_load((folder / "run.yaml").read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    arguments = about.get("arguments") if isinstance(about, dict) else None
    return arguments if isinstance(arguments, dict) else {}
