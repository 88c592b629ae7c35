"""What is known in metres is held against a clip before it is learned."""

import numpy as np
import pytest

from epipole.recipes.find_scale import check_fits, check_readable
from epipole.recipes.scale_tracks import Clip, fixes, readings
from epipole.types.errors import InputError
from epipole.types.known import Known

CLIP = Clip(np.arange(30) / 10, True, (64, 48))
UNTIMED = CLIP._replace(timestamps=np.arange(30.0), timed=False)


@pytest.mark.parametrize("known", [Known(height=1.65), Known(speed=2.0),
                                   Known(distance=(29.0, 0.0, 0.0, 63.0, 47.0, 1.0))])
def test_what_can_be_is_let_pass(known):
    check_readable(known)
    check_fits(known, CLIP)


@pytest.mark.parametrize("distance", [(30, 1, 1, 2, 2, 1), (-1, 1, 1, 2, 2, 1), (0, 64, 1, 2, 2, 1),
                                      (0, 1, -1, 2, 2, 1), (0, 3, 3, 3, 3, 1)])
def test_frames_and_pixels_that_there_are_not(distance):
    with pytest.raises(InputError):
        check_fits(Known(distance=tuple(map(float, distance))), CLIP)


def test_positions_have_to_be_the_clips(tmp_path):
    file = tmp_path / "track.txt"
    known = Known(poses=file)
    with pytest.raises(InputError, match=r"track\.txt"):
        check_readable(known)
    np.savetxt(file, np.c_[np.arange(4) + 0.5, np.eye(4)[:, :3]])
    check_readable(known)
    check_fits(known, CLIP)
    check_fits(known, UNTIMED)  # by the number of the frame
    np.savetxt(file, np.c_[np.arange(4) + 100, np.eye(4)[:, :3]])
    with pytest.raises(InputError, match="in common"):
        check_fits(known, CLIP)
    np.savetxt(file, np.eye(4)[:, :3])
    with pytest.raises(InputError, match="4 lines and the clip 30"):
        check_fits(known, CLIP)
    np.savetxt(file, np.ones((30, 3)))
    with pytest.raises(InputError, match="does not move"):
        check_fits(known, CLIP)


def test_speed_needs_times_and_a_second_of_motion(tmp_path):
    with pytest.raises(InputError, match="fps=N"):
        check_fits(Known(speed=2.0), UNTIMED)
    check_fits(Known(speed=2.0, fps=10.0), UNTIMED)
    with pytest.raises(InputError, match="second"):
        check_fits(Known(speed=2.0, fps=40.0), UNTIMED)
    file = tmp_path / "speed.txt"
    for speed, fine in ((3.0, True), (0.0, False)):
        np.savetxt(file, [[0, speed], [5, speed]])
        if fine:
            check_fits(Known(speed=file), CLIP)
        else:
            with pytest.raises(InputError, match="motion"):
                check_fits(Known(speed=file), CLIP)


def metres_north(metres: np.ndarray) -> np.ndarray:
    """Latitudes near Zurich."""
    return 47.37 + metres / 111_190


def write_fixes(file, times: np.ndarray, metres: np.ndarray) -> None:
    np.savetxt(file, np.c_[times, metres_north(metres), np.full(len(times), 8.54)], fmt="%.12g")


def test_fixes_are_matched_by_their_times(tmp_path):
    """A fix tells where the camera was between two frames; those before and after the clip tell nothing."""
    file = tmp_path / "track.txt"
    times = np.arange(40) / 4 + 100.05
    write_fixes(file, times, 3 * np.arange(40.0))
    found = fixes(Known(gps=file, start=103.0), CLIP)
    inside = (times >= 103) & (times <= 105.9)
    np.testing.assert_allclose(found.frames, 10 * (times[inside] - 103), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(np.diff(found.metres, axis=0), axis=1), 3, rtol=1e-3)
    path = np.tile(np.eye(4), (30, 1, 1))
    path[:, 0, 3] = 12 * CLIP.timestamps
    np.testing.assert_allclose(np.diff(found.along(path)[:, 0]), 3, atol=1e-6)


def test_fixes_have_to_be_the_clips(tmp_path):
    file = tmp_path / "track.txt"
    known = Known(gps=file)
    with pytest.raises(InputError, match=r"track\.txt"):
        check_readable(known)
    write_fixes(file, np.arange(9) / 2, 3 * np.arange(9.0))
    check_readable(known)
    check_fits(known, CLIP)
    for start, clip, said in ((-4.0, CLIP, "start=S"), (4.0, CLIP, "start=S"), (None, UNTIMED, "fps=N")):
        with pytest.raises(InputError, match=said):
            check_fits(Known(gps=file, start=start), clip)
    check_fits(Known(gps=file, fps=10.0), UNTIMED)
    noise = np.random.default_rng(0).normal(size=9)
    write_fixes(file, np.arange(9) / 2, noise)
    with pytest.raises(InputError, match="tremble"):
        check_fits(known, CLIP)
    write_fixes(file, 100 + np.arange(30), 3 * np.arange(30.0) + np.random.default_rng(0).normal(size=30))
    check_fits(known, UNTIMED)  # as many as frames


def test_readings_are_in_the_cameras_axes_and_time(tmp_path):
    """A sensor whose x axis is the camera's y axis, and whose clock is 50 s ahead."""
    t, file = np.arange(0, 12, 0.02), tmp_path / "imu.csv"
    np.savetxt(file, np.c_[t + 50, np.zeros((len(t), 3)), 3 * np.sin(2 * t), np.zeros(len(t)), np.full(len(t), 9.81)])
    T = np.eye(4)
    T[:2, :2], T[0, 3] = [[0, -1], [1, 0]], 0.1
    np.savetxt(tmp_path / "T_camera_imu.txt", T)
    clip = Clip(np.arange(120) / 10, True, (64, 48))
    known = Known(imu=file, start=50.0)
    covered, times, read = readings(known, clip)
    assert covered.all()
    np.testing.assert_allclose(times, clip.timestamps)
    np.testing.assert_allclose(read.times, t, atol=1e-9)
    np.testing.assert_allclose(read.force, np.c_[np.zeros(len(t)), 3 * np.sin(2 * t), np.full(len(t), 9.81)], atol=1e-9)
    np.testing.assert_allclose(read.lever, [0.1, 0, 0])
    check_readable(known)
    check_fits(known, clip)


def test_readings_have_to_be_the_clips(tmp_path):
    t, file = np.arange(0, 12, 0.02), tmp_path / "imu.csv"
    known, clip = Known(imu=file), Clip(np.arange(120) / 10, True, (64, 48))
    with pytest.raises(InputError, match=r"imu\.csv"):
        check_readable(known)
    np.savetxt(file, np.c_[t, np.zeros((len(t), 5)), np.full(len(t), 9.81)])
    check_readable(known)
    for wrong, there, said in ((known, clip, "too evenly"), (Known(imu=file, start=99.0), clip, "start=S"),
                               (known, clip._replace(timed=False), "fps=N"), (known, CLIP, "imu")):
        with pytest.raises(InputError, match=said):
            check_fits(wrong, there)
