"""What the network knows before it sees the clip: nothing, or worlds that were rendered (`epipole pretrain`)."""

import hashlib
from pathlib import Path

from ...engine.checkpoint import read_tensors
from ...systems.depth.reprojection import ReprojectionDepth
from ...types.errors import InputError

SHIPPED = Path(__file__).with_name("start.safetensors")  # docs/start.md says how it was made


def fingerprint(start: Path | None) -> str | None:
    """What a run follows from. Raises InputError for a file that cannot be read."""
    if start is None:
        return None
    try:
        return hashlib.sha256(start.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{start} cannot be read: give weights that `epipole pretrain` wrote") from error


def weights(start: str | Path | None) -> Path | None:
    """The file that `epipole.learn` was told to start from; of a folder its model.safetensors."""
    if start is None or start == "shipped":
        return None if start is None else SHIPPED
    return Path(start) / "model.safetensors" if Path(start).is_dir() else Path(start)


def named(start: Path | None) -> Path | str | None:
    """As `epipole.learn` takes it."""
    return "shipped" if start == SHIPPED else start


def begin(system: ReprojectionDepth, start: Path | None) -> None:
    """Gives the system the weights to start from. Raises InputError for those of another network."""
    if start is None:
        return
    try:
        system.load_state_dict(read_tensors(start)[0])
    except RuntimeError as error:
        raise InputError(f"{start} holds no weights of this network: give what `epipole pretrain` wrote") from error
