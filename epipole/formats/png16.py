"""Depth maps as 16-bit grey PNG: value = round(depth * scale), 0 where depth is unknown.

The scale stands in the file's text chunk `epipole:depth_scale`, so that an image can be read without its folder.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from ..types.errors import InputError
from .atomic import replacing

SCALE_KEY = "epipole:depth_scale"
LARGEST = 65535
SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEY = SCALE_KEY.encode() + b"\0"  # how a text chunk begins


def write(path: str | Path, depth: Float[np.ndarray, "h w"], scale: float) -> None:
    """Writes `depth`; values that are not positive and finite become 0 (unknown), and depths outside
    [1, 65535] / scale are moved to the nearer end of that range."""
    known = np.isfinite(depth) & (depth > 0)
    value = np.where(known, np.clip(np.round(np.where(known, depth, 1).astype(np.float64) * scale), 1, LARGEST), 0)
    text = PngInfo()
    text.add_text(SCALE_KEY, repr(float(scale)))
    with replacing(path) as part:
        Image.fromarray(value.astype(np.uint16)).save(part, format="PNG", pnginfo=text, compress_level=3)


def rescaled(data: bytes, factor: float) -> bytes:
    """The bytes of a depth map whose depths are `factor` times those in `data`: the same pixels with another scale.

    Raises InputError for what is not a PNG that tells its scale.
    """
    if not data.startswith(SIGNATURE):
        raise InputError("a depth map is not a PNG; learn the clip again")
    start = len(SIGNATURE)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        kind, body = data[start + 4 : start + 8], data[start + 8 : end - 4]
        if kind == b"tEXt" and body.startswith(KEY):
            text = kind + KEY + repr(float(body[len(KEY) :]) / factor).encode()
            length, check = len(text) - 4, zlib.crc32(text)
            return data[:start] + length.to_bytes(4, "big") + text + check.to_bytes(4, "big") + data[end:]
        start = end
    raise InputError(f"a depth map does not say its scale in the text '{SCALE_KEY}'; learn the clip again")


def read(
    path: str | Path, scale: float | None = None
) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Depth and where it is known.

    `scale` (values per unit of depth, 1000 for millimetres) is taken for files that do not tell their own. Raises
    InputError for what is not a 16-bit grey PNG or has no scale.
    """
    try:
        with Image.open(path) as image:
            value, text, mode = np.asarray(image), dict(image.info), image.mode
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image") from error
    except (OSError, SyntaxError) as error:  # pillow's word for a broken PNG is SyntaxError
        raise InputError(f"{path} cannot be read ({error})") from error
    if not mode.startswith("I"):
        raise InputError(f"{path} is not a 16-bit grey PNG (its mode is {mode}); depth maps must be")
    factor = float(text[SCALE_KEY]) if SCALE_KEY in text else scale
    if factor is None:
        raise InputError(f"{path} does not say its scale in the text '{SCALE_KEY}'")
    return (value / factor).astype(np.float32), value > 0
