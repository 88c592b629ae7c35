import numpy as np
import pytest
import torch

from epipole.geometry.motion import se3_exp


@pytest.fixture
def poses(generator) -> np.ndarray:
    """Seven poses with large rotations, one of them by exactly half a turn."""
    T = se3_exp(torch.randn(7, 6, generator=generator, dtype=torch.float64)).numpy()
    T[3, :3, :3] = np.diag([-1.0, 1.0, -1.0])
    return T


@pytest.fixture
def K() -> np.ndarray:
    return np.array([[258.2, 0, 160.1], [0, 257.9, 118.7], [0, 0, 1]])


@pytest.fixture
def cloud(generator) -> tuple[np.ndarray, np.ndarray]:
    points = torch.randn(50, 3, generator=generator).numpy()
    return points, torch.randint(0, 256, (50, 3), generator=generator, dtype=torch.uint8).numpy()
