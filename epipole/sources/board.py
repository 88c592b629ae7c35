"""A chessboard seen by a camera: its corners in footage, and views of it that differ from one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from ..types.errors import InputError
from .footage import Footage

LOOKED_AT = 400         # frames of the footage, evenly spread
MOST = 40               # views of the board that are kept
APART = 0.02            # of the picture's diagonal: mean distance of the corners from those of every other view kept


class Board(NamedTuple):
    """Inner corners along a row and a column, and the side of a square in m (or any unit)."""

    columns: int
    rows: int
    square: float = 1.0

    @property
    def points(self) -> Float32[np.ndarray, "n 3"]:
        """Its corners in its own plane z = 0, row by row."""
        grid = np.zeros((self.rows * self.columns, 3), np.float32)
        grid[:, :2] = np.mgrid[: self.columns, : self.rows].T.reshape(-1, 2)
        return self.square * grid


class Seen(NamedTuple):
    """Corners of a board in one frame, px."""

    frame: int
    corners: Float32[np.ndarray, "n 2"]


class Sightings(NamedTuple):
    """The views that are kept, of `found` frames that show the board, of `looked_at` that were searched."""

    views: list[Seen]
    found: int
    looked_at: int


def find_board(footage: Footage, board: Board, progress: Callable[[int, int], None] | None = None) -> Sightings:
    """Searches the footage for the whole board. Raises InputError where the board or the footage cannot be used."""
    if min(board.columns, board.rows) < 3:
        raise InputError(f"a board of {board.columns}x{board.rows} inner corners is too small; use one of at least 3x3")
    count = footage.count()
    asked = set(np.unique(np.linspace(0, count - 1, min(LOOKED_AT, count)).round().astype(int)).tolist())
    views = []
    for done, frame in enumerate(footage.read(only=asked), 1):
        if (corners := corners_in(frame.image, board)) is not None:
            views.append(Seen(frame.number, corners))
        if progress:
            progress(done, len(asked))
    return Sightings(different(views, float(np.hypot(footage.width, footage.height))), len(views), len(asked))


def corners_in(image: UInt8[np.ndarray, "h w 3"], board: Board) -> Float32[np.ndarray, "n 2"] | None:
    """Corners to a fraction of a pixel (Duda & Frese 2018, by OpenCV), or None where the whole board is not seen."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
    found, corners = cv2.findChessboardCornersSB(gray, (board.columns, board.rows), flags=flags)
    return corners.reshape(-1, 2).astype(np.float32) if found else None


def different(views: list[Seen], diagonal: float) -> list[Seen]:
    """At most `MOST` of the views, one after the other the one farthest from all kept before, in the order of time."""
    if not views:
        return []
    corners = np.stack([view.corners for view in views])

    def to(kept: int) -> np.ndarray:
        same, turned = (np.linalg.norm(corners - other, axis=2).mean(1) for other in (corners[kept],
                                                                                     corners[kept, ::-1]))
        return np.minimum(same, turned)  # a board looks the same upside down

    kept, away = [0], to(0)
    while len(kept) < min(MOST, len(views)) and away.max() > APART * diagonal:
        kept.append(int(away.argmax()))
        away = np.minimum(away, to(kept[-1]))
    return [views[i] for i in sorted(kept)]
