import numpy as np
import pytest
from evo.tools.file_interface import read_tum_trajectory_file

from epipole.formats import tum
from epipole.types.errors import InputError
from tests.formats.cameras import CALIBRATIONS, assert_equal


def test_path_comes_back(tmp_path, poses):
    stamps = 1305031102.175304 + np.arange(7) / 30
    tum.write(tmp_path / "p.txt", stamps, poses)
    read_stamps, read_poses = tum.read(tmp_path / "p.txt")
    np.testing.assert_allclose(read_stamps, stamps, rtol=0, atol=1e-5)
    np.testing.assert_allclose(read_poses, poses, atol=1e-12)


def test_evo_reads_the_same_path(tmp_path, poses):
    tum.write(tmp_path / "p.txt", np.arange(7) / 10, poses)
    seen = read_tum_trajectory_file(str(tmp_path / "p.txt"))
    np.testing.assert_allclose(seen.timestamps, np.arange(7) / 10)
    np.testing.assert_allclose(seen.poses_se3, poses, atol=1e-12)


def test_evos_own_file_is_read(shared_data):
    file = shared_data / "trajectories/evo/freiburg1_xyz-groundtruth.txt"
    seen = read_tum_trajectory_file(str(file))
    stamps, read = tum.read(file)
    np.testing.assert_allclose(read, np.array(seen.poses_se3), atol=1e-9)
    np.testing.assert_allclose(stamps, seen.timestamps)


@pytest.mark.parametrize("text", ["0 0 0 0 0 0 0 0", "0 0 0 0 0 0 1", "# only a comment"])
def test_what_is_no_path_is_refused(tmp_path, text):
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(InputError):
        tum.read(tmp_path / "p.txt")


@pytest.mark.parametrize("name", ["pinhole", "brown", "fisheye"])
def test_calibration_comes_back(tmp_path, name):
    tum.write_calibration(tmp_path / "camera.txt", CALIBRATIONS[name])
    assert_equal(tum.read_calibration(tmp_path / "camera.txt"), CALIBRATIONS[name])


def test_shares_of_the_image_count_from_its_corner(tmp_path):
    (tmp_path / "camera.txt").write_text("0.5 0.75 0.5 0.5 0\n320 240\ncrop\n320 240\n")
    K = tum.read_calibration(tmp_path / "camera.txt").K
    assert K.tolist() == [[160, 0, 159.5], [0, 180, 119.5], [0, 0, 1]]  # the centre lies between two pixels


@pytest.mark.parametrize("name", ["", "RadTan "])
def test_entries_of_K_are_taken_as_they_are(tmp_path, name):
    (tmp_path / "camera.txt").write_text(f"{name}250 240 161 119 -0.28 0.09 0.001 -0.002\n320 240\nfull\n320 240\n")
    read = tum.read_calibration(tmp_path / "camera.txt")
    assert read.K.tolist() == [[250, 0, 161], [0, 240, 119], [0, 0, 1]]
    assert [float(x) for x in read.camera[1:]] == [-0.28, 0.09, 0.001, -0.002, 0]


@pytest.mark.parametrize("text", ["", "1 1 1", "0.5 0.5 0.5 0.5 0.9\n3 2", "FOV 0.5 0.5 0.5 0.5 0.9\n3 2",
                                  "0 0.5 0.5 0.5 0\n3 2", "RadTan 1 1 1 1 0\n3 2", "0.5 0.5 0.5 0.5 0\n3", "Pinhole"])
def test_what_is_no_calibration_is_refused(tmp_path, text):
    (tmp_path / "camera.txt").write_text(text)
    with pytest.raises(InputError):
        tum.read_calibration(tmp_path / "camera.txt")
    with pytest.raises(InputError):
        tum.read_calibration(tmp_path / "none.txt")


def test_what_the_format_lacks_cannot_be_written(tmp_path):
    with pytest.raises(TypeError):
        tum.write_calibration(tmp_path / "camera.txt", CALIBRATIONS["unified"])
    with pytest.raises(ValueError, match="k3"):
        tum.write_calibration(tmp_path / "camera.txt", CALIBRATIONS["brown_k3"])
