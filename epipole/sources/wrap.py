"""Sources around sources (clips, parts, several as one or in turn, other sizes), and footage as a source."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64

from ..geometry.camera import resize_intrinsics
from ..types.errors import InputError
from ..types.views import Views
from .footage import SMALLEST_SIDE
from .plain import PlainFolder, check_intrinsics, read_truth
from .source import Source
from .video import open_footage


class Clips:
    """`clips[i]` joins `length` consecutive views, each `gap` after the one before, from view i on.

    Flow is left out: it leads to neighbours that a clip does not have; so are inertial readings where the gap is more
    than 1.
    """

    def __init__(self, source: Source, length: int = 3, gap: int = 1) -> None:
        self.source, self.length, self.gap = source, length, gap

    def __len__(self) -> int:
        return max(0, len(self.source) - (self.length - 1) * self.gap)

    def __getitem__(self, index: int) -> Views:
        first = range(len(self))[index]
        views = [self.source[first + k * self.gap] for k in range(self.length)]
        names = (name for name in views[0].fields()
                 if not name.startswith("flow") and (name != "imu" or self.gap == 1))
        return Views(**{name: torch.cat([getattr(view, name) for view in views]) for name in names})


class Part:
    """Some of the views of a source, by their numbers there."""

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Views:
        return self.source[self.indices[index]]


class Joined:
    """Several sources, one after the other."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def __getitem__(self, index: int) -> Views:
        place = range(len(self))[index]
        for source in self.sources:
            if place < len(source):
                return source[place]
            place -= len(source)
        raise AssertionError  # the range above has refused it


class Mixed:
    """Several sources in turn, each as often as the others: one that has fewer samples begins again. Samples have the
    fields that all of them know.

    `names` are what a person calls the sources. Raises InputError for one without samples, and where images or their
    number differ from source to source, so that no batch could hold them.
    """

    def __init__(self, sources: Sequence[Source], names: Sequence[str]) -> None:
        for source, name in zip(sources, names, strict=True):
            if not len(source):
                raise InputError(f"{name} holds no sample: give more of it, or shorter clips")
        first = [source[0] for source in sources]
        for views, name in zip(first, names, strict=True):
            if views.image.shape != first[0].image.shape:
                raise InputError(f"samples of {names[0]} are {_sizes(first[0])} and those of {name} {_sizes(views)}: "
                                 "what is learned together must have one size")
        self.sources, self.fields = sources, set.intersection(*(set(views.fields()) for views in first))

    def __len__(self) -> int:
        return len(self.sources) * max(map(len, self.sources))

    def __getitem__(self, index: int) -> Views:
        turn, which = divmod(range(len(self))[index], len(self.sources))
        return self.sources[which][turn % len(self.sources[which])].keep(self.fields)


def _sizes(views: Views) -> str:
    n, _, h, w = views.image.shape
    return f"{n} images of {w}x{h}"


class Resized:
    """The views of a source at another size; see `resized`."""

    def __init__(self, source: Source, width: int, height: int | None = None) -> None:
        self.source, self.width, self.height = source, width, height

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Views:
        return resized(self.source[index], self.width, self.height)


def resized(views: Views, width: int, height: int | None = None) -> Views:
    """Unbatched views [N C H W] at `width` x `height` px; by default the aspect ratio stays. K, flow and disparity
    follow.

    Images are averaged over areas when they shrink; every other map takes its nearest pixel, so that no value mixes two
    surfaces. Raises InputError for a size that leaves too little of the images.
    """
    H, W = views.image.shape[-2:]
    height = round(H * width / W) if height is None else height
    _check_size(width, height)
    fields, scale = views.fields(), (width / W, height / H)
    maps = {name for name, value in fields.items() if value.ndim > 3 and value.shape[-2:] == (H, W)} - {"image"}
    image = F.interpolate(views.image, (height, width), mode="bilinear", align_corners=False, antialias=True)
    fields["image"] = image.clamp(0, 1)
    if "K" in fields:
        fields["K"] = resize_intrinsics(fields["K"], *scale)
    for name in maps:
        nearest = F.interpolate(fields[name].float(), (height, width), mode="nearest-exact")
        fields[name] = nearest.to(fields[name].dtype)
    for name in fields.keys() & {"flow", "backward_flow"}:
        fields[name] = fields[name] * torch.tensor(scale)[:, None, None]
    if "disparity" in fields:
        fields["disparity"] = fields["disparity"] * scale[0]
    return Views(**fields)


def _check_size(width: int, height: int) -> None:
    if min(width, height) < SMALLEST_SIDE:
        raise InputError(f"images of {width}x{height} pixels are too small to learn from; choose a larger width")


class FootageViews:
    """Footage as a source: `views[i]` is frame i, one unbatched view (N = 1) with image and, where it is given, K.

    width, height  px of the images; one of them follows from the other, and both from the footage
    K              intrinsics in px of the footage
    cache          folder for the decoded frames; by default the system's for temporary files

    At first use the footage is decoded once, into a file without a name that goes when the source goes. Frames are
    read from there in any order, and memory does not grow with their number. Raises InputError for footage that cannot
    be read, and for a K that does not fit it.
    """

    def __init__(
        self, path: str | Path, width: int | None = None, height: int | None = None,
        K: Float64[np.ndarray, "3 3"] | None = None, cache: Path | None = None,
    ) -> None:
        self.footage, self.cache, self.K = open_footage(path), cache, None
        self.width, self.height = self.footage.size(width, height)
        _check_size(self.width, self.height)
        if K is not None:
            check_intrinsics(K, self.footage.width, self.footage.height, self.footage.name)
            scale = self.width / self.footage.width, self.height / self.footage.height
            self.K = resize_intrinsics(torch.from_numpy(K), *scale).float()

    @cached_property
    def _frames(self) -> IO[bytes]:
        """All frames, one after the other, RGB."""
        if self.cache is not None:
            self.cache.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=self.cache)  # noqa: SIM115 (open as long as the source lives)
        for frame in self.footage.read(self.width, self.height):
            file.write(frame.image.tobytes())
        return file

    @property
    def _frame_bytes(self) -> int:
        return self.width * self.height * 3

    def __len__(self) -> int:
        return self._frames.seek(0, 2) // self._frame_bytes

    def __getitem__(self, index: int) -> Views:
        self._frames.seek(range(len(self))[index] * self._frame_bytes)
        pixels = np.frombuffer(self._frames.read(self._frame_bytes), np.uint8).reshape(self.height, self.width, 3)
        image = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
        return Views(image=image) if self.K is None else Views(image=image, K=self.K[None])


def open_views(
    path: str | Path, width: int, fields: Collection[str],
    K: Float64[np.ndarray, "3 3"] | None = None, cache: Path | None = None,
) -> Source:
    """The frames of a plain folder or a video as views `width` px wide, with these fields and maybe more.

    K [3 3], in px of the footage, stands in for a plain folder's own. Images and K alone are decoded once (see
    `FootageViews`); whatever else a folder knows is read anew each time. Raises InputError for what cannot be read, and
    where K is asked for but unknown.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist: give a plain folder or a video")
    if K is None and path.is_dir():
        K = read_truth(path).K
    if K is None and "K" in fields:
        raise InputError(f"{path} does not tell the camera's intrinsics: "
                         "give fx,fy,cx,cy in pixels, or a file with the 3x3 matrix")
    if path.is_dir() and not set(fields) <= {"image", "K"}:
        return Resized(PlainFolder(path, K), width)
    return FootageViews(path, width, K=K, cache=cache)
