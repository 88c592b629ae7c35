"""The predictions for all samples of some data as files that other programs read, and a picture of each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..engine.checkpoint import decided_once
from ..formats import flo, png16
from ..formats.atomic import make_folder
from ..sources.pairs import DISPARITIES
from ..sources.plain import MILLIMETRES, camera_matrix
from ..types.errors import InputError
from .predict import Intrinsics, Seen, samples_of, seer_of
from .samples import described, parse_data

RECORD = "predictions.json"
TYPICAL = 2000.0         # of the 16 bits that the median of the first depth map takes where metres are unknown
LOG_DEVIATIONS = 10_000.0  # of the 16 bits per unit of the deviation of log depth; that of px is as disparity
LARGEST = png16.LARGEST / DISPARITIES  # px of disparity that a file holds


class Written(NamedTuple):
    """How many samples there are, and how many pixels have more disparity than 16 bits hold, and became unknown."""

    samples: int
    beyond: int


def write_predictions(
    model: str | Path, data: str | Path, out: Path, draw: Callable[[Path, Seen], object], width: int | None = None,
    intrinsics: Intrinsics | None = None, device: str = "auto", progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Writes what `predictions` gives into `out`: depth/NAME.png, disparity/NAME.png, flow/NAME.flo and
    uncertainty/NAME.png, as far as they are known, and pictures/NAME.png, which `draw` makes of a sample. `progress`
    hears how many samples of how many are done.

    The same call again goes on where it was interrupted. Raises InputError for a folder that holds anything else, and
    as `predictions` does.
    """
    seer, named, beyond = seer_of(model, width, device), parse_data(str(data)), 0
    K = None if intrinsics is None else camera_matrix(intrinsics)
    with tempfile.TemporaryDirectory() as cache:
        names, samples = samples_of(seer, named, Path(cache), K)
        _claim(out, {"model": seer.key, "shown": seer.looks.width} | described(named, seer.shape, K))
        for name, views, done in zip(names, samples, count(1), strict=False):
            picture = out / "pictures" / f"{name}.png"
            if not picture.is_file():
                seen = seer.see(name, views)
                beyond += write_maps(out, seen)
                make_folder(picture.parent)
                draw(picture, seen)  # last: what has a picture is done
            if progress:
                progress(done, len(names))
    return Written(len(names), beyond)


def _claim(out: Path, about: dict[str, Any]) -> None:
    """Raises InputError unless the folder is new, empty, or holds these very predictions."""
    binding = json.loads(json.dumps({name: value for name, value in about.items() if name != "data"}))
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file():
        raise InputError(f"{out} is not empty and holds no predictions: choose another folder")
    if decided_once(out / RECORD, lambda: binding) != binding:
        raise InputError(f"{out} holds predictions of another model, or for other data: choose another folder")


def write_maps(out: Path, seen: Seen) -> int:
    """The maps of one sample; of how many pixels the disparity is beyond the file's range. Depth in mm where it is
    metric, otherwise on one scale for all files of the folder, which tell it."""
    found, name = seen.found, seen.name
    for kind in found:
        make_folder(out / {"deviation": "uncertainty"}.get(kind, kind))
    if "depth" in found:
        png16.write(out / "depth" / f"{name}.png", found["depth"], MILLIMETRES if seen.metric else _scale(out, seen))
    if "flow" in found:
        flo.write(out / "flow" / f"{name}.flo", found["flow"], np.isfinite(found["flow"]).all(0))
    if "deviation" in found:
        png16.write(out / "uncertainty" / f"{name}.png", found["deviation"],
                    LOG_DEVIATIONS if "depth" in found else DISPARITIES)
    if "disparity" not in found:
        return 0
    beyond = found["disparity"] > LARGEST
    png16.write(out / "disparity" / f"{name}.png", np.where(beyond, 0, found["disparity"]), DISPARITIES)
    return int(beyond.sum())


def _scale(out: Path, seen: Seen) -> float:
    """Values per unit of depth, decided by the first map that is written."""
    median = float(np.median(seen.found["depth"]))
    return decided_once(out / "depth" / "scale.json", lambda: {"values_per_unit": TYPICAL / median})["values_per_unit"]
