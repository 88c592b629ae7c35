"""Readings of inertial sensors in the files that worlds and loggers write."""

import numpy as np
import pytest

from epipole.formats.inertial import MOUNTING, read_imu
from epipole.formats.numbers import write_table
from epipole.sources.worlds.clip_truths import write_imu
from epipole.sources.worlds.imu import Errors, measure
from epipole.sources.worlds.spec import Spec
from epipole.sources.worlds.world import World
from epipole.types.errors import InputError

TABLE = np.arange(28.0).reshape(4, 7)


@pytest.mark.parametrize("layout", ["spaces", "commas", "names", "biases"])
def test_every_layout_tells_the_same_readings(tmp_path, layout):
    file = tmp_path / "imu.csv"
    match layout:
        case "spaces":
            np.savetxt(file, TABLE, header="t w a")
        case "commas":
            np.savetxt(file, TABLE, delimiter=",")
        case _:
            more = TABLE if layout == "names" else np.c_[TABLE, np.ones((4, 6))]
            np.savetxt(file, more, delimiter=",", header="time,x,y", comments="")
    read = read_imu(file)
    np.testing.assert_array_equal(np.c_[read.times, read.gyro, read.force], TABLE)
    np.testing.assert_array_equal(read.T_camera_imu, np.eye(4))


def test_what_a_world_writes(tmp_path):
    world = World(Spec("room", difficulty=0, frames=12, width=16, height=16), {"image"})
    write_imu(world, tmp_path)
    read, imu = read_imu(tmp_path / "imu.csv"), measure(world.spec, world.path, errors=Errors())
    for name, values in (("times", imu.times), ("gyro", imu.gyro), ("force", imu.acceleration),
                         ("T_camera_imu", imu.T_camera_imu)):
        np.testing.assert_allclose(getattr(read, name), values, atol=1e-6)


@pytest.mark.parametrize("text", ["", "time,a\n", "1 2 3\n", "1 2 3 4 5 6 x\n", "1,2,3,4,5,6,7\n0,2,3,4,5,6,7\n"])
def test_other_files_are_one_sentence(tmp_path, text):
    (tmp_path / "imu.csv").write_text(text)
    with pytest.raises(InputError, match=r"imu\.csv") as error:
        read_imu(tmp_path / "imu.csv")
    assert "\n" not in str(error.value)


def test_a_mounting_is_a_rigid_motion(tmp_path):
    np.savetxt(tmp_path / "imu.csv", TABLE)
    for wrong in (2 * np.eye(4), np.eye(4)[:3], np.diag([1.0, 1, -1, 1])):
        write_table(tmp_path / MOUNTING, wrong)
        with pytest.raises(InputError, match=MOUNTING):
            read_imu(tmp_path / "imu.csv")
