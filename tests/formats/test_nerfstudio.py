import json

import numpy as np
import pytest

from epipole.formats import nerfstudio
from epipole.formats.calibration import pinhole
from epipole.types.errors import InputError
from tests.formats.cameras import CALIBRATIONS, assert_equal

NAMES = [f"images/{i}.png" for i in range(7)]


def test_transforms_come_back(tmp_path, K, poses):
    nerfstudio.write_transforms(tmp_path / "t.json", pinhole(K, 320, 240), NAMES, poses)
    read = nerfstudio.read_transforms(tmp_path / "t.json")
    assert (*read.calibration[1:], read.names) == (320, 240, NAMES)
    np.testing.assert_allclose(read.calibration.K, K, rtol=1e-15)
    np.testing.assert_array_equal(read.T_world_camera, poses)


def test_cameras_look_along_minus_z_with_y_up(tmp_path, K):
    nerfstudio.write_transforms(tmp_path / "t.json", pinhole(K, 320, 240), ["a.png"], np.eye(4)[None], "cloud.ply")
    content = json.loads((tmp_path / "t.json").read_text())
    T = np.array(content["frames"][0]["transform_matrix"])
    np.testing.assert_array_equal(T @ [0, 0, -1, 0], [0, 0, 1, 0])  # their forward is our forward
    np.testing.assert_array_equal(T @ [0, 1, 0, 0], [0, -1, 0, 0])  # their up is our minus y
    assert content["cx"] == K[0, 2] + 0.5
    assert content["ply_file_path"] == "cloud.ply"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"fl_x": "a"}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError):
        nerfstudio.read_transforms(tmp_path / "t.json")


@pytest.mark.parametrize("name", ["pinhole", "brown", "brown_k3", "fisheye"])
def test_lenses_come_back(tmp_path, poses, name):
    nerfstudio.write_transforms(tmp_path / "t.json", CALIBRATIONS[name], NAMES, poses)
    assert_equal(nerfstudio.read_transforms(tmp_path / "t.json").calibration, CALIBRATIONS[name])


def test_lenses_are_named_as_theirs(tmp_path, poses):
    nerfstudio.write_transforms(tmp_path / "t.json", CALIBRATIONS["brown"], NAMES, poses)
    content = json.loads((tmp_path / "t.json").read_text())
    assert [content[name] for name in ("camera_model", "k1", "k2", "p1", "p2")] == ["OPENCV", -0.28, 0.09, 1e-3, -2e-3]
    nerfstudio.write_transforms(tmp_path / "t.json", CALIBRATIONS["fisheye"], NAMES, poses)
    content = json.loads((tmp_path / "t.json").read_text())
    assert [content[name] for name in ("camera_model", "k1", "k4")] == ["OPENCV_FISHEYE", -0.04, 0.0008]


@pytest.mark.parametrize("change", [{"camera_model": "EQUIRECTANGULAR"}, {"k4": 0.1}, {"fl_x": 0}, {"fl_y": None}])
def test_other_lenses_are_refused(tmp_path, poses, change):
    nerfstudio.write_transforms(tmp_path / "t.json", CALIBRATIONS["brown"], NAMES, poses)
    content = json.loads((tmp_path / "t.json").read_text()) | change
    (tmp_path / "t.json").write_text(json.dumps(content))
    with pytest.raises(InputError):
        nerfstudio.read_transforms(tmp_path / "t.json")


def test_a_unified_camera_cannot_be_written(tmp_path, poses):
    with pytest.raises(TypeError):
        nerfstudio.write_transforms(tmp_path / "t.json", CALIBRATIONS["unified"], NAMES, poses)
