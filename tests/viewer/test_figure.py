import cv2
import numpy as np
import pytest

from epipole.types.errors import InputError
from epipole.viewer.figure import render_cloud, turned, write_figure
from epipole.viewer.run_folder import Cloud


def test_writes_a_picture_with_the_footage_in_it(run_folder, tmp_path):
    vivid = np.zeros((48, 64, 3), np.uint8)
    vivid[..., 1] = 255
    out = write_figure(run_folder, tmp_path / "overview.png", ((i, vivid) for i in range(12)))
    image = cv2.imread(str(out))
    green = (image[..., 1] > 240) & (image[..., 0] < 30) & (image[..., 2] < 30)
    assert image.shape[1] > 1000
    assert green.mean() > 0.05


@pytest.mark.parametrize("name", ["log_variance.npz", "cloud.ply", "path_kitti.txt", "depth.npz"])
def test_missing_pieces_stay_blank(run_folder, tmp_path, name):
    (run_folder / name).unlink()
    assert write_figure(run_folder, tmp_path / "overview.png").stat().st_size > 10_000


def test_nothing_to_show_is_refused(run_folder, tmp_path):
    for name in ("depth.npz", "path_kitti.txt"):
        (run_folder / name).unlink()
    with pytest.raises(InputError):
        write_figure(run_folder, tmp_path / "overview.png")


def test_nearer_points_hide_farther_ones():
    ring = np.random.default_rng(0).normal(0, 0.3, (200, 3))
    points = np.concatenate([ring, -ring, [[0, 0, -0.9]], [[0, 0, 0.9]]]).astype(np.float32)
    colours = np.full((402, 3), 90, np.uint8)
    colours[400], colours[401] = (255, 0, 0), (0, 255, 0)
    image = render_cloud(Cloud(points, colours, 402), 120, 80, yaw=0.0, pitch=0.0).reshape(-1, 3).tolist()
    assert [255, 0, 0] in image
    assert [0, 255, 0] not in image


def test_turned_is_a_rotation_that_looks_down_when_tilted():
    R = turned(0.4, 0.7)
    assert np.allclose(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1)
    assert R[2, 1] == pytest.approx(np.sin(0.7))  # forward has a part along +y, which is down
