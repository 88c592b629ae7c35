"""Intrinsics that somebody knows."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...formats.kitti import read_intrinsics
from ...geometry.camera import intrinsics
from ...sources.footage import Footage
from ...types.errors import InputError

SANE = (0.2, 10.0)     # focal lengths as a share of the longer side
OFF_CENTRE = 0.3       # share of the side by which the principal point may miss the middle


def given_intrinsics(given: Sequence[float] | Path | None, footage: Footage) -> Tensor | None:
    """K (3, 3), float64, for the footage's size, from four numbers or a file; None stays None.

    Raises InputError for a file that holds no 3x3 matrix and for numbers that cannot belong to this footage: a matrix
    for another size is the usual reason.
    """
    if given is None:
        return None
    K = torch.tensor(read_intrinsics(given)) if isinstance(given, Path) else intrinsics(*given)
    K = K.double()
    fx, fy, cx, cy = (float(K[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    w, h = footage.width, footage.height
    focal = all(SANE[0] < f / max(w, h) < SANE[1] for f in (fx, fy))
    centre = abs(cx - w / 2) < OFF_CENTRE * w and abs(cy - h / 2) < OFF_CENTRE * h
    if not (focal and centre):
        raise InputError(f"intrinsics fx {fx:.6g}, fy {fy:.6g}, cx {cx:.6g}, cy {cy:.6g} cannot belong to frames of "
                         f"{w}x{h}: scale them to that size, or leave them out to have them estimated")
    return K
