"""What is named as DATA, as samples that any system learns from or is judged on.

    room  room:3  room:0-7     scenes of a family of worlds, rendered when first used and kept
    tabletop:0-7               the same; and of things so near, focal stacks
    FOLDER  FILE               a plain folder, a video, a folder of pairs (see `sources.pairs`)
    ...@0-799                  frames 0 to 799 of it, or pairs

Several of these are learned from together, each as often as the others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ..sources.contents import sha256_of
from ..sources.pairs import FLOW, STEREO, FlowFolder, StereoFolder, holds_pairs
from ..sources.plain import PlainFolder
from ..sources.source import Source
from ..sources.stored import Stored
from ..sources.worlds import FAMILIES, FIELDS, USUAL, Spec, Stream
from ..sources.worlds.focus import focus_distances
from ..sources.worlds.stream import FocusStream, StereoStream
from ..sources.worlds.truth import TO_NEXT, TO_PREVIOUS
from ..sources.wrap import Clips, Joined, Mixed, Part, Resized, open_views
from ..types.errors import InputError

OF_FLOW = frozenset({"flow", "flow_valid", "flow_known", "occlusion"})
OF_STEREO = frozenset({"disparity", "disparity_valid", "baseline"})
OF_VIEW = USUAL | {"baseline"}  # what every single view of a world is kept with
OF_FOCUS = frozenset({"focus"})
FOCUS = {"tabletop": (0.25, 1.0)}  # m, at which a lens is focused first and last, in families near enough
BETWEEN = frozenset({*TO_NEXT, *TO_PREVIOUS, "imu"})  # what leads from one view of a clip to another


@dataclass(frozen=True)
class Data:
    """Scenes of a family of worlds, or (no scenes) a place on the disk; and which of its frames, if not all."""

    text: str
    place: str
    scenes: range | None = None
    frames: range | None = None

    @property
    def path(self) -> Path:
        return Path(self.place)


@dataclass(frozen=True)
class Shape:
    """What samples are like: clips of so many frames, each `gap` after the one before, or focal stacks of so many
    slices, `width` px wide; a world's clip is `world_frames` long."""

    frames: int = 3
    gap: int = 1
    width: int = 128
    world_frames: int = 64

    def spec(self, family: str, scene: int) -> Spec:
        """Of a world that is rendered at this size, 4:3."""
        return Spec(family, scene=scene, frames=self.world_frames, width=self.width, height=round(0.75 * self.width))


def parse_data(text: str) -> Data:
    """The data of this name. Raises InputError for what is neither a family of worlds nor there."""
    place, frames = text, None
    if (cut := re.fullmatch(r"(.+)@(\d+)-(\d+)", text)) and not Path(text).exists():
        place, frames = cut[1], _inclusive(cut[2], cut[3], text)
    world = re.fullmatch(r"(\w+)(?::(\d+)(?:-(\d+))?)?", place)
    if world and world[1] in FAMILIES:
        first = world[2] or "0"
        return Data(text, world[1], _inclusive(first, world[3] or first, text), frames)
    if not place or not Path(place).exists():
        raise InputError(f"there is no data '{text}': give a folder, a video, or scenes of a world such as "
                         f"{' or '.join(f'{family}:0-7' for family in FAMILIES)}")
    return Data(text, place, None, frames)


def parse_all(texts: str | Path | Sequence[str | Path]) -> tuple[Data, ...]:
    """What is to be learned from together, under one name or several. Raises InputError as `parse_data` does."""
    names = [texts] if isinstance(texts, str | Path) else texts
    if not names:
        raise InputError("no data are named: give a folder, a video, or scenes of a world such as room:0-7")
    return tuple(parse_data(str(name)) for name in names)


def _inclusive(first: str, last: str, text: str) -> range:
    if int(last) < int(first):
        raise InputError(f"'{text}' ends before it begins: {last} comes before {first}")
    return range(int(first), int(last) + 1)


def world_for(fields: Collection[str], scene: int) -> str | None:
    """The world that teaches what a plain folder cannot tell: pairs and focal stacks; none for other fields."""
    wanted = frozenset(fields)
    if wanted & OF_FOCUS:
        return f"{next(iter(FOCUS))}:{scene}"
    return f"room:{scene}" if wanted & (OF_FLOW | OF_STEREO) else None


def described(
    data: Data | Sequence[Data], shape: Shape, K: Float64[np.ndarray, "3 3"] | None = None
) -> dict[str, Any]:
    """What samples follow from, beside what is asked of them: two descriptions that differ in no more than the name,
    under `data`, are of the same samples. Of several data `data`, `data_sha256` and `data_frames` are lists. Raises
    InputError for data that cannot be read."""
    if not isinstance(data, Data):
        rows = [described(one, shape, K) for one in data]
        several = {name: [row[name] for row in rows] for name in rows[0] if name.startswith("data")}
        return rows[0] | (several if len(rows) > 1 else {})
    if data.scenes is None:
        contents = sha256_of(data.path)
    else:
        spec = shape.spec(data.place, data.scenes[0]).to_yaml()
        contents = hashlib.sha256(f"{spec}{len(data.scenes)}".encode()).hexdigest()
    part = None if data.frames is None else [data.frames[0], data.frames[-1]]
    return {"data": data.text, "data_sha256": contents, "data_frames": part, "frames": shape.frames, "gap": shape.gap,
            "width": shape.width, "intrinsics": None if K is None else K.tolist()}


