import numpy as np
import pytest

from epipole.formats import kitti, tum
from epipole.formats.track import read_speed, read_track
from epipole.types.errors import InputError

TIMES = np.array([0.0, 0.5, 1.5, 2.0])
PLACES = np.array([[0.0, 0, 0], [1, 0, 2], [3, -1, 4], [4, 0, 9]])


def poses() -> np.ndarray:
    T = np.tile(np.eye(4), (4, 1, 1))
    T[:, :3, 3] = PLACES
    return T


@pytest.mark.parametrize("layout", ["kitti", "tum", "t x y z", "x y z"])
def test_every_layout_tells_the_same_places(tmp_path, layout):
    path = tmp_path / "track.txt"
    match layout:
        case "kitti":
            kitti.write_poses(path, poses())
        case "tum":
            tum.write(path, TIMES, poses())
        case "t x y z":
            np.savetxt(path, np.c_[TIMES, PLACES])
        case _:
            np.savetxt(path, PLACES)
    track = read_track(path)
    np.testing.assert_allclose(track.positions, PLACES, atol=1e-9)
    assert (track.times is None) == (layout in ("kitti", "x y z"))
    np.testing.assert_allclose(track.at(np.arange(4.0)), PLACES, atol=1e-9)     # line by line


def test_places_between_times_are_interpolated_and_unknown_beyond(tmp_path):
    np.savetxt(tmp_path / "t.txt", np.c_[TIMES, PLACES])
    there = read_track(tmp_path / "t.txt").at(np.array([-0.1, 0.25, 1.0, 1.75, 2.1]))
    np.testing.assert_allclose(there[1:4], [[0.5, 0, 1], [2, -0.5, 3], [3.5, -0.5, 6.5]])
    assert np.isnan(there[[0, 4]]).all()


def test_what_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "t.txt"
    np.savetxt(path, PLACES)
    with pytest.raises(InputError):
        read_track(path).at(np.arange(9.0))
    for table in (np.c_[TIMES[::-1], PLACES], np.ones((3, 5))):
        np.savetxt(path, table)
        with pytest.raises(InputError):
            read_track(path)


def test_speed_between_times(tmp_path):
    np.savetxt(tmp_path / "v.txt", np.c_[TIMES, [0.0, 1, 3, 3]])
    np.testing.assert_allclose(read_speed(tmp_path / "v.txt", np.array([0.25, 1.0, 1.9])), [0.5, 2, 3])
    assert np.isnan(read_speed(tmp_path / "v.txt", np.array([2.5]))).all()
