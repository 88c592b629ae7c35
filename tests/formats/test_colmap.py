import numpy as np
import pycolmap
import pytest

from epipole.formats import colmap
from epipole.formats.calibration import pinhole
from epipole.types.errors import InputError

NAMES = [f"{i:06d}.png" for i in range(7)]


@pytest.fixture
def folder(tmp_path, K, poses, cloud):
    colmap.write_model(tmp_path / "colmap", pinhole(K, 320, 240), NAMES, poses, cloud[0].astype(np.float64), cloud[1])
    return tmp_path / "colmap"


def test_model_comes_back(folder, K, poses, cloud):
    model = colmap.read_model(folder)
    assert (*model.calibration[1:], model.names) == (320, 240, NAMES)
    np.testing.assert_allclose(model.calibration.K, K, rtol=1e-12)
    np.testing.assert_allclose(model.T_world_camera, poses, atol=1e-12)
    np.testing.assert_allclose(model.points, cloud[0], rtol=1e-6)
    np.testing.assert_array_equal(model.colors, cloud[1])


def test_pycolmap_projects_a_point_where_we_do(folder, K, poses, cloud):
    theirs = pycolmap.Reconstruction(folder)
    assert (len(theirs.images), len(theirs.points3D)) == (7, 50)
    image = next(i for i in theirs.images.values() if i.name == NAMES[2])
    camera_point = np.array([0.3, -0.2, 2.0])
    world_point = poses[2, :3, :3] @ camera_point + poses[2, :3, 3]
    ours = (K @ camera_point)[:2] / 2.0
    np.testing.assert_allclose(image.project_point(world_point), ours + 0.5, atol=1e-6)
    np.testing.assert_array_equal(theirs.points3D[9].color, cloud[1][8])


def test_a_model_of_another_camera_is_refused(folder):
    (folder / "cameras.txt").write_text("1 FOV 320 240 1 1 1 1 0\n")
    with pytest.raises(InputError):
        colmap.read_model(folder)
    with pytest.raises(InputError):
        colmap.read_model(folder / "none")
