"""Opens footage: a video file, decoded as a stream, or a folder of images."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from ..types.errors import InputError
from .folder import IMAGE_SUFFIXES, FolderFootage
from .footage import Footage, Frame, resized, shown

DEFAULT_FPS = 25.0
"""Rate assumed where a video states neither a rate nor times."""

SQUARE = 0.01
"""Pixels whose aspect ratio is nearer to 1 than this count as square: some writers round badly."""

WHOLE = 0.9
"""A video with less than this share of the frames or seconds that its header announces was cut short."""


def open_footage(path: str | Path) -> Footage:
    """Opens a video file or a folder of images.

    Raises:
        InputError: nothing there, nothing readable, not a video, no frames; one sentence with what to do.
    """
    path = Path(path)
    try:
        path.stat()
        if path.is_dir():
            return FolderFootage(path)
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be opened ({_reason(error)}); check the path.") from error
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise InputError(f"{shown(path)} is a single image; give a video or the folder that holds all the frames.")
    return VideoFootage(path)


class VideoFootage(Footage):
    """A video file in any container and codec that FFmpeg reads; its first video track.

    Frames come upright (display matrix honoured) and with square pixels. Times are the track's own presentation
    times since the first frame. What cannot be decoded is left out and said in `warnings`.

    Raises:
        InputError: an empty file, a file that is not a video, a video without one frame that decodes.
    """

    def __init__(self, path: Path) -> None:
        with _container(path) as (_, track):
            aspect = float(track.sample_aspect_ratio or 1)
            rate = track.average_rate or track.guessed_rate
            announced = track.frames or None
        self._aspect = aspect if abs(aspect - 1) > SQUARE and 0.1 < aspect < 10 else 1.0
        first = next(_decode(path, []), None)
        if first is None:
            raise InputError(f"{shown(path)} holds no frame that can be decoded; copy or record the video again.")
        height, width = _upright(first, self._aspect, VideoReformatter()).shape[:2]
        super().__init__(path, width, height, float(rate) if rate else DEFAULT_FPS, announced)
        self._count: int | None = None
        self._sha256: str | None = None

    def count(self) -> int:
        if self._count is None:
            for _ in self._frames():
                pass
        assert self._count is not None  # _frames sets it when it comes to its end
        return self._count

    def sha256(self) -> str:
        if self._sha256 is None:
            with _opened(self.path) as file:
                self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return self._sha256

    def read(
        self, width: int | None = None, height: int | None = None, only: set[int] | None = None
    ) -> Iterator[Frame]:
        size, last = self.size(width, height), None if only is None else max(only, default=-1)
        scaler = VideoReformatter()  # one for all frames: setting one up costs more than using it
        for index, time, frame in self._frames():
            if last is not None and index > last:
                return
            if only is None or index in only:
                yield Frame(index, time, resized(_upright(frame, self._aspect, scaler), size))

    def _frames(self) -> Iterator[tuple[int, float, av.VideoFrame]]:
        """(index, seconds since the first frame, frame) for every frame that decodes; times always grow."""
        start, time, index, damage = None, 0.0, -1, list[str]()
        for index, frame in enumerate(_decode(self.path, damage)):
            expected = time + 1 / (self.fps or DEFAULT_FPS) if index else 0.0
            if frame.time is not None:
                start = frame.time - expected if start is None else start
            stamped = expected if frame.time is None or start is None else frame.time - start
            time = stamped if index == 0 or stamped > time else expected
            yield index, time, frame
        self._count, self.warnings = index + 1, damage


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read ({error.strerror}); check its permissions.") from error


@contextmanager
def _container(path: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """The open file and its first real video track (the cover picture of a song is none)."""
    if path.stat().st_size == 0:
        raise InputError(f"{shown(path)} is an empty file; copy or record the video again.")
    # a Python file, not a name: any bytes may stand in a name, and FFmpeg reads "a:b.mp4" as a protocol
    with _opened(path) as file:
        try:
            container = av.open(file, metadata_errors="replace")
        except (av.error.FFmpegError, OSError) as error:
            raise InputError(
                f"{shown(path)} is not a video that can be decoded ({_reason(error)}); if it was cut off while "
                "recording or copying, copy it again, else convert it to MP4."
            ) from error
        with container:
            tracks = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            name = container.format.name
            if not tracks or name == "image2" or name.endswith("_pipe") or name == "tty":
                raise InputError(f"{shown(path)} holds no video ({name}); give a video file or a folder of images.")
            yield container, tracks[0]


def _decode(path: Path, damage: list[str]) -> Iterator[av.VideoFrame]:
    """Every frame that decodes whole; `damage` gets a sentence on what does not."""
    failed = decoded = 0
    seconds = 0.0
    with _container(path) as (container, track):
        track.thread_type = "AUTO"
        promised = track.frames
        duration = float(track.duration * track.time_base if track.duration and track.time_base else 0)
        duration = duration or (container.duration or 0) / av.time_base
        origin = (container.start_time or 0) / av.time_base
        packets = container.demux(track)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                frames = [] if packet.is_corrupt else packet.decode()
                failed += packet.is_corrupt
            except av.error.FFmpegError:
                failed += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    failed += 1
                else:
                    decoded += 1
                    seconds = duration if frame.time is None else frame.time - origin
                    yield frame
    if failed:
        damage.append(f"{failed} damaged pieces of the video do not decode and are left out")
    if decoded < WHOLE * promised or seconds < WHOLE * duration - 1:
        damage.append(f"the video was cut short: {decoded} frames ({seconds:.1f} s) of it are there")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _upright(frame: av.VideoFrame, aspect: float, scaler: VideoReformatter) -> UInt8[np.ndarray, "h w 3"]:
    """RGB with square pixels, turned and mirrored as the display matrix says: x' = a x + c y, y' = b x + d y."""
    width = round(frame.width * aspect)
    image = scaler.reformat(frame, format="rgb24", width=width, height=frame.height, threads=1).to_ndarray()
    side_data: Any = frame.side_data
    side = side_data.get("DISPLAYMATRIX")
    if side is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5].tolist()  # the 2x2 part of a 3x3 matrix
    if abs(b) > abs(a):
        image, a, d = image.transpose(1, 0, 2), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
