"""What the words of the command line mean: converters for argparse; and the options that many commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from .types import known as metres
from .types.errors import InputError
from .types.seed import check_seed


def positive(text: str) -> float:
    """A positive, finite number."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def share(text: str) -> float:
    """A positive number of at most 1."""
    value = positive(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} is more than 1, and no share")
    return value


def count(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return value


def natural(text: str) -> int:
    """A whole number that is not negative."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def seed(text: str) -> int:
    """A whole number that every random generator takes."""
    try:
        return check_seed(int(text))
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def pixel(text: str) -> tuple[int, int]:
    """Two whole numbers, separated by a comma."""
    x, y = (int(word) for word in text.split(","))
    return x, y


def words(text: str) -> tuple[str, ...]:
    """Words separated by commas."""
    return tuple(word.strip() for word in text.split(","))


def intrinsics(text: str) -> tuple[float, float, float, float] | Path:
    """A file, or four numbers separated by commas."""
    if "," not in text or Path(text).exists():
        return Path(text)
    try:
        fx, fy, cx, cy = (float(word) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a file nor four numbers fx,fy,cx,cy") from error
    return fx, fy, cx, cy


def number_or_file(text: str) -> float | Path:
    """A positive number, or a file."""
    try:
        return metres.number_or_file(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def finite(text: str) -> float:
    """A number of seconds."""
    try:
        return metres.finite(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def distance(text: str) -> tuple[float, ...]:
    """A frame, two pixels and metres: six numbers separated by commas."""
    try:
        return metres.distance(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def board(text: str) -> tuple[int, int]:
    """Corners along a row and a column, such as 9x6."""
    columns, x, rows = text.partition("x")
    if not x:
        raise argparse.ArgumentTypeError(f"'{text}' is not COLUMNSxROWS, such as 9x6")
    return count(columns), count(rows)


def out(sub: argparse.ArgumentParser, text: str, required: bool = False) -> None:
    """-o FOLDER."""
    sub.add_argument("-o", "--out", type=Path, metavar="FOLDER", required=required, help=text)


def seeded(sub: argparse.ArgumentParser) -> None:
    """--seed S, --device D."""
    sub.add_argument("--seed", type=seed, default=0, metavar="S", help="of everything random (default: 0)")
    sub.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")
