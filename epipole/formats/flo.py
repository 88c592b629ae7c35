"""Optical flow as Middlebury's .flo (Baker et al. 2011): "PIEH", width and height (int32), then u and v of every pixel
by rows (float32), px; unknown flow is larger than 1e9."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32

from ..types.errors import InputError
from .atomic import replacing

MAGIC = b"PIEH"
UNKNOWN, LARGEST = 1e10, 1e9  # what unknown flow is written as; what is larger than this is unknown


def write(path: str | Path, flow: Float[np.ndarray, "2 h w"], valid: Bool[np.ndarray, "h w"]) -> None:
    """Writes flow (u, v). Raises InputError, in a sentence, where the disk refuses."""
    values = np.where(valid, flow, UNKNOWN).transpose(1, 2, 0).astype("<f4")
    size = np.array(values.shape[1::-1], "<i4")
    with replacing(path) as part:
        part.write_bytes(MAGIC + size.tobytes() + values.tobytes())


def read(path: str | Path) -> tuple[Float32[np.ndarray, "2 h w"], Bool[np.ndarray, "h w"]]:
    """Flow, 0 where it is unknown, and where it is known. Raises InputError for what is no such file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    if data[:4] != MAGIC or len(data) < 12:
        raise InputError(f"{path} is not a .flo file of optical flow")
    width, height = np.frombuffer(data, "<i4", 2, 4).tolist()
    if min(width, height) < 1 or len(data) != 12 + 8 * width * height:
        raise InputError(f"{path} is cut off or damaged: it should hold flow of {width}x{height} pixels")
    flow = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).transpose(2, 0, 1)
    valid = (np.abs(flow) <= LARGEST).all(0)  # not a number is unknown, too
    return np.where(valid, flow, 0).astype(np.float32), valid
