"""Coloured point clouds in PLY, binary little endian: x y z as float32, red green blue as uint8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from ..types.errors import InputError
from .atomic import replacing

VERTEX = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
HEADER = """ply
format binary_little_endian 1.0
{comment}element vertex {count}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
end_header
"""


def header(count: int, comment: str = "") -> bytes:
    """Of so many vertices, with the comment in it if there is any."""
    return HEADER.format(count=count, comment=comment and f"comment {comment}\n").encode("ascii", "backslashreplace")


def without_comments(head: bytes) -> list[bytes]:
    """The lines of a header that are none."""
    return [line for line in head.splitlines() if not line.startswith(b"comment")]


def write(
    path: str | Path, points: Float32[np.ndarray, "P 3"], colors: UInt8[np.ndarray, "P 3"], comment: str = ""
) -> None:
    """Writes the cloud; coordinates keep their unit. `comment` is one line."""
    vertices = np.empty(len(points), VERTEX)
    vertices["xyz"], vertices["rgb"] = points, colors
    with replacing(path) as part, part.open("wb") as file:
        file.write(header(len(points), comment))
        file.write(vertices.tobytes())


def read(path: str | Path) -> tuple[Float32[np.ndarray, "P 3"], UInt8[np.ndarray, "P 3"]]:
    """Points and colours of a file laid out as `write` does; raises InputError for any other layout."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    head, mark, body = data.partition(b"end_header\n")
    lines = head.decode("ascii", "replace").splitlines()
    count = next((int(line.split()[2]) for line in lines if line.startswith("element vertex ")), 0)
    if without_comments(head + mark) != header(count).splitlines():
        raise InputError(f"{path} is not a binary little-endian PLY of x y z (float) and red green blue (uchar)")
    if len(body) != count * VERTEX.itemsize:
        raise InputError(f"{path} is cut off: its header announces {count} points and {len(body)} bytes follow")
    vertices = np.frombuffer(body, VERTEX)
    return vertices["xyz"].copy(), vertices["rgb"].copy()
