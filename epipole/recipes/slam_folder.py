"""The folder of `epipole slam`: new, or of the very same command, whose half-made work begins anew."""

from pathlib import Path
from typing import Any

from ..engine.checkpoint import decided_once
from ..formats.atomic import make_folder
from ..formats.run import RunFiles
from ..types.errors import InputError
from .description import plain, write_description
from .learn_video.export import remove_leftovers
from .learn_video.folder import LEFT

RECORD = "slam.json"                                            # in work/: what the folder was begun for
BY_LEARNING = {"mask.npz", "model.safetensors", "log.jsonl"}    # of LEFT: what `slam` leaves none of


def claim(out: Path, asked: dict[str, Any]) -> bool:
    """Makes the folder this run's, and says whether another one was at it before. Raises InputError for a folder that
    holds anything else, or a run for which something else was asked."""
    record = out / "work" / RECORD
    begun = record.is_file()
    if not begun and out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty: choose another folder with -o")
    make_folder(out / "work")
    asked = plain(asked)
    before = decided_once(record, lambda: asked)
    if different := [name for name in asked if before.get(name) != asked[name]]:
        raise InputError(f"{out} holds a run with another {' and '.join(different)}: choose another folder with -o, "
                         "or remove it")
    return begun


def is_whole(out: Path) -> bool:
    """Whether a folder that was claimed holds a run that lacks nothing."""
    return (out / "run.yaml").is_file() and RunFiles(out).finished and all(
        (out / name).exists() for name in LEFT if name not in BY_LEARNING)


def begin_anew(out: Path) -> None:
    """Says of the run that it is not finished, and takes away what a kill left unfinished."""
    write_description(out, {"finished": False})
    remove_leftovers(out)
