"""The live page of a synthetic run, asked as a browser would ask; what it shows is read back from the scene."""

import builtins
import shutil
import socket
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from epipole.formats import mesh
from epipole.types.errors import InputError
from epipole.viewer.live import serve
from epipole.viewer.marks import MOVED
from epipole.viewer.measured import Points
from epipole.viewer.run_folder import RunFolder
from tests.viewer.synthetic_run import ROOM, path, write_run

FRAMES = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    run = write_run(tmp_path_factory.mktemp("live") / "run", FRAMES)
    corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1]], np.float32)
    mesh.write_glb(run / "mesh.glb", corners, np.array([[0, 1, 2]]), np.full((3, 3), 200, np.uint8))
    return run


@pytest.fixture
def page(folder):
    pytest.importorskip("viser")
    page = serve(folder, free_port())
    yield page
    page.stop()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_browser_gets_a_page_on_this_machine_alone(page):
    with urllib.request.urlopen(page.address, timeout=20) as answer:
        assert answer.status == 200
        assert "<html" in answer.read().decode().lower()
    assert page.address.startswith("http://127.0.0.1:")
    assert page.server.get_host() == "127.0.0.1"


def test_every_layer_is_in_the_scene(page):
    assert set(page.layers) == set(page.boxes) == {"path", "cameras", "map", "mesh", "measured", "frame"}
    lines = page.layers["path"].points
    assert lines.shape == (FRAMES - 1, 2, 3)
    np.testing.assert_allclose(lines[:, 0], path(FRAMES)[:-1, :3, 3], atol=1e-5)
    assert len(page.layers["map"].points) == len(RunFolder(page.run.folder).cloud(10**9).points)
    assert page.layers["mesh"].visible
    assert not page.layers["map"].visible


def test_measured_points_lie_on_the_walls_and_the_surest_come_first(page):
    off = np.abs(np.abs(page.measured.points) - ROOM).min(1)
    assert off.max() < 0.01
    few, many = (page.measured.surest(percent) for percent in (20.0, 80.0))
    assert len(few.points) < len(many.points) < len(page.measured.points)
    assert few.log_variance.max() <= many.log_variance.max()
    page.sift(20.0)
    assert len(page.layers["measured"].points) == len(few.points)


def test_the_timeline_turns_the_page(page):
    before = [np.array(picture.image) for picture in page.pictures.values()]
    page.show(FRAMES - 1)
    after = [np.array(picture.image) for picture in page.pictures.values()]
    assert len(before) == 3  # footage, depth, uncertainty
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    assert f"Frame {FRAMES - 1}" in page.clock.content


def test_marks_are_laid_over_the_pictures(page):
    page.show(3)
    plain = {name: np.array(picture.image) for name, picture in page.pictures.items()}
    page.marks[MOVED].value = True
    page.show(3)
    for name, picture in page.pictures.items():
        changed = (picture.image != plain[name]).any(-1)
        assert changed[50:100, 100:180].mean() > 0.3
        assert changed[50:100, 100:180].sum() == changed.sum()
    assert "Moved or not confirmed: 5.2 %" in page.clock.content
    page.show(4)
    assert "Moved or not confirmed: not a key frame" in page.clock.content


def test_lengths_and_what_the_map_lacks_are_said(page):
    assert "up to one unknown factor" in page.words.content
    assert "70 % entered the cloud" in page.words.content


def test_looking_through_a_camera_stands_where_the_frame_was_taken(page):
    page.show(3)
    browser = SimpleNamespace()
    page.look(browser)
    np.testing.assert_allclose(browser.position, path(FRAMES)[3, :3, 3], atol=1e-6)
    np.testing.assert_allclose(page.layers["frame"].wxyz, browser.wxyz)
    assert browser.fov == pytest.approx(2 * np.arctan(60 / 110))
    assert not page.layers["frame"].visible


def test_the_first_view_has_the_scene_before_it(page):
    camera = page.server.initial_camera
    ahead = (camera.look_at - camera.position) / np.linalg.norm(camera.look_at - camera.position)
    assert ahead @ path(FRAMES)[:, :3, 2].mean(0) > 0.5
    assert ahead[1] > 0.1  # y points down
    assert ((page.path[:, :3, 3] - camera.position) @ ahead > 0).all()


def test_a_folder_without_path_or_viser_is_refused_in_words(folder, tmp_path, monkeypatch):
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "path_kitti.txt").unlink()
    real = builtins.__import__

    def without_viser(name, *rest, **options):
        if name == "viser":
            raise ImportError(name)
        return real(name, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without_viser)
        with pytest.raises(InputError, match="pip install"):
            serve(folder)
    pytest.importorskip("viser")
    with pytest.raises(InputError, match="path"):
        serve(bare, free_port())


def test_pictures_that_are_missing_leave_the_rest(folder, tmp_path):
    pytest.importorskip("viser")
    bare = shutil.copytree(folder, tmp_path / "bare")
    for name in ("work", "mask.npz", "depth.npz", "log_variance.npz", "cloud.ply", "mesh.glb"):
        (shutil.rmtree if (bare / name).is_dir() else Path.unlink)(bare / name)
    page = serve(bare, free_port())
    assert set(page.layers) == {"path", "cameras", "frame"}
    assert page.pictures == page.marks == {}
    page.sift(50.0)
    page.show(2)
    page.stop()


def test_the_surest_of_points():
    points = Points(np.zeros((4, 3)), np.zeros((4, 3), np.uint8), np.array([3.0, 1, 4, 2]))
    assert sorted(points.surest(50.0).log_variance) == [1, 2]
    assert len(points.surest(100.0).points) == 4
