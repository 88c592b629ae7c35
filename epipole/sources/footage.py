"""What every kind of footage can do: stream its frames, count them exactly, and name its contents by a hash."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from ..formats.calibration import Calibration
from ..types.errors import InputError

SMALLEST_SIDE = 16
"""Frames with fewer pixels than this along a side are refused: no network sees anything in them."""


class Frame(NamedTuple):
    """One frame: its number from 0 in the order of decoding, seconds since the first frame, RGB."""

    number: int
    time: float
    image: UInt8[np.ndarray, "h w 3"]


class Footage(ABC):
    """Frames of one camera in order, read as a stream: memory does not grow with their number.

    `width` and `height` are pixels as shown (upright, square pixels). `fps` is the nominal rate, None for a folder
    of images, whose timestamps are the frame numbers. `announced` is the number of frames that the header states,
    which is quick to know and may be wrong or None. `warnings` fills while frames are read. `lens` is the camera that
    took the frames, where they were straightened.
    """

    lens: Calibration | None = None

    def __init__(self, path: Path, width: int, height: int, fps: float | None, announced: int | None) -> None:
        if min(width, height) < SMALLEST_SIDE:
            raise InputError(
                f"{shown(path)} has frames of {width}x{height} pixels, which is too small to learn from; "
                f"give footage with at least {SMALLEST_SIDE} pixels along each side."
            )
        self.path, self.name = path, shown(path.absolute().name)
        self.width, self.height, self.fps, self.announced = width, height, fps, announced
        self.warnings: list[str] = []

    @abstractmethod
    def count(self) -> int:
        """The exact number of frames that decode; a video is decoded once to know, then it is remembered."""

    @abstractmethod
    def sha256(self) -> str:
        """Hash of the contents as hexadecimal text (a folder: of the frames' names and contents)."""

    @abstractmethod
    def read(
        self, width: int | None = None, height: int | None = None, only: set[int] | None = None
    ) -> Iterator[Frame]:
        """Streams the frames in order, of them those in `only`, resized (area-averaged when shrunk).

        With one of `width`, `height` the other follows from the aspect ratio.
        """

    def size(self, width: int | None, height: int | None) -> tuple[int, int]:
        """The (width, height) in which `read` gives frames for these arguments."""
        if width is None and height is None:
            return self.width, self.height
        if width is None:
            width = max(1, round(self.width * (height or 0) / self.height))
        return width, height or max(1, round(self.height * width / self.width))


def shown(path: Path | str) -> str:
    """A path as text that can be printed and stored, also when its name is not valid UTF-8."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


def resized(image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """`image` at `size` = (width, height): averaged over areas when it shrinks, linear when it grows."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return np.ascontiguousarray(image)
    shrinks = size[0] <= width and size[1] <= height
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
