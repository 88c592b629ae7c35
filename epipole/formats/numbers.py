"""Tables of numbers in text files, and what goes wrong in archives of arrays."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from ..types.errors import InputError
from .atomic import replacing

DAMAGED = (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error)
"""What numpy raises, at opening or at reading, for an .npz that is missing, cut short or something else."""


def read_table(
    path: str | Path, columns: tuple[int, ...], what: str, named: bool = False
) -> Float64[np.ndarray, "rows columns"]:
    """Rows of whitespace-separated numbers; empty lines and what follows '#' are skipped. `named`: of numbers separated
    by commas, too, and their names in the first line are skipped as well.

    Raises InputError, naming the file and line, for what is missing, not a finite number, or has not one of `columns`
    numbers a line. `what` says in words what a line should hold.
    """
    path = Path(path)
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; it should hold {what}") from error
    if named:
        lines = [line.replace(",", " ") for line in lines]
        lines = ["#", *lines[1:]] if lines and lines[0].strip()[:1].isalpha() else lines
    rows: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        if words := line.split("#")[0].split():
            rows.append(_numbers(words, columns, what, f"{path}, line {number}"))
            if len(rows[-1]) != len(rows[0]):
                raise InputError(f"{path}, line {number} has {len(rows[-1])} numbers where line 1 has {len(rows[0])}")
    if not rows:
        raise InputError(f"{path} is empty; it should hold {what}")
    return np.array(rows)


def _numbers(words: list[str], columns: tuple[int, ...], what: str, where: str) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise InputError(f"{where} is not a row of numbers; it should hold {what}") from error
    if len(numbers) not in columns or not np.isfinite(numbers).all():
        raise InputError(f"{where} has {len(numbers)} numbers or one that is not finite; it should hold {what}")
    return numbers


def write_table(
    path: str | Path, table: Float64[np.ndarray, "rows columns"], digits: int = 12, comment: str = ""
) -> None:
    """Rows of numbers separated by spaces, below a line of `comment` if there is any."""
    with replacing(path) as part:
        np.savetxt(part, table, fmt=f"%.{digits}g", header=comment, encoding="utf-8")
