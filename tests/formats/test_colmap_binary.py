"""The binary model, read by pycolmap."""

import numpy as np
import pycolmap
import pytest
import torch

from epipole.formats import colmap_binary
from epipole.formats.calibration import build, pinhole
from epipole.formats.colmap_binary import Observations, rescaled, write_model
from epipole.geometry.brown_conrady import BrownConrady
from epipole.geometry.motion import se3, so3_exp
from epipole.geometry.unified import ExtendedUnified
from epipole.types.errors import InputError

K = np.array([[60.0, 0, 31.5], [0, 58, 23.5], [0, 0, 1]])
POINTS = np.array([[0.1, 0.2, 3.0], [-0.4, 0.1, 2.5], [0.3, -0.2, 4.0]])
COLORS = np.array([[1, 2, 3], [40, 50, 60], [255, 0, 9]], np.uint8)
NAMES = ["a.jpg", "frames/b.jpg", "c.jpg"]


@pytest.fixture
def path(generator) -> np.ndarray:
    w, t = 0.1 * torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
    return se3(so3_exp(w), t).numpy()


def projected(path: np.ndarray, image: int, point: int) -> np.ndarray:
    x = K @ (np.linalg.inv(path[image]) @ np.append(POINTS[point], 1))[:3]
    return x[:2] / x[2]


def seen(path: np.ndarray) -> Observations:
    pairs = [(2, 0), (0, 1), (0, 0), (2, 2), (0, 2)]        # in no order; image 1 sees nothing
    pixels = np.array([projected(path, *pair) for pair in pairs], np.float32)
    return Observations(*np.array(pairs).T, pixels)


def check(folder, path, factor=1.0) -> None:
    model = pycolmap.Reconstruction(str(folder))
    assert sorted(image.name for image in model.images.values()) == sorted(NAMES)
    for i, T in enumerate(path):
        inverse = np.linalg.inv(T)[:3]
        inverse[:, 3] *= factor
        np.testing.assert_allclose(model.images[i + 1].cam_from_world().matrix(), inverse, atol=1e-12)
    for i in range(3):
        point = model.points3D[i + 1]
        np.testing.assert_allclose(point.xyz, factor * POINTS[i])
        np.testing.assert_array_equal(point.color, COLORS[i])
    tracks = {i: sorted(e.image_id for e in model.points3D[i].track.elements) for i in (1, 2, 3)}
    assert tracks == {1: [1, 3], 2: [1], 3: [1, 3]}
    for i, point in model.points3D.items():
        for element in point.track.elements:
            observed = model.images[element.image_id].points2D[element.point2D_idx]
            assert observed.point3D_id == i
            np.testing.assert_allclose(observed.xy - 0.5, projected(path, element.image_id - 1, i - 1), atol=1e-4)
    assert len(model.images[2].points2D) == 0
    model.update_point_3d_errors()
    assert model.compute_mean_reprojection_error() < 1e-4


def test_pycolmap_reads_poses_points_and_tracks(tmp_path, path):
    write_model(tmp_path, pinhole(K, 64, 48), NAMES, path, POINTS, COLORS, seen(path))
    check(tmp_path, path)


def test_another_unit(tmp_path, path):
    write_model(tmp_path, pinhole(K, 64, 48), NAMES, path, POINTS, COLORS, seen(path))
    for name in colmap_binary.FILES:
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(rescaled(name, data, 2.5))
        if name != colmap_binary.FILES[0]:
            with pytest.raises(InputError):
                rescaled(name, data[:-20], 2.5)
    check(tmp_path, path, 2.5)


def test_lenses(tmp_path, path):
    bent = build(BrownConrady, (60.0, 58.0), (31.5, 23.5), {"k1": -0.2, "p2": 0.01}, "")
    write_model(tmp_path, pinhole(K, 64, 48)._replace(camera=bent), NAMES, path, POINTS, COLORS, seen(path))
    camera = pycolmap.Reconstruction(str(tmp_path)).cameras[1]
    assert camera.model.name == "OPENCV"
    np.testing.assert_allclose(camera.params, [60, 58, 32, 24, -0.2, 0, 0, 0.01])
    unified = build(ExtendedUnified, (60.0, 58.0), (31.5, 23.5), {}, "")
    with pytest.raises(TypeError):
        write_model(tmp_path, pinhole(K, 64, 48)._replace(camera=unified), NAMES, path, POINTS, COLORS, seen(path))
