import json

import numpy as np
import pytest

from epipole.formats import nerfstudio
from epipole.types.errors import InputError

NAMES = [f"images/{i}.png" for i in range(7)]


def test_transforms_come_back(tmp_path, K, poses):
    nerfstudio.write_transforms(tmp_path / "t.json", K, 320, 240, NAMES, poses)
    read = nerfstudio.read_transforms(tmp_path / "t.json")
    assert (read.width, read.height, read.names) == (320, 240, NAMES)
    np.testing.assert_allclose(read.K, K, rtol=1e-15)
    np.testing.assert_array_equal(read.T_world_camera, poses)


def test_cameras_look_along_minus_z_with_y_up(tmp_path, K):
    nerfstudio.write_transforms(tmp_path / "t.json", K, 320, 240, ["a.png"], np.eye(4)[None], cloud="cloud.ply")
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
