"""Power series of matrices in extended precision: an oracle that shares nothing with the closed forms."""

import math

import numpy as np
import torch


def matrix_series(A: torch.Tensor, first: int, terms: int = 60) -> torch.Tensor:
    """sum_k A^k / (k + first)! in float64, summed in long double: the exponential for 0, its integral for 1."""
    a = A.double().numpy().astype(np.longdouble)
    power = np.broadcast_to(np.eye(a.shape[-1], dtype=np.longdouble), a.shape)
    total = np.zeros_like(a)
    for k in range(terms):
        total, power = total + power / np.longdouble(math.factorial(k + first)), power @ a
    return torch.from_numpy(total.astype(np.float64))
