"""Marks over pictures: what moved or is not confirmed, and what is suspiciously far; in words, what the map lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from ..formats.run import FAR
from .markup import number
from .run_folder import RunFolder

PERIOD, THICK = 10, 2   # pixels from stripe to stripe; across one, and across the dark one beside it
WIDTH = 320             # pixels of a marked picture


class Mark(NamedTuple):
    """What is marked, the colour of its stripes, and which way they lean: 1 like a slash, -1 like a backslash."""

    name: str
    colour: tuple[int, int, int]
    lean: int


Mask = Bool[np.ndarray, "h w"]

MOVED = Mark("Moved or not confirmed", (255, 80, 255), 1)
DISTANT = Mark("Suspiciously far", (255, 255, 255), -1)
WHY = {
    "moved": "moved, or no flow confirms it",
    "far": f"is far (beyond {FAR:.0f} typical depths, or the farthest 5 % of a frame)",
    "unsure": "is unsure (the least sure 10 % of a frame)",
    "edge": "lies on an edge of depth",
    "contradicted": "is contradicted by other key frames",
}


def masks_of(run: RunFolder, frame: int) -> dict[Mark, Mask]:
    """What is marked in a frame, as far as it is known: what moved is, of key frames."""
    moved, said = run.moved(frame), run.depth([frame])
    known = {} if moved is None else {MOVED: moved}
    return known if said is None else known | {DISTANT: said.depth[0, 0].numpy() > FAR * run.typical}


def marks_in(run: RunFolder) -> list[Mark]:
    """Those that the run knows of any frame."""
    return [MOVED] * run.has_masks + [DISTANT] * bool(run.frames)


def share(mask: Mask | None) -> str:
    """Of a frame that is marked."""
    return "not a key frame" if mask is None else f"{number(100 * float(mask.mean()), 2)} %"


def stripes(mask: Mask, mark: Mark, size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 4"]:
    """RGBA at this width and height: stripes where the mask is true, clear elsewhere."""
    width, height = size
    large = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    v, u = np.mgrid[:height, :width]
    phase = (u + mark.lean * v) % PERIOD
    picture = np.zeros((height, width, 4), np.uint8)
    picture[large & (phase < THICK), :3] = mark.colour
    picture[large & (phase < 2 * THICK), 3] = 255
    return picture


def marked(
    image: UInt8[np.ndarray, "h w 3"], masks: Mapping[Mark, Mask], size: tuple[int, int]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture at this width and height, its pixels as they were, with marks over it."""
    picture = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    for mark, mask in masks.items():
        over = stripes(mask, mark, size)
        picture = np.where(over[..., 3:] > 0, over[..., :3], picture)
    return picture


def left_out(run: RunFolder) -> str:
    """What share of the key frames' pixels entered the map, and why the others did not, in words; empty where run.yaml
    does not say."""
    shares = {why: run.part("left_out").get(why) for why in WHY}
    known = {why: float(value) for why, value in shares.items() if isinstance(value, int | float)}
    if not known:
        return ""
    told = [f"{number(value, 2)} % {WHY[why]}" for why, value in known.items()]
    return (f"Of the key frames' pixels {number(100 - sum(known.values()), 2)} % entered the cloud. Left out: "
            f"{'; '.join(told)}. Each counts once, in this order.")
