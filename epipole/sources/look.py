"""One streaming pass over footage: what every frame is like, and which frames to learn from.

Key frames are chosen by measured motion, not by a fixed stride: each one is where the picture has moved by `step` of
its width since the one before, the sharper of the frames around that place.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..types.errors import InputError
from .findings import Look
from .footage import Footage
from .two_view import (
    Correspondence,
    Gray,
    TwoView,
    feature_matches,
    median_motion,
    sampled_flow,
    two_view,
)

LOOK_PIXELS = 320 * 240
"""Frames are shrunk to about this many pixels for the look."""

SMALLEST_SIDE = 40
"""Frames with fewer pixels than this along a side are refused, and none is shrunk below it: dense flow that ends at a
quarter of the resolution needs 32 for one row of its patches of 8 pixels, and below 37 no size of the network, whose
sides are multiples of 32, comes near half of the pixels."""

BLANK_CONTRAST = 4.0
"""A frame whose gray levels (0 to 255) have a smaller standard deviation is black or blank."""

REPEAT_CHANGE = 5.0
"""A frame in which no block of 16x16 pixels changes by more gray levels on average than this repeats the last new one.
Repeats in a re-encoded video stay below 3.7, new frames of a slow handheld camera begin at 10."""

FLOW_LOST, FLOW_WEAK = 0.2, 0.3
"""Shares of flow samples that must pass the forward-backward check. Consecutive frames of ordinary footage have more
than 0.45, images of different scenes less than 0.05. Below WEAK a key frame is nearly out of sight."""

SAME_PLACE = 0.25
"""Largest Bhattacharyya distance of gray histograms at which two photos of a folder, which neither flow nor features
connect, are still taken for one place: photos around one place are below 0.2, other places above 0.27."""

SHARPER_FROM = 0.75
"""From this share of `step` on a frame may become the key frame, if it is the sharpest since."""

TEST_EVERY, TEST_ALL_UNTIL = 2, 20
"""Every second pair of key frames is tested for parallax, and all of the first 20."""


@dataclass(frozen=True)
class _Seen:
    number: int
    gray: Gray
    sharpness: float


def look(footage: Footage, progress: Callable[[int], None] | None = None, step: float = 0.035) -> Look:
    """Looks at all frames once, at small size; memory does not grow with their size or, but for a few numbers, length.

    `step` is the share of the width that the picture moves between key frames; `progress` is called with the number
    of frames done. The result is the same on every run and for any number of threads.

    Raises:
        InputError: a frame that cannot be read, or frames too small to follow what moves in them.
    """
    side = min(footage.width, footage.height)
    if side < SMALLEST_SIDE:
        raise InputError(f"{footage.name} has frames of {footage.width}x{footage.height} pixels, which is too small to "
                         f"follow what moves; give footage with at least {SMALLEST_SIDE} pixels along each side.")
    scale = min(1.0, max((LOOK_PIXELS / (footage.width * footage.height)) ** 0.5, SMALLEST_SIDE / side))
    width, height = max(1, round(footage.width * scale)), max(1, round(footage.height * scale))
    watcher, times = _Watcher(step, photos=footage.fps is None), list[float]()
    with one_thread():
        for number, time, image in footage.read(width, height):
            times.append(time)
            watcher.see(number, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
            if progress is not None:
                progress(number + 1)
    found = Look(
        name=footage.name, width=footage.width, height=footage.height, fps=footage.fps, step=step,
        times=np.array(times, float), sharpness=np.array(watcher.sharpness, float),
        detail=np.array(watcher.detail, float), brightness=np.array(watcher.brightness, float),
        displacement=np.array(watcher.moved, float), repeat=np.array(watcher.repeat, bool),
        blank=np.array(watcher.blank, bool), key_frames=watcher.key_frames, cuts=watcher.cuts,
        pairs=watcher.pairs, warnings=list(footage.warnings),
    )  # fmt: skip
    return _all_if_sparse(found)


class _Watcher:
    """Sees frame after frame; remembers the last new frame, the last key frame and the best candidate for the next."""

    def __init__(self, step: float, photos: bool) -> None:
        self.step, self.photos = step, photos
        self.sharpness: list[float] = []
        self.detail: list[float] = []
        self.brightness: list[float] = []
        self.moved: list[float] = []
        self.repeat: list[bool] = []
        self.blank: list[bool] = []
        self.key_frames: list[int] = []
        self.cuts: list[int] = []
        self.pairs: list[TwoView] = []
        self._last: _Seen | None = None
        self._key: _Seen | None = None
        self._candidate: _Seen | None = None
        self._quick = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._fine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def see(self, number: int, gray: Gray) -> None:
        """Measures one frame and decides what it is."""
        contrast = float(gray.std())
        frame = _Seen(number, gray, float(cv2.Laplacian(gray, cv2.CV_32F).var()))
        smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.5)
        self.sharpness.append(frame.sharpness)
        self.detail.append(float(cv2.Laplacian(smooth, cv2.CV_32F).std()) / (contrast + 1))
        self.brightness.append(float(gray.mean()) / 255)
        self.blank.append(contrast < BLANK_CONTRAST)
        self.repeat.append(not self.blank[-1] and self._last is not None and _repeats(self._last.gray, gray))
        self.moved.append(0.0)
        if self.blank[-1] or self.repeat[-1]:
            return
        if self._last is None or self._key is None:
            self._take(frame, None)
        else:
            self._follow(frame, self._last, self._key)
        self._last = frame

    def _follow(self, frame: _Seen, last: _Seen, key: _Seen) -> None:
        """Measures the motion; asks the last frame where the key frame is out of sight, then features."""
        matches = sampled_flow(self._flow, key.gray, frame.gray)
        if matches.share >= FLOW_LOST:
            quick = None if key is last else median_motion(self._quick, last.gray, frame.gray)
            self.moved[-1] = self._share(matches.displacement if quick is None else quick)
            self._consider(frame, key, matches)
            return
        near = matches if key is last else sampled_flow(self._flow, last.gray, frame.gray)
        if near.share >= FLOW_LOST:
            self.moved[-1] = self._share(near.displacement)
            self._take(last, key)
            self._consider(frame, last, near)
            return
        wide = feature_matches(last.gray, frame.gray)
        if wide is not None:
            self.moved[-1] = self._share(wide.displacement)
            self._take(frame, None)
            self._judge(wide, last, frame)
        else:
            if not self.photos or _histogram_distance(last.gray, frame.gray) > SAME_PLACE:
                self.cuts.append(frame.number)
            self._take(frame, None)

    def _consider(self, frame: _Seen, key: _Seen, matches: Correspondence) -> None:
        """Makes `frame`, or a sharper one shortly before it, the next key frame when the picture has moved enough."""
        drift = self._share(matches.displacement)
        if drift < SHARPER_FROM * self.step and not (matches.share < FLOW_WEAK and drift > self.step / 4):
            return
        best = self._candidate
        if best is None or frame.sharpness > best.sharpness:
            self._candidate = best = frame
        if drift < self.step and matches.share >= FLOW_WEAK:
            return
        self._take(best, key)
        if best is not frame:  # a fast camera may be a step further already
            self._consider(frame, best, sampled_flow(self._flow, best.gray, frame.gray))

    def _take(self, frame: _Seen, key: _Seen | None) -> None:
        """Makes `frame` the key frame; tests the motion since `key`, if given, for parallax."""
        if key is not None and (len(self.key_frames) <= TEST_ALL_UNTIL or len(self.key_frames) % TEST_EVERY == 0):
            self._judge(sampled_flow(self._fine, key.gray, frame.gray), key, frame)
        self.key_frames.append(frame.number)
        self._key, self._candidate = frame, None

    def _judge(self, matches: Correspondence, first: _Seen, second: _Seen) -> None:
        pair = two_view(matches, first.number, second.number, (first.gray.shape[1], first.gray.shape[0]))
        if pair is not None and matches.share >= FLOW_LOST:
            self.pairs.append(pair)

    def _share(self, pixels: float) -> float:
        """Pixels as a share of the width of the frames."""
        assert self._last is not None
        return pixels / self._last.gray.shape[1]


def _repeats(last: Gray, gray: Gray) -> bool:
    blocks = (max(1, gray.shape[1] // 16), max(1, gray.shape[0] // 16))
    change = cv2.absdiff(last, gray).astype(np.float32)
    return float(cv2.resize(change, blocks, interpolation=cv2.INTER_AREA).max()) < REPEAT_CHANGE


def _histogram_distance(first: Gray, second: Gray) -> float:
    """Bhattacharyya distance of the gray-level histograms, 0 (equal) to 1."""
    a, b = (cv2.calcHist([image], [0], None, [32], [0, 256]) for image in (first, second))
    return float(cv2.compareHist(a, b, cv2.HISTCMP_BHATTACHARYYA))


def _all_if_sparse(found: Look) -> Look:
    """Photos taken a step or more apart are all key frames: there is nothing between them to choose from."""
    moves = found.displacement[found.usable & (found.displacement > 0)]
    if len(moves) and np.median(moves) >= found.step:
        return replace(found, key_frames=np.flatnonzero(found.usable).tolist())
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """DIS flow depends on the number of threads that share an image: one, so that every machine sees the same."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
