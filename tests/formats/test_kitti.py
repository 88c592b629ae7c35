import numpy as np
import pytest
from evo.tools.file_interface import read_kitti_poses_file

from epipole.formats import kitti
from epipole.types.errors import InputError


def test_poses_come_back(tmp_path, poses):
    kitti.write_poses(tmp_path / "p.txt", poses)
    np.testing.assert_allclose(kitti.read_poses(tmp_path / "p.txt"), poses, atol=1e-11)


def test_evo_reads_the_same_poses(tmp_path, poses):
    kitti.write_poses(tmp_path / "p.txt", poses)
    np.testing.assert_allclose(read_kitti_poses_file(str(tmp_path / "p.txt")).poses_se3, poses, atol=1e-11)


def test_frames_that_are_left_out_are_known_by_number(tmp_path, poses):
    rows = np.hstack([np.array([[2], [3], [7]]), poses[:3, :3].reshape(3, 12)])
    np.savetxt(tmp_path / "p.txt", rows)
    frames, read = kitti.read_numbered_poses(tmp_path / "p.txt")
    assert frames.tolist() == [2, 3, 7]
    np.testing.assert_allclose(read, poses[:3], atol=1e-12)
    kitti.write_poses(tmp_path / "q.txt", poses)
    assert kitti.read_numbered_poses(tmp_path / "q.txt")[0].tolist() == list(range(7))


def test_intrinsics_come_back(tmp_path, K):
    kitti.write_intrinsics(tmp_path / "K.txt", K)
    np.testing.assert_allclose(kitti.read_intrinsics(tmp_path / "K.txt"), K, rtol=1e-11)


@pytest.mark.parametrize("text", ["", "1 2 3", "1 0 0 0 0 1 0 0 0 0 nan 0", "1 0 0 0 0 1 0 0 0 0 x 0",
                                  "2 0 0 0 0 1 0 0 0 0 1 0", "1 0 0 0 0 1 0 0 0 0 -1 0",
                                  "1 1 0 0 0 0 1 0 0 0 0 1 0"])
def test_what_is_no_path_is_refused(tmp_path, text):
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(InputError):
        kitti.read_poses(tmp_path / "p.txt")


@pytest.mark.parametrize("text", ["1 0 0\n0 1 0", "0 0 0\n0 1 0\n0 0 1", "1 0 0\n0 1 0\n0 0 2", "\xff\xfe\x00"])
def test_what_is_no_camera_is_refused(tmp_path, text):
    (tmp_path / "K.txt").write_text(text, encoding="latin-1")
    with pytest.raises(InputError):
        kitti.read_intrinsics(tmp_path / "K.txt")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError):
        kitti.read_poses(tmp_path / "none.txt")
    with pytest.raises(InputError):
        kitti.read_intrinsics(tmp_path)
