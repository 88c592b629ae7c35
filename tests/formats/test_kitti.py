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


def test_projections_come_back(tmp_path, K):
    given = {f"P{i}": np.hstack([K, [[-0.54 * i * K[0, 0]], [0], [0]]]) for i in range(4)}
    kitti.write_projections(tmp_path / "calib.txt", given)
    read = kitti.read_projections(tmp_path / "calib.txt")
    assert list(read) == list(given)
    for name, P in given.items():
        np.testing.assert_allclose(read[name], P, rtol=1e-12)
    assert read["P1"][0, 3] / read["P1"][0, 0] == pytest.approx(-0.54)


def test_projections_of_the_object_set(shared_data):
    read = kitti.read_projections(shared_data / "kitti_lidar" / "calib" / "000000.txt")
    assert list(read) == ["P0", "P1", "P2", "P3"]
    np.testing.assert_array_equal(read["P2"][0], [707.0493, 0, 604.0814, 45.75831])


def test_projections_of_the_raw_set(tmp_path):
    (tmp_path / "calib_cam_to_cam.txt").write_text("calib_time: 09-Jan-2012\nS_00: 1.0 2.0\n"
                                                   "P_rect_00: 7 0 6 0 0 7 2 0 0 0 1 0\n")
    read = kitti.read_projections(tmp_path / "calib_cam_to_cam.txt")
    np.testing.assert_array_equal(read["P_rect_00"], [[7, 0, 6, 0], [0, 7, 2, 0], [0, 0, 1, 0]])


@pytest.mark.parametrize("text", ["", "R0: 1 2 3", "P0: 1 2 3", "P0: 0 0 0 0 0 1 0 0 0 0 1 0",
                                  "P0: 1 0 nan 0 0 1 0 0 0 0 1 0", "P0 1 0 0 0 0 1 0 0 0 0 1 0", "\xff\xfe"])
def test_what_is_no_projection_is_refused(tmp_path, text):
    (tmp_path / "calib.txt").write_text(text, encoding="latin-1")
    with pytest.raises(InputError):
        kitti.read_projections(tmp_path / "calib.txt")
    with pytest.raises(InputError):
        kitti.read_projections(tmp_path / "none.txt")
