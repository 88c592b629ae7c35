import base64
import math

import numpy as np
import pytest
import torch

from epipole.types.predictions import Motion
from epipole.viewer.map_panel import map_panel
from epipole.viewer.run_folder import Cloud
from epipole.viewer.surface import Triangles
from tests.viewer.synthetic_run import path
from tests.viewer.test_panels import island
from tests.viewer.test_surface import sheet


@pytest.fixture
def motion() -> Motion:
    return Motion(T_first_camera=torch.from_numpy(path(30)).float())


def cloud(count: int = 4000) -> Cloud:
    rng = np.random.default_rng(0)
    return Cloud(rng.uniform(-4, 4, (count, 3)).astype(np.float32),
                 rng.integers(0, 256, (count, 3)).astype(np.uint8), 9999)


def unpacked(part: dict) -> tuple[np.ndarray, np.ndarray]:
    grid = np.frombuffer(base64.b64decode(part["points"]), "<u2").reshape(-1, 3)
    colours = np.frombuffer(base64.b64decode(part["colours"]), np.uint8).reshape(-1, 3)
    return np.array(part["low"]) + np.array(part["step"]) * grid, colours


def data_of(some: Cloud, motion: Motion | None, surface: Triangles | None = None) -> dict:
    return island(map_panel(some, motion, "m", 0.6, 0.75, surface), "map-data")


def test_cloud_comes_back_from_its_sixteen_bits(motion):
    some = cloud()
    some.points[7] = 1e6  # a stray point must not cost the others their precision
    data = data_of(some, motion)
    points, colours = unpacked(data["cloud"])
    kept = np.delete(np.arange(4000), 7)
    assert len(points) == 3999
    assert np.abs(points - some.points[kept]).max() < 1e-3
    assert np.array_equal(colours, some.colours[kept])
    assert len(data["poses"]) == 30
    assert math.isfinite(data["radius"])
    assert data["surface"] is None


def test_surface_comes_back_with_its_faces(motion):
    mesh = sheet(20)
    part = data_of(cloud(), motion, mesh)["surface"]
    points, colours = unpacked(part)
    assert np.abs(points - mesh.vertices).max() < 1e-4
    assert np.array_equal(colours, mesh.colours)
    faces = np.frombuffer(base64.b64decode(part["faces"]), "<u2").reshape(-1, 3)
    assert np.array_equal(faces, mesh.faces)


def test_only_what_is_there_has_a_button(motion):
    bare, whole = map_panel(cloud(), None, "m", 0.6, 0.75), map_panel(cloud(), motion, "m", 0.6, 0.75, sheet(4))
    for button in ('data-view="camera"', 'data-show="surface"', 'data-show="points"'):
        assert button in whole
        assert button not in bare


def test_what_a_leaning_camera_saw_stands_upright():
    lean = np.array([[1, 0, 0, 0], [0, 0.8, -0.6, 0], [0, 0.6, 0.8, 0], [0, 0, 0, 1.0]])
    T = lean @ path(30)
    some = cloud()
    data = data_of(Cloud(some.points @ lean[:3, :3].T.astype(np.float32), some.colours, 4000),
                   Motion(T_first_camera=torch.from_numpy(T).float()))
    assert np.abs(unpacked(data["cloud"])[0] - some.points).max() < 1e-3
    assert np.allclose(np.array(data["poses"]).reshape(-1, 3, 4), path(30)[:, :3], atol=1e-4)
