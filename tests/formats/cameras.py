"""One calibration of every model, and what makes two of them equal."""

import numpy as np
import torch

from epipole.formats.calibration import Calibration
from epipole.geometry.brown_conrady import BrownConrady
from epipole.geometry.camera import intrinsics
from epipole.geometry.fisheye import Fisheye
from epipole.geometry.lenses import Camera, Pinhole, project
from epipole.geometry.unified import ExtendedUnified, Unified

WIDTH, HEIGHT = 320, 240
K = intrinsics(258.2, 257.9, 160.1, 118.7)
POINT = np.array([0.31, -0.27, 1.4])


def lens(model: type, *parameters: float) -> Calibration:
    values = (torch.tensor(value, dtype=torch.float64) for value in parameters)
    return Calibration(model(K, *values), WIDTH, HEIGHT)


CALIBRATIONS = {
    "pinhole": lens(Pinhole),
    "brown": lens(BrownConrady, -0.28, 0.09, 1e-3, -2e-3, 0.0),
    "brown_k3": lens(BrownConrady, -0.28, 0.09, 1e-3, -2e-3, -0.011),
    "fisheye": lens(Fisheye, -0.04, 0.01, -0.006, 0.0008),
    "extended": lens(ExtendedUnified, 0.63, 1.1),
    "unified": lens(Unified, 0.4),
}


def assert_equal(read: Calibration, written: Calibration) -> None:
    assert type(read.camera) is type(written.camera)
    assert read[1:] == written[1:]
    for a, b in zip(read.camera, written.camera, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-15, atol=1e-15)


def pixel(camera: Camera) -> np.ndarray:
    """Of POINT."""
    return project(torch.from_numpy(POINT)[:, None, None], camera)[0].flatten().numpy()
