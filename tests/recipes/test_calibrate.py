"""Cameras found again from chessboards that are rendered through them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from epipole.formats import kitti, opencv_yaml
from epipole.formats.calibration import build
from epipole.formats.colmap_cameras import read_cameras
from epipole.geometry.brown_conrady import BrownConrady
from epipole.geometry.camera import pixel_grid
from epipole.geometry.fisheye import Fisheye
from epipole.geometry.lenses import Camera, Pinhole, rays, resize
from epipole.geometry.motion import so3_exp
from epipole.recipes.calibrate import calibrate, largest_tilt
from epipole.sources.board import Board, Seen, corners_in, different
from epipole.sources.plain import camera_matrix
from epipole.types.errors import InputError

WIDTH, HEIGHT, FINE = 288, 240, 2       # FINE: samples of a pixel along each side
BOARD = Board(7, 5, 0.03)
FOCAL, CENTRE = (238.0, 234.0), (146.0, 117.0)
LENSES = {
    "straight": build(Pinhole, FOCAL, CENTRE, {}, ""),
    "perspective": build(BrownConrady, FOCAL, CENTRE, {"k1": -0.28, "k2": 0.09, "p1": 1e-3}, ""),
    "fisheye": build(Fisheye, (90.0, 89.0), CENTRE, {"k1": -0.03, "k2": 0.006}, ""),
}


Pose = tuple[torch.Tensor, torch.Tensor]


def shown(ray: torch.Tensor, R: torch.Tensor, t: torch.Tensor) -> np.ndarray:
    """The board, with a white rim, on grey: where the ray of every pixel meets its plane."""
    n = R[:, 2]
    away = (n @ t) / torch.einsum("c,chw->hw", n, ray)
    x, y, _ = torch.einsum("ic,ihw->chw", R, ray * away - t[:, None, None]) / BOARD.square
    inside = (x > -1) & (x < BOARD.columns) & (y > -1) & (y < BOARD.rows) & (away > 0)
    rim = (x > -2) & (x < BOARD.columns + 1) & (y > -2) & (y < BOARD.rows + 1) & (away > 0)
    dark = inside & ((x.floor() + y.floor()) % 2 == 0)
    picture = torch.where(dark, 20.0, torch.where(rim, 235.0, 128.0))
    small = picture.view(HEIGHT, FINE, WIDTH, FINE).mean((1, 3)).numpy()
    noise = np.random.default_rng(0).normal(0, 2, small.shape)
    return np.repeat(np.clip(small + noise, 0, 255).astype(np.uint8)[..., None], 3, 2)


def poses(spread: float, tilt: float, z: float) -> list[Pose]:
    """Boards in twelve places of the picture, tilted to all sides, those at the side turned to the camera."""
    out = []
    middle = torch.tensor([(BOARD.columns - 1) / 2, (BOARD.rows - 1) / 2, 0], dtype=torch.float64) * BOARD.square
    for k, (x, y) in enumerate([(0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1), (0, -1), (0, 1), (-1, 0), (1, 0), (0, 0),
                                (0.5, 0.5), (-0.5, 0.5)]):
        at = torch.tensor([spread * x, 0.7 * spread * y, z + 0.02 * (k % 3)], dtype=torch.float64)
        facing = torch.tensor([-at[1], at[0], 0], dtype=torch.float64) / z * min(1.0, tilt)
        leaning = torch.tensor([tilt * np.cos(2.4 * k), tilt * np.sin(2.4 * k), 0.4 * tilt * (k % 3)])
        R = so3_exp(facing) @ so3_exp(leaning.double())
        out.append((R, at - R @ middle))
    return out


def write_clip(folder: Path, camera: Camera, boards: list[Pose]) -> Path:
    folder.mkdir()
    ray = rays(pixel_grid(HEIGHT * FINE, WIDTH * FINE, camera.K), resize(camera, float(FINE), float(FINE)))[0]
    for k, (R, t) in enumerate(boards):
        cv2.imwrite(str(folder / f"{k:06d}.png"), shown(ray, R, t))
    return folder


NEAR, WIDE = (0.09, 0.5, 0.38), (0.22, 0.5, 0.16)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("boards")
    return {name: write_clip(at / name, camera, poses(*(WIDE if name == "fisheye" else NEAR)))
            for name, camera in LENSES.items()}


@pytest.mark.parametrize("name", LENSES)
def test_the_camera_is_found_again(clips, tmp_path, name):
    true = LENSES[name]
    report = calibrate(clips[name], tmp_path / "camera", BOARD)
    found = report.calibration.camera
    assert type(found) is type(true)
    assert report.error < 0.15
    assert report.views >= 8
    assert report.sightings.looked_at == 12
    assert 0.3 < report.coverage <= 1
    assert report.bend == pytest.approx(0, abs=1e-9) if name == "straight" else report.bend > 3
    np.testing.assert_allclose(found.K.numpy(), true.K.numpy(), rtol=0.015, atol=2.0)
    grid = pixel_grid(HEIGHT, WIDTH, true.K)[:, 20:-20:8, 20:-20:8]
    away = rays(grid, found)[0] - rays(grid, true)[0]
    assert float(away.norm(dim=0).mean()) < 0.008            # radians
    assert f"{report.error:.3f} px" in report.text()


def test_every_reader_reads_what_is_written(clips, tmp_path):
    report = calibrate(clips["perspective"], tmp_path / "camera", BOARD, lens="perspective")
    K = report.calibration.K
    np.testing.assert_allclose(camera_matrix(tmp_path / "camera" / "intrinsics.txt"), K)    # what learn reads
    np.testing.assert_allclose(kitti.read_intrinsics(tmp_path / "camera" / "intrinsics.txt"), K)
    for read in (opencv_yaml.read_calibration(tmp_path / "camera" / "camera.yaml"),
                 read_cameras(tmp_path / "camera" / "cameras.txt")[1]):
        assert (read.width, read.height) == (WIDTH, HEIGHT)
        np.testing.assert_allclose([float(x.sum()) for x in read.camera],
                                   [float(x.sum()) for x in report.calibration.camera], rtol=1e-9)
    theirs = cv2.FileStorage(str(tmp_path / "camera" / "camera.yaml"), cv2.FILE_STORAGE_READ)
    np.testing.assert_allclose(theirs.getNode("camera_matrix").mat(), K)


def test_views_that_show_too_little_are_refused(clips, tmp_path):
    with pytest.raises(InputError, match="no board of 9x6"):
        calibrate(clips["straight"], tmp_path / "c", Board(9, 6))
    with pytest.raises(InputError, match="too small"):
        calibrate(clips["straight"], tmp_path / "c", Board(2, 2))
    with pytest.raises(InputError, match="lens"):
        calibrate(clips["straight"], tmp_path / "c", BOARD, lens="pinhole")
    flat = write_clip(tmp_path / "flat", LENSES["straight"], poses(0.09, 0.0, 0.38))
    with pytest.raises(InputError, match="tilt"):
        calibrate(flat, tmp_path / "c", BOARD)
    still = write_clip(tmp_path / "still", LENSES["straight"], 8 * poses(*NEAR)[:1])
    with pytest.raises(InputError, match="different places"):
        calibrate(still, tmp_path / "c", BOARD)
    assert not (tmp_path / "c").exists()


def test_corners_are_where_they_are_projected(clips):
    R, t = poses(*NEAR)[1]
    seen = corners_in(cv2.imread(str(clips["straight"] / "000001.png")), BOARD)
    X = torch.from_numpy(BOARD.points).double() @ R.T + t
    true = (X[:, :2] / X[:, 2:] * torch.tensor(FOCAL) + torch.tensor(CENTRE)).numpy()
    miss = min(np.abs(seen - true).max(), np.abs(seen[::-1] - true).max())
    assert miss < 0.25


@pytest.mark.parametrize("angle", [0.0, 0.3, 0.7])
def test_tilt_is_how_far_a_board_is_foreshortened(angle):
    X = torch.from_numpy(BOARD.points).double() @ so3_exp(torch.tensor([angle, 0, 0], dtype=torch.float64)).T
    x = (X[:, :2] / (X[:, 2:] + 2) * 500 + 100).float().numpy()
    assert largest_tilt([Seen(0, x)], BOARD) == pytest.approx(np.degrees(angle), abs=2)


def test_views_alike_are_left_out():
    corners = BOARD.points[:, :2] * 1000
    views = [Seen(i, corners + np.float32(40 * (i // 3))) for i in range(9)]
    turned = Seen(9, views[0].corners[::-1].copy())
    kept = different([*views, turned], 320.0)
    assert sorted(view.frame // 3 for view in kept) == [0, 1, 2]