def samples(
    data: Data | Sequence[Data], fields: Collection[str], shape: Shape, cache: Path,
    K: Float64[np.ndarray, "3 3"] | None = None,
) -> Source:
    """Samples with these fields and maybe more: focal stacks where focus is asked for, rectified pairs where stereo is
    or the folder holds those, otherwise clips.

    Of several data, each gives as many (see `Mixed`). What was rendered or resized is kept in `cache`. Raises
    InputError for data that cannot be read or holds no such samples; whether every field is there shows only in a
    sample.
    """
    if not isinstance(data, Data):
        sources = [samples(one, fields, shape, cache, K) for one in data]
        return sources[0] if len(sources) == 1 else Mixed(sources, [one.text for one in data])
    wanted = frozenset(fields)
    if wanted & OF_FOCUS:
        return focal_stacks(data, shape, cache)
    if wanted & OF_STEREO or (data.scenes is None and holds_pairs(data.path, STEREO)):
        return stereo_pairs(data, shape, cache, shape.width)
    if data.scenes is not None and wanted & BETWEEN:
        flow = OF_FLOW if wanted & OF_FLOW else frozenset()
        return _scenes(data, shape, cache, shape.frames, USUAL | flow | wanted & FIELDS)
    if data.scenes is None and holds_pairs(data.path, FLOW):
        return flow_pairs(data, shape, cache, shape.width)
    return Joined([Clips(views, shape.frames, shape.gap) for views in _views(data, wanted, shape, cache, K)])


def _views(
    data: Data, fields: frozenset[str], shape: Shape, cache: Path, K: Float64[np.ndarray, "3 3"] | None
) -> list[Source]:
    """Single views in their order, one source per scene."""
    if data.scenes is not None:
        return sequences(data, shape, cache, fields)
    views = open_views(data.path, shape.width, fields, K, cache)
    if data.path.is_dir() and not fields <= {"image", "K"}:  # the others are decoded once by themselves
        views = Stored(views, cache, f"{data.path.resolve()} {len(views)} {shape.width} {K}")
    return [_part(views, data)]


def sequences(data: Data, shape: Shape, cache: Path, more: Collection[str] = ()) -> list[Source]:
    """Single views in their order at the size in which they are known, one source per scene: of a folder with all that
    it knows, of a world with what is usual and `more`, as far as worlds can tell. Raises InputError as `samples` does.
    """
    if data.scenes is None:
        return [_part(PlainFolder(data.path), data)]
    fields = OF_VIEW | FIELDS & frozenset(more)
    return [_part(Stream(shape.spec(data.place, scene), 1, 1, 1, fields, cache), data) for scene in data.scenes]


def stereo_pairs(data: Data, shape: Shape, cache: Path, width: int | None = None) -> Source:
    """Rectified pairs with all that is known of them, at this width, by default as they are. Raises InputError."""
    if data.scenes is not None:
        return Joined([_part(StereoStream(shape.spec(data.place, scene), 1, OF_VIEW | OF_STEREO, cache), data)
                       for scene in data.scenes])
    if not holds_pairs(data.path, STEREO):
        raise InputError(f"{data.place} holds no rectified pairs: put the images into {STEREO[0]}/ and {STEREO[1]}/ "
                         "in it")
    return _sized(StereoFolder(data.path), data, cache, width)


def flow_pairs(data: Data, shape: Shape, cache: Path, width: int | None = None) -> Source:
    """Pairs of views with the flow from the first to the second; otherwise as `stereo_pairs`."""
    if data.scenes is not None:
        return _scenes(data, shape, cache, 2, USUAL | OF_FLOW)
    if not holds_pairs(data.path, FLOW):
        raise InputError(f"{data.place} holds no pairs for optical flow: put the images into {FLOW[0]}/ and {FLOW[1]}/ "
                         "in it")
    return _sized(FlowFolder(data.path), data, cache, width)


def focal_stacks(data: Data, shape: Shape, cache: Path) -> Source:
    """Focal stacks of worlds, the nearest focus first, focused at distances evenly spaced in 1/z. Raises InputError for
    anything else."""
    if data.scenes is None or data.place not in FOCUS:
        raise InputError(f"{data.text} shows no focal stacks: give scenes of {' or '.join(FOCUS)}, such as "
                         f"{next(iter(FOCUS))}:0-7")
    distances = focus_distances(*FOCUS[data.place], shape.frames)
    return Joined([_part(FocusStream(shape.spec(data.place, scene), distances, cache=cache), data)
                   for scene in data.scenes])


def _scenes(data: Data, shape: Shape, cache: Path, length: int, fields: frozenset[str]) -> Source:
    """Clips of worlds with what leads from view to view."""
    assert data.scenes is not None
    return Joined([_part(Stream(shape.spec(data.place, scene), 1, length, shape.gap, fields, cache), data)
                   for scene in data.scenes])


def _sized(pairs: Source, data: Data, cache: Path, width: int | None) -> Source:
    if width is None:
        return _part(pairs, data)
    key = f"{data.path.resolve()} {type(pairs).__name__} {len(pairs)} {width}"
    return _part(Stored(Resized(pairs, width), cache, key), data)


def _part(source: Source, data: Data) -> Source:
    if data.frames is None:
        return source
    if data.frames[-1] >= len(source):
        raise InputError(f"'{data.text}' asks for frame {data.frames[-1]}, but there are only {len(source)}")
    return Part(source, data.frames)
