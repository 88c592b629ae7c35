import numpy as np
import pytest
from evo.tools.file_interface import read_tum_trajectory_file

from epipole.formats import tum
from epipole.types.errors import InputError


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
