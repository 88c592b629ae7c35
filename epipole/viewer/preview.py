"""Small pictures for the report: thinned from a stream of frames, or read from the run's cache."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import UInt8

from .run_folder import RunFolder, evenly

WIDTH = 320   # pixels of a preview
MOST = 150    # previews in a report


def encode_photo(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """RGB to JPEG."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 78])[1].tobytes()


def encode_exact(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """RGB or RGBA to lossless WebP: few colours, each of them exact, so that a reader can go back from colour to
    value."""
    swapped = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(".webp", swapped, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()


def shrink(image: UInt8[np.ndarray, "h w 3"], width: int = WIDTH) -> UInt8[np.ndarray, "h2 w2 3"]:
    """At most `width` pixels wide, by area averages."""
    h, w = image.shape[:2]
    if w <= width:
        return image
    return np.asarray(cv2.resize(image, (width, max(1, round(h * width / w))), interpolation=cv2.INTER_AREA), np.uint8)


def thin(frames: Iterable[tuple[int, np.ndarray]], most: int = MOST) -> dict[int, bytes]:
    """At most `most` evenly spaced previews of a stream of unknown length, in constant memory.

    Keeps every 2^k-th frame, doubling the stride whenever twice as many as wanted have been kept.
    """
    kept: dict[int, bytes] = {}
    stride = 1
    for place, (index, image) in enumerate(frames):
        if place % stride:
            continue
        kept[index] = encode_photo(shrink(image))
        if len(kept) > 2 * most:
            kept = {i: kept[i] for i in list(kept)[::2]}
            stride *= 2
    return {i: kept[i] for i in evenly(list(kept), most)}


def previews_of(run: RunFolder, frames: Iterable[tuple[int, np.ndarray]] | None, most: int = MOST) -> dict[int, bytes]:
    """Frame number -> JPEG: of the frames handed over, or else of the run's cache; empty when there is neither."""
    if frames is not None:
        return thin(frames, most)
    cached = run.previews()
    read = ((i, decode(cached[i].read_bytes())) for i in evenly(list(cached), most))
    return thin(((i, image) for i, image in read if image is not None), most)


def decode(picture: bytes) -> UInt8[np.ndarray, "h w 3"] | None:
    """JPEG to RGB; None when it is damaged."""
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) if picture else None
    return None if image is None else np.asarray(image[..., ::-1], np.uint8)
