"""What is known of a clip in metres, from which the scale of its map follows, and the words that say it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError

FORMS = "height=M, distance=FRAME,X1,Y1,X2,Y2,M, poses=FILE, speed=V, speed=FILE, gps=FILE, imu=FILE or " \
        "stereo=FOLDER,baseline=M"


@dataclass(frozen=True)
class Known:
    """What is known in metres: one of these."""

    height: float | None = None                     # of the camera above the ground, m
    distance: tuple[float, ...] | None = None       # frame, x y and x y in pixels of the footage, m between them
    poses: Path | None = None                       # file of positions, see `epipole.formats.track`
    speed: float | Path | None = None               # m/s, or file of times and speeds
    gps: Path | None = None                         # file of fixes, see `epipole.formats.gps`
    imu: Path | None = None                         # file of readings, see `epipole.formats.inertial`
    stereo: Path | None = None                      # folder of the right camera's images, rectified with the clip's
    baseline: float | None = None                   # between these two cameras, m
    start: float | None = None                      # s, what the clock of gps or imu shows at the first frame (0)
    fps: float | None = None                        # of footage that does not tell its times

    def __post_init__(self) -> None:
        """Raises InputError for a clock that nothing was measured by, and a pair of cameras nobody knows how far
        apart."""
        if self.start is not None and self.gps is None and self.imu is None:
            raise InputError("the start is what the clock of a file shows at the first frame; give it with gps or imu")
        if (self.stereo is None) != (self.baseline is None):
            raise InputError("stereo needs both the folder of the right camera's images and the baseline in m")

    @property
    def what(self) -> str:
        """The name of the one thing that is known. Raises TypeError for none, or several."""
        given = [name for name in NAMES if getattr(self, name) is not None]
        if len(given) != 1:
            raise TypeError(f"scale follows from one thing that is known, {', '.join(NAMES)}, not from {given}")
        return given[0]

    def __str__(self) -> str:
        """In the words that `known` understands."""
        return ",".join(f"{name}={_words(value)}" for name, value in vars(self).items() if value is not None)


def _words(value: float | Path | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_words, value))
    return str(value) if isinstance(value, Path) else f"{value:.12g}"


def known(text: str) -> Known:
    """What such words say: `height=1.65`, `distance=12,80,200,310,204,2.4`, `poses=track.txt`, `speed=13.9`, with
    `,fps=10` behind them where the footage does not tell its times; or `gps=track.gpx,start=12.5`, likewise
    `imu=imu.csv`; or `stereo=right,baseline=0.12`. Raises InputError for any others."""
    words, more = text.split(","), dict[str, Any]()
    while len(words) > 1 and words[-1].partition("=")[0] in SUFFIXES:
        suffix, _, number = words.pop().partition("=")
        more[suffix] = SUFFIXES[suffix](number)
    name, _, value = ",".join(words).partition("=")
    if value and name in NAMES:
        return Known(**{name: NAMES[name](value)}, **more)
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


def finite(text: str) -> float:
    """A number of seconds; raises InputError for others."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"'{text}' is not a time in s")
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


NAMES: dict[str, Callable[[str], Any]] = {
    "height": lambda text: positive(text, "a height in m"), "distance": distance, "poses": Path,
    "speed": number_or_file, "gps": Path, "imu": Path, "stereo": Path,
}
SUFFIXES: dict[str, Callable[[str], float]] = {
    "baseline": lambda text: positive(text, "a baseline in m"), "start": finite,
    "fps": lambda text: positive(text, "frames per second"),
}
