import cv2
import numpy as np
import pycolmap
import pytest

from epipole.formats import ply
from epipole.types.errors import InputError


def test_cloud_comes_back(tmp_path, cloud):
    ply.write(tmp_path / "c.ply", *cloud)
    points, colors = ply.read(tmp_path / "c.ply")
    np.testing.assert_array_equal(points, cloud[0])
    np.testing.assert_array_equal(colors, cloud[1])


def test_opencv_reads_the_same_points(tmp_path, cloud):
    ply.write(tmp_path / "c.ply", *cloud)
    points = cv2.loadPointCloud(str(tmp_path / "c.ply"))[0]
    np.testing.assert_allclose(points.reshape(-1, 3), cloud[0], rtol=1e-6)


def test_pycolmap_reads_the_same_cloud(tmp_path, cloud):
    ply.write(tmp_path / "c.ply", *cloud)
    theirs = pycolmap.Reconstruction()
    theirs.import_PLY(tmp_path / "c.ply")
    seen = [theirs.points3D[i] for i in sorted(theirs.points3D)]
    np.testing.assert_allclose([p.xyz for p in seen], cloud[0], rtol=1e-6)
    np.testing.assert_array_equal([p.color for p in seen], cloud[1])


def test_an_empty_cloud_is_a_cloud(tmp_path):
    ply.write(tmp_path / "c.ply", np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8))
    assert ply.read(tmp_path / "c.ply")[0].shape == (0, 3)


def test_cut_and_foreign_files_are_refused(tmp_path, cloud):
    file = tmp_path / "c.ply"
    ply.write(file, *cloud)
    whole = file.read_bytes()
    for broken in (whole[:-1], whole.replace(b"little", b"big"), b"ply\n", b""):
        file.write_bytes(broken)
        with pytest.raises(InputError):
            ply.read(file)
