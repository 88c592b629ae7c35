"""Worlds without end as one source: clips of many scenes, rendered when asked for, kept in a folder if wanted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from epipole.formats.atomic import make_folder
from epipole.types.views import Views

from ..stored import kept, named
from .focus import Lens, focus_stack
from .meshes import Array
from .spec import Spec
from .world import USUAL, World

USUAL_LENS = Lens()


class Stream:
    """`stream[i]` is a clip of `length` views, each `gap` after the one before, of one of `scenes` scenes.

    spec    of every scene but for its number; neighbouring indices begin at neighbouring frames of one scene
    fields  what the views carry, see `World`
    cache   folder that keeps what was rendered once; another spec or other fields use other files
    """

    def __init__(
        self, spec: Spec, scenes: int = 1, length: int = 2, gap: int = 1, fields: Collection[str] = USUAL,
        cache: Path | None = None,
    ) -> None:
        self.spec, self.scenes, self.length, self.gap = spec, scenes, length, gap
        self.provides = frozenset(fields)
        self.cache = None if cache is None else make_folder(cache)
        self._open = lru_cache(maxsize=2)(lambda scene: World(replace(spec, scene=spec.scene + scene), self.provides))

    @property
    def starts(self) -> int:
        """Clips in one scene."""
        return max(0, self.spec.frames - (self.length - 1) * self.gap)

    def __len__(self) -> int:
        return self.scenes * self.starts

    def __getitem__(self, index: int) -> Views:
        scene, first = divmod(range(len(self))[index], self.starts)
        frames = [first + k * self.gap for k in range(self.length)]
        if self.cache is None:
            return self._views(scene, frames)
        return kept(self.cache / self._name(scene, frames), lambda: self._views(scene, frames))

    def _views(self, scene: int, frames: list[int]) -> Views:
        return self._open(scene).clip(frames)

    def _name(self, scene: int, frames: list[int]) -> str:
        """Of the file of one clip: all that it follows from."""
        return named(f"{replace(self.spec, scene=self.spec.scene + scene).to_yaml()}{frames}{sorted(self.provides)}")


class StereoStream(Stream):
    """`stream[i]` is a rectified pair (N = 2: left, right) at a frame of one of `scenes` scenes, both disparities
    included."""

    def __init__(
        self, spec: Spec, scenes: int = 1, fields: Collection[str] = USUAL, cache: Path | None = None
    ) -> None:
        super().__init__(spec, scenes, 1, 1, fields, cache)

    def _views(self, scene: int, frames: list[int]) -> Views:
        return self._open(scene).stereo(frames[0])

    def _name(self, scene: int, frames: list[int]) -> str:
        return "pair" + super()._name(scene, frames)


class FocusStream(Stream):
    """`stream[i]` is a focal stack: a frame of one of `scenes` scenes, once for each of the `distances` (m) at which
    the lens is focused, with its `focus`, and the same depth and K for all."""

    def __init__(
        self, spec: Spec, distances: Array, scenes: int = 1, lens: Lens = USUAL_LENS,
        cache: Path | None = None,
    ) -> None:
        super().__init__(spec, scenes, 1, 1, {"depth", "depth_valid", "K"}, cache)
        self.distances, self.lens = distances, lens

    def _views(self, scene: int, frames: list[int]) -> Views:
        world, count = self._open(scene), len(self.distances)
        seen = world.clip(frames).map(lambda x: x.expand(count, *x.shape[1:]))
        image = focus_stack(world, frames[0], self.distances, self.lens)
        return Views(image=image, focus=torch.from_numpy(self.distances).float(), **seen.fields())

    def _name(self, scene: int, frames: list[int]) -> str:
        return named(f"{super()._name(scene, frames)}{self.distances.tolist()}{self.lens}")
