"""Judges intrinsics."""

import numpy as np
from jaxtyping import Float64


def focal_error(
    K: Float64[np.ndarray, "3 3"], size: tuple[int, int], K_true: Float64[np.ndarray, "3 3"], size_true: tuple[int, int]
) -> float:
    """Mean error of fx and fy in per cent of the true ones; sizes are (width, height) of the images K belongs to."""
    f = np.array([K[0, 0] / size[0], K[1, 1] / size[1]])
    f_true = np.array([K_true[0, 0] / size_true[0], K_true[1, 1] / size_true[1]])
    return float(100 * np.mean(np.abs(f / f_true - 1)))
