"""The RUN folder as a whole: whose it is, who is in it, whether it is finished, and what a finished run may still be
asked: to be judged by another truth, and to have metres."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from ...engine.checkpoint import decided_once
from ...formats.atomic import make_folder
from ...formats.run import SCALING, RunFiles
from ...judges.score import Score
from ...sources.footage import Footage
from ...types.errors import InputError
from ...types.known import Known
from ..description import plain, write_description
from ..judge_run import judge_run
from ..scale_run import finish_interrupted, give_metres
from .export import remove_leftovers
from .start import fingerprint

LEFT = ("depth", "depth.npz", "log_variance.npz", "mask.npz", "path_tum.txt", "path_kitti.txt", "colmap",
        "transforms.json", "cloud.ply", "model.safetensors", "log.jsonl")  # beside run.yaml and the report
OWN = {"self_photometric", "self_reprojection", "wall_s", "peak_memory_mb"}  # scores that need no truth


def claim(out: Path, footage: Footage, given: Tensor | None, minutes: float, seed: int, steps: int | None,
          start: Path | None, rolling_shutter: float = 0.0) -> None:
    """Makes the folder this run's. Raises InputError if it holds something else, or a shutter cannot be so slow."""
    if not 0 <= rolling_shutter <= 1:
        raise InputError(f"a rolling shutter takes between 0 and 1 of a frame's time, not {rolling_shutter}")
    decided = out / "work" / "arguments.json"
    if not decided.exists() and (foreign := [name for name in ("run.yaml", *LEFT) if (out / name).exists()]):
        raise InputError(f"{out} holds {foreign[0]} of something else: choose another folder with -o")
    make_folder(out / "work")
    now = {"clip": footage.sha256(), "intrinsics": None if given is None else given.tolist(), "minutes": minutes,
           "seed": seed, "steps": steps, "start": fingerprint(start), "rolling_shutter": rolling_shutter}
    before = {"rolling_shutter": 0.0} | decided_once(decided, lambda: now)
    if different := [name for name in now if before.get(name) != now[name]]:
        raise InputError(f"{out} holds a run with another {' and '.join(different)}: choose another folder with -o, "
                         "or remove it")


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Keeps other processes out of the folder, and clears what a kill cut short. Raises InputError if one is in it."""
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another process is learning in {work.parent}: wait until it ends, or choose another "
                             "folder with -o") from error
        remove_leftovers(work)
        yield


def finished(out: Path) -> dict[str, Any] | None:
    """What run.yaml says of a run that lacks nothing, else None."""
    with suppress(InputError):
        run = RunFiles(out)
        if run.finished and all((out / name).exists() for name in LEFT):
            return run.about
    return None


def judge_again(out: Path, about: dict[str, Any], truth: Path | None) -> None:
    """Scores a finished run against another truth than it was judged by. Raises InputError if it is not the clip's."""
    if truth is None or plain(truth) == about["arguments"].get("truth"):
        return
    own = [entry for entry in about["scores"] if entry["name"] in OWN]
    scores = together(judge_run(out, truth), own)
    write_description(out, about | {"arguments": about["arguments"] | {"truth": truth}, "scores": scores})


def mend(out: Path) -> None:
    """Ends a change of unit that was interrupted between files."""
    if (out / SCALING).is_dir():
        with alone(out / "work"):
            finish_interrupted(out)


def scale_again(out: Path, scale: Known | None, clip: Path) -> None:
    """Gives a finished run metres that were not asked for, or not found, before."""
    about = RunFiles(out).about
    if scale is not None and (about["arguments"].get("scale") != str(scale) or "scaling" not in about):
        give_metres(out, scale, clip)


def together(judged: list[Score], own: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """What the truth says, then what the run says of itself, each score once."""
    return [*(score.as_dict() for score in judged if score.name not in OWN), *own]
