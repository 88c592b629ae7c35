"""A line that says what a file's lengths are: it stands where readers look past it, and only as it was last said."""

import json

import cv2
import numpy as np
import pytest
import trimesh
from evo.tools.file_interface import read_tum_trajectory_file

from epipole.formats import mesh, nerfstudio, ply, tum
from epipole.formats.calibration import pinhole
from epipole.formats.run import lengths_text

SCALING = {"factor": 7.93, "spread_percent": 3.1, "frames": 180, "by": "camera height of 1.65 m above the ground"}
WORDS = lengths_text({"scale": "metres", "scaling": SCALING})
FACES = np.arange(48).reshape(16, 3)


def test_the_line_says_the_unit_the_factor_and_its_spread():
    assert all(word in WORDS for word in ("metres", "7.93", "3.1 %", "height"))
    for about in ({}, {"scale": "unknown", "scaling": None}):
        assert lengths_text(about) == "lengths: up to one unknown factor"
    assert lengths_text({"scale": "metres"}) == "lengths: metres"
    assert "differ by" in WORDS
    alone = lengths_text({"scale": "metres", "scaling": SCALING | {"frames": 1, "spread_percent": None}})
    assert "unknown" in alone
    assert "doubtful" not in lengths_text({"scale": "metres", "scaling": SCALING | {"doubt": ""}})
    assert lengths_text({"scale": "metres", "scaling": SCALING | {"doubt": "why"}}) == f"{WORDS}; doubtful: why"


def header(path) -> list[str]:
    return path.read_bytes().partition(b"end_header")[0].decode("ascii").splitlines()


@pytest.mark.parametrize("name", ["c.ply", "m.ply"])
def test_ply(tmp_path, cloud, name):
    file = tmp_path / name
    for words in ("the first of all", "1 m, geschätzt", WORDS):
        if name == "c.ply":
            ply.write(file, *cloud, words)
            np.testing.assert_array_equal(ply.read(file)[0], cloud[0])
            np.testing.assert_allclose(cv2.loadPointCloud(str(file))[0].reshape(-1, 3), cloud[0], rtol=1e-6)
        else:
            mesh.write_ply(file, cloud[0], FACES, cloud[1], words)
            np.testing.assert_array_equal(mesh.read_ply(file)[1], FACES)
        np.testing.assert_array_equal(trimesh.load(file, process=False).vertices.astype(np.float32), cloud[0])
    assert [line for line in header(file) if line.startswith("comment")] == [f"comment {WORDS}"]


def test_glb(tmp_path, cloud):
    for words in ("the first of all", WORDS):
        mesh.write_glb(tmp_path / "m.glb", cloud[0], FACES, cloud[1], words)
    data = (tmp_path / "m.glb").read_bytes()
    assert json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])["asset"]["extras"] == {"comment": WORDS}
    assert b"first" not in data
    np.testing.assert_array_equal(trimesh.load_mesh(tmp_path / "m.glb", process=False).faces, FACES)


def test_tum(tmp_path, poses):
    file = tmp_path / "p.txt"
    for words in ("the first of all", "geschätzt", WORDS):
        tum.write(file, np.arange(7) / 10, poses, words)
        np.testing.assert_allclose(read_tum_trajectory_file(str(file)).poses_se3, poses, atol=1e-12)
        np.testing.assert_allclose(tum.read(file)[1], poses, atol=1e-12)
    assert [line for line in file.read_text().splitlines() if line.startswith("#")] == [f"# {WORDS}"]


def test_transforms(tmp_path, K, poses):
    file = tmp_path / "t.json"
    for words in ("the first of all", WORDS):
        nerfstudio.write_transforms(file, pinhole(K, 320, 240), list("abcdefg"), poses, comment=words)
    assert json.loads(file.read_text())["comment"] == WORDS
    np.testing.assert_array_equal(nerfstudio.read_transforms(file).T_world_camera, poses)
