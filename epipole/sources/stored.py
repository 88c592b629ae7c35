"""Samples that are kept on the disk, each from the first time it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..formats.atomic import make_folder, replacing
from ..types.views import Views
from .source import Source


class Stored:
    """The samples of a source, kept in a folder that other sources may share; `key` is all that they follow from.

    What took long to decode or to resize takes long once. Raises InputError where the disk refuses.
    """

    def __init__(self, source: Source, folder: Path, key: str) -> None:
        self.source, self.folder, self.key = source, make_folder(folder), key

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Views:
        i = range(len(self))[index]
        return kept(self.folder / named(f"{self.key} {i}"), lambda: self.source[i])


def named(key: str) -> str:
    """The file's name for a sample that follows from `key` alone."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:24] + ".safetensors"


def kept(file: Path, make: Callable[[], Views]) -> Views:
    """The views in this file; made, and written to it, where it is not there or was cut off."""
    try:
        return Views(**load_file(file))
    except (OSError, SafetensorError):
        views = make()
        with replacing(file) as part:
            save_file({name: value.contiguous() for name, value in views.fields().items()}, part)
        return views
