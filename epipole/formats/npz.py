"""Archives of arrays that are written one array at a time, so that memory does not grow with their number."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .atomic import replacing

Add = Callable[[str, np.ndarray], None]


@contextmanager
def writing(path: str | Path) -> Iterator[Add]:
    """A function (name, array) that adds an array to the .npz archive at `path`, which is whole or not there.

    Compressed lightly; the same arrays give the same bytes. Raises InputError, in a sentence, where the disk refuses.
    """
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:

        def add(name: str, array: np.ndarray) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)

        yield add
