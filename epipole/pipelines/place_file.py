"""Places of key frames on disk: their descriptors are most of what a long clip would have to be remembered by."""

import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import overload

import numpy as np
import torch

from .loops import Place
from .places import Features


class PlaceFile(Sequence[Place]):
    """Places that are written, and read again one at a time whenever they are asked for, in a file without a name.

    Descriptors are kept in half precision, which tells unit vectors apart. Raises OSError where the disk refuses.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """The file lies in `folder`; None: where the system keeps what is temporary."""
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 (open as long as this object is there)
        self._begins = list[int]()
        weakref.finalize(self, self._file.close)

    def put(self, number: int, place: Place) -> None:
        """Writes the next one, or the last one anew."""
        if number not in (len(self), len(self) - 1):
            raise ValueError(f"place {number} of {len(self)} is neither the next nor the last one")
        begin = self._begins[number] if number < len(self) else self._file.seek(0, os.SEEK_END)
        self._file.seek(begin)
        self._file.truncate()
        self._begins[number:] = [begin]
        for part in (place.features.points, place.features.words.half(), place.depth):
            np.save(self._file, part.numpy())

    def __len__(self) -> int:
        return len(self._begins)

    @overload
    def __getitem__(self, index: int) -> Place: ...
    @overload
    def __getitem__(self, index: slice) -> list[Place]: ...
    def __getitem__(self, index: int | slice) -> Place | list[Place]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        self._file.seek(self._begins[index])
        points, words, depth = (torch.from_numpy(np.load(self._file)) for _ in range(3))
        return Place(Features(points, words.float()), depth)
