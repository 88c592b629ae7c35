import numpy as np
import pytest

from epipole.viewer.viewpoint import Viewpoint, levelled, overview, turned
from tests.viewer.synthetic_run import path

ROOM = np.random.default_rng(0).uniform(-1, 1, (5000, 3)) * (2.2, 1.4, 3.0) + (0, 0, 4)


def seen(view: Viewpoint, points: np.ndarray) -> np.ndarray:
    """Tangents right and down, and the distance ahead."""
    at = (points @ view.level.T - view.centre) @ turned(view.yaw, view.pitch).T + (0, 0, view.distance)
    return np.c_[at[:, :2] / at[:, 2:], at[:, 2]]


def straight(length: float) -> np.ndarray:
    """A drive along z."""
    T = np.tile(np.eye(4), (50, 1, 1))
    T[:, 2, 3] = np.linspace(0, length, 50)
    return T


def test_turned_is_a_rotation_that_looks_down_when_tilted():
    R = turned(0.4, 0.7)
    assert np.allclose(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1)
    assert R[2, 1] == pytest.approx(np.sin(0.7))  # forward has a part along +y, which is down


@pytest.mark.parametrize("down", [(0, 1, 0), (0.3, 0.9, -0.5), (0.9, 0.1, 0.4)])
def test_level_puts_the_cameras_mean_down_on_y(down):
    T = path(20)
    T[:, :3, 1] = np.array(down) / np.linalg.norm(down)
    R = levelled(T)
    assert np.allclose(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1)
    assert np.allclose(R @ T[0, :3, 1], [0, 1, 0])


def test_cameras_without_a_common_down_leave_the_world_as_it_is():
    T = np.tile(np.eye(4), (4, 1, 1))
    for k, down in enumerate([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)]):
        T[k, :3, 1] = down
    assert np.array_equal(levelled(T), np.eye(3))
    T[:, :3, 1] = (0, -1, 0)
    assert np.array_equal(levelled(T), np.eye(3))


def test_all_cameras_and_the_bulk_of_the_map_are_in_sight_and_fill_it():
    at = seen(overview(ROOM, path(20)), np.concatenate([path(20)[:, :3, 3], ROOM]))
    cameras, points = at[:20], at[20:]
    assert (at[:, 2] > 0).all()
    assert (abs(cameras[:, :2]) < (0.89, 0.5)).all()
    inside = (abs(points[:, :2]) < (0.89, 0.5)).all(1)
    assert inside.mean() > 0.9
    assert (abs(points[inside, :2]) / (0.89, 0.5)).max() > 0.85


def test_the_eye_is_behind_the_cameras_and_above_them():
    view = overview(ROOM, straight(0.5))
    eye = view.centre - view.distance * turned(view.yaw, view.pitch)[2]
    assert eye[2] < 0
    assert eye[1] < 0  # y points down
    assert view.yaw == pytest.approx(0)


def test_a_long_drive_is_seen_from_aside_and_from_higher_up():
    road = np.random.default_rng(0).uniform(-1, 1, (5000, 3)) * (2, 1, 50) + (0, 0, 50)
    near, far = overview(ROOM, straight(0.5)), overview(road, straight(100))
    assert abs(far.yaw) > 0.5
    assert far.pitch > near.pitch + 0.2


def test_a_single_point_seen_by_one_camera_has_a_view():
    view = overview(np.zeros((1, 3)), np.eye(4)[None])
    assert np.isfinite([view.distance, view.yaw, view.pitch, *view.centre]).all()
    assert view.distance > 0
