"""Arrays on disk that are written and read row by row, so that memory does not grow with their number.

Plain reads and writes rather than memory maps: touched pages of a map count as the process's memory, and a full disk
kills a process that writes to one.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ...types.errors import InputError


class RowWriter:
    """Writes an .npy file one row (an array of the given shape) at a time; a context manager."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self.count, self._shape, self._dtype = 0, shape, np.dtype(dtype)
        self._file = path.open("wb")
        self._header()

    def append(self, row: np.ndarray) -> None:
        if row.shape != self._shape:
            raise ValueError(f"a row has shape {row.shape}, not {self._shape}")
        self._file.write(np.ascontiguousarray(row, self._dtype).data)
        self.count += 1

    def _header(self) -> None:  # NumPy leaves room in it for the first axis to grow
        shape = (self.count, *self._shape)
        npy.write_array_header_1_0(
            self._file, {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        )

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.seek(0)
            self._header()


class Rows:
    """The array of an .npy file; indexing the first axis by a number, a slice or numbers reads just those rows."""

    def __init__(self, path: Path) -> None:
        try:
            array = np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise InputError(f"{path} is damaged: remove {path.parent} and run the same command again") from error
        self.path, self.shape, self.dtype, self._offset = path, array.shape, array.dtype, array.offset
        self._length = int(np.prod(self.shape[1:], dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice):
            index = range(*index.indices(len(self)))
        numbers = np.asarray(index, dtype=np.int64)
        rows = np.empty((numbers.size, *self.shape[1:]), self.dtype)
        for row, number in zip(rows, numbers.ravel().tolist(), strict=True):
            row[...] = self._row(number)
        return rows.reshape(*numbers.shape, *self.shape[1:])

    def _row(self, number: int) -> np.ndarray:
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number} of {len(self)}")
        start = self._offset + (number % len(self)) * self._length * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, self._length, offset=start).reshape(self.shape[1:])
