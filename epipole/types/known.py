"""What is known of a clip in metres, from which the scale of its map follows, and the words that say it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

FORMS = "height=M, distance=FRAME,X1,Y1,X2,Y2,M, poses=FILE, speed=V or speed=FILE"


@dataclass(frozen=True)
class Known:
    """What is known in metres: one of these."""

    height: float | None = None                     # of the camera above the ground, m
    distance: tuple[float, ...] | None = None       # frame, x y and x y in pixels of the footage, m between them
    poses: Path | None = None                       # file of positions, see `epipole.formats.track`
    speed: float | Path | None = None               # m/s, or file of times and speeds
    fps: float | None = None                        # of footage that does not tell its times

    def __str__(self) -> str:
        """In the words that `known` understands."""
        fps = "" if self.fps is None else f",fps={self.fps:g}"
        given = {name: value for name, value in vars(self).items() if name != "fps" and value is not None}
        return "".join(f"{name}={_words(value)}" for name, value in given.items()) + fps


def _words(value: float | Path | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_words, value))
    return str(value) if isinstance(value, Path) else f"{value:.12g}"


def known(text: str) -> Known:
    """What such words say: `height=1.65`, `distance=12,80,200,310,204,2.4`, `poses=track.txt`, `speed=13.9`, with
    `,fps=10` behind them where the footage does not tell its times. Raises InputError for any others."""
    said, _, fps = text.partition(",fps=")
    name, _, value = said.partition("=")
    rate = positive(fps, "frames per second") if fps else None
    match name:
        case _ if not value or text.endswith(",fps="):
            pass
        case "height":
            return Known(height=positive(value, "a height in m"), fps=rate)
        case "distance":
            return Known(distance=distance(value), fps=rate)
        case "poses":
            return Known(poses=Path(value), fps=rate)
        case "speed":
            return Known(speed=number_or_file(value), fps=rate)
    raise InputError(f"the scale '{text}' is none of {FORMS}, with ,fps=N behind it for a folder of images")


def positive(text: str, what: str = "a number") -> float:
    """A positive, finite number; raises InputError, naming `what` it should be."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError(f"'{text}' is not {what}: it has to be a positive number")
    return value


def number_or_file(text: str) -> float | Path:
    """A positive number, or a file. Raises InputError for a number that is not positive."""
    try:
        float(text)
    except ValueError:
        return Path(text)
    return positive(text, "a speed in m/s")


def distance(text: str) -> tuple[float, ...]:
    """A frame, two pixels and metres: six numbers separated by commas. Raises InputError for other words."""
    try:
        frame, x1, y1, x2, y2, metres = (float(word) for word in text.split(","))
        return float(int(frame)), x1, y1, x2, y2, positive(str(metres))
    except (ValueError, OverflowError, InputError) as error:
        raise InputError(f"'{text}' is not FRAME,X1,Y1,X2,Y2,METRES with metres above 0") from error
