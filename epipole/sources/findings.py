"""What a look at footage found, in numbers and in words, and whether depth can be learned from it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ..types.errors import FootageError
from .two_view import TwoView

BLURRED = 0.012
"""Detail (see `Look.detail`) below which a frame is too blurred: a sharp image after a blur of 4 pixels of 320.
Sharp footage has 0.035 to 0.11, the worst frames of a handheld kitchen 0.047."""

LEAST_FRAMES = 10
"""Fewer usable frames than this are refused."""

LEAST_KEY_FRAMES = 4
"""A camera whose whole way gives fewer key frames than this (about a tenth of the width) stands still."""

STILL_RATE, STILL_SECONDS = 0.005, 1.0
"""Motion below this share of the width per second, for this long, is a static span."""

FOLDER_FPS = 30.0
"""Rate at which the frames of a folder are taken to be, for static spans only."""

SHORTEST_SHOT = 1.5
"""Seconds between two cuts below which a shot is too short to learn from."""

LEAST_PARALLAX = 0.2
"""A clip in which a smaller share of the tested pairs shows parallax is a pure rotation."""

Series = Float[np.ndarray, "n"]
Marks = Bool[np.ndarray, "n"]


@dataclass(frozen=True)
class Span:
    """Frames `first` to `last`, both included, and why nothing is learned from them."""

    first: int
    last: int
    why: str


@dataclass(frozen=True)
class Look:
    """Measurements of every frame and what follows from them. Arrays have one entry per frame.

    `times` s since the first frame (a folder: frame numbers); `sharpness` variance of the Laplacian, gray levels
    squared; `detail` standard deviation of the Laplacian of Gaussian over that of the image, free of brightness,
    contrast and pixel noise; `brightness` 0 to 1; `displacement` median flow from the last frame that was new, as a
    share of the width, 0 for repeats, blank frames and where nothing matches; `repeat`, `blank` bools. `cuts` are
    the first frames of new shots, `pairs` the tested pairs of key frames.
    """

    name: str
    width: int
    height: int
    fps: float | None
    step: float
    times: Series
    sharpness: Series
    detail: Series
    brightness: Series
    displacement: Series
    repeat: Marks
    blank: Marks
    key_frames: list[int]
    cuts: list[int]
    pairs: list[TwoView]
    warnings: list[str] = field(default_factory=list)

    @property
    def usable(self) -> Marks:
        """Frames that show something new, sharp enough to learn from."""
        return ~self.repeat & ~self.blank & (self.detail >= BLURRED)

    @property
    def segments(self) -> list[tuple[int, int]]:
        """The shots between cuts as (first, last) frame, both included."""
        starts = [0, *self.cuts]
        return list(zip(starts, [c - 1 for c in self.cuts] + [len(self.times) - 1], strict=True))

    @property
    def parallax(self) -> float | None:
        """Share of the tested pairs that a rotation of the camera does not explain; None when none was tested."""
        return float(np.mean([p.parallax for p in self.pairs])) if self.pairs else None

    @property
    def skipped(self) -> list[Span]:
        """Repeated, blank, blurred frames and static spans, in order."""
        reasons = np.select(
            [self.blank, self.repeat, self.detail < BLURRED, self._still()],
            ["is black or blank", "repeats the frame before", "is too blurred", "the camera stands still"],
            default="",
        )
        spans = [(why, [i for i, _ in run]) for why, run in groupby(enumerate(reasons.tolist()), key=lambda r: r[1])]
        return [Span(run[0], run[-1], str(why)) for why, run in spans if why]

    def _still(self) -> Marks:
        """Frames in spans of at least `STILL_SECONDS` without motion; a repeat inside does not end a span."""
        still, rate = np.zeros(len(self.times), bool), self.fps or FOLDER_FPS
        slow = (self.displacement * rate < STILL_RATE) & ~self.blank
        slow[[0, *self.cuts]] = False  # nothing is known of the motion there
        for is_slow, group in groupby(range(len(slow)), key=slow.tolist().__getitem__):
            run = list(group)
            still[run] = is_slow and len(run) >= STILL_SECONDS * rate
        return still

    @property
    def found(self) -> list[str]:
        """Plain sentences on what the footage is like."""
        n, seconds = len(self.times), float(self.times[-1]) if len(self.times) else 0.0
        length = f"{n} frames, {seconds + 1 / self.fps:.1f} s at {self.fps:.4g} fps" if self.fps else f"{n} images"
        still = sum(s.last - s.first + 1 for s in self.skipped if "still" in s.why)
        counted = [
            (self.repeat.sum(), "repeat the frame before"),
            (self.blank.sum(), "are black or blank"),
            ((self.detail < BLURRED)[~self.blank].sum(), "are too blurred"),
            (still, "are of a camera that stands still"),
        ]
        said = [f"{length}, {self.width}x{self.height}"]
        said += [f"{count} frames {what}" for count, what in counted if count]
        return said + self._found_motion() + self.warnings

    def _found_motion(self) -> list[str]:
        said = [f"{len(self.cuts)} cuts, at frames {_listed(self.cuts)}"] if self.cuts else []
        moving = self.displacement[self.usable & (self.displacement > 0)]
        if len(moving):
            said.append(f"the picture moves by {100 * np.median(moving):.1f} % of its width a frame (median)")
        said.append(f"{len(self.key_frames)} key frames, chosen for steps of {100 * self.step:.1f} % of the width")
        if self.parallax is not None:
            said.append(f"parallax in {100 * self.parallax:.0f} % of {len(self.pairs)} tested pairs of key frames")
            flat = float(np.mean([p.flat for p in self.pairs]))
            if flat > 0.5:
                said.append(f"{100 * flat:.0f} % of the pairs see a single plane or a zoom: depth will be uncertain")
        return said

    def text(self) -> str:
        """What `epipole inspect` prints: name, findings, verdict."""
        verdict = self.refusal() or "Depth and motion can be learned from it."
        return "\n".join([self.name, *(f"  {sentence}" for sentence in self.found), verdict])

    def refuse(self) -> None:
        """Raises FootageError, in words with what would help, when the footage cannot be learned."""
        reason = self.refusal()
        if reason:
            raise FootageError(f"{self.name} cannot be learned: {reason}")

    def refusal(self) -> str | None:
        """Why the footage cannot be learned and what would help; None when it can."""
        n, usable = len(self.times), int(self.usable.sum())
        seeing = self.detail[~self.blank]
        if n >= LEAST_FRAMES and self.blank.mean() > 0.5 and usable < LEAST_FRAMES:
            return f"{self.blank.sum()} of its {n} frames are black or blank; check the recording."
        if len(seeing) >= LEAST_FRAMES and np.median(seeing) < BLURRED:
            return "it is too blurred; clean and focus the lens, move more slowly or film in more light."
        if n >= LEAST_FRAMES and not self.cuts and len(self.key_frames) < LEAST_KEY_FRAMES:
            return "the camera stands still; film while walking around the scene, or sideways past it."
        if self.cuts and self._share_in_long_shots() < 0.5:
            return f"it is cut {len(self.cuts)} times, and its shots are too short; give one shot without cuts."
        if usable < LEAST_FRAMES:
            return f"only {usable} of its {n} frames can be used and {LEAST_FRAMES} are needed; film for longer."
        if self.parallax is not None and self.parallax < LEAST_PARALLAX:
            return (
                "the camera only turns on the spot, which shows no depth; move it through space while filming, "
                "for example a step to the side."
            )
        return None

    def _share_in_long_shots(self) -> float:
        """Share of the frames in shots with enough usable frames that last longer than `SHORTEST_SHOT`."""
        least = max(LEAST_FRAMES, SHORTEST_SHOT * (self.fps or 0.0))
        long = [last - first + 1 for first, last in self.segments
                if last - first + 1 >= least and self.usable[first : last + 1].sum() >= LEAST_FRAMES]  # fmt: skip
        return sum(long) / len(self.times)

    def to_json(self) -> str:
        """The measurements as JSON, for caching; `from_json` gives an equal look."""
        return json.dumps(asdict(self), default=lambda array: array.tolist())

    @classmethod
    def from_json(cls, text: str) -> "Look":
        """The look that `to_json` wrote."""
        read: dict[str, Any] = json.loads(text)
        for f in fields(cls):
            if f.type in (Series, Marks):
                read[f.name] = np.array(read[f.name], bool if f.type is Marks else float)
        return cls(**{**read, "pairs": [TwoView(**p) for p in read["pairs"]]})


def _listed(numbers: Iterable[int], most: int = 8) -> str:
    """Numbers for a sentence, the first `most` of them."""
    numbers = list(numbers)
    return ", ".join(map(str, numbers[:most])) + (" …" if len(numbers) > most else "")
