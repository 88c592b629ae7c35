"""The model as text and in binary, read by pycolmap, which finds the same in both."""

import shutil

import numpy as np
import pycolmap
import pytest
import torch

from epipole.formats import colmap, colmap_binary
from epipole.formats.calibration import build, pinhole
from epipole.formats.colmap import Model, Observations
from epipole.geometry.brown_conrady import BrownConrady
from epipole.geometry.motion import se3, so3_exp
from epipole.geometry.unified import ExtendedUnified
from epipole.types.errors import InputError

K = np.array([[60.0, 0, 31.5], [0, 58, 23.5], [0, 0, 1]])
POINTS = np.array([[0.1, 0.2, 3.0], [-0.4, 0.1, 2.5], [0.3, -0.2, 4.0]])
COLORS = np.array([[1, 2, 3], [40, 50, 60], [255, 0, 9]], np.uint8)
NAMES = ["a.jpg", "frames/b.jpg", "c.jpg"]
PAIRS = [(2, 0), (0, 1), (0, 0), (2, 2), (0, 2)]        # image and point, in no order; image 1 sees nothing
WORDS = "lengths: metres by the pföhl"


@pytest.fixture
def model(generator) -> Model:
    w, t = 0.1 * torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
    path = se3(so3_exp(w), t).numpy()
    pixels = np.array([projected(path, *pair) for pair in PAIRS], np.float32)
    return Model(pinhole(K, 64, 48), NAMES, path, POINTS, COLORS, Observations(*np.array(PAIRS).T, pixels))


def projected(path: np.ndarray, image: int, point: int) -> np.ndarray:
    x = K @ (np.linalg.inv(path[image]) @ np.append(POINTS[point], 1))[:3]
    return x[:2] / x[2]


@pytest.fixture(params=["text", "binary"])
def folder(request, tmp_path, model):
    if request.param == "text":
        colmap.write_model(tmp_path / "colmap", model, WORDS)
    else:
        colmap_binary.write_model(tmp_path / "colmap", model)
    assert len(list((tmp_path / "colmap").iterdir())) == 3
    return tmp_path / "colmap"


def test_pycolmap_reads_poses_points_and_tracks(folder, model):
    theirs = pycolmap.Reconstruction(folder)
    assert [theirs.images[i].name for i in (1, 2, 3)] == NAMES
    for i, T in enumerate(model.T_world_camera):
        np.testing.assert_allclose(theirs.images[i + 1].cam_from_world().matrix(), np.linalg.inv(T)[:3], atol=1e-12)
    for i in range(3):
        np.testing.assert_allclose(theirs.points3D[i + 1].xyz, POINTS[i])
        np.testing.assert_array_equal(theirs.points3D[i + 1].color, COLORS[i])
    tracks = {i: sorted(e.image_id for e in theirs.points3D[i].track.elements) for i in (1, 2, 3)}
    assert tracks == {1: [1, 3], 2: [1], 3: [1, 3]}
    for i, point in theirs.points3D.items():
        for element in point.track.elements:
            observed = theirs.images[element.image_id].points2D[element.point2D_idx]
            assert observed.point3D_id == i
            expected = projected(model.T_world_camera, element.image_id - 1, i - 1)
            np.testing.assert_allclose(observed.xy - 0.5, expected, atol=1e-4)
    assert len(theirs.images[2].points2D) == 0
    theirs.update_point_3d_errors()
    assert theirs.compute_mean_reprojection_error() < 1e-4


def test_pycolmap_projects_a_point_where_we_do(folder, model):
    image, camera_point = pycolmap.Reconstruction(folder).images[3], np.array([0.3, -0.2, 2.0])
    world_point = model.T_world_camera[2, :3, :3] @ camera_point + model.T_world_camera[2, :3, 3]
    np.testing.assert_allclose(image.project_point(world_point), (K @ camera_point)[:2] / 2.0 + 0.5, atol=1e-6)


def test_text_comes_back(tmp_path, model):
    for written in (model, model._replace(seen=colmap.UNSEEN), model._replace(points=POINTS[:0], colors=COLORS[:0],
                                                                             seen=colmap.UNSEEN)):
        colmap.write_model(tmp_path, written, WORDS)
        read = colmap.read_model(tmp_path)
        assert (*read.calibration[1:], read.names) == (64, 48, NAMES)
        np.testing.assert_allclose(read.calibration.K, K, rtol=1e-12)
        np.testing.assert_allclose(read.T_world_camera, model.T_world_camera, atol=1e-12)
        np.testing.assert_allclose(read.points, written.points, rtol=1e-8)
        np.testing.assert_array_equal(read.colors, written.colors)
        order = np.lexsort((written.seen.point, written.seen.image))
        for mine, its in zip(written.seen, read.seen, strict=True):
            np.testing.assert_array_equal(its, mine[order])


def test_words_stand_above_every_text(tmp_path, model):
    colmap.write_model(tmp_path, model, "something else")
    colmap.write_model(tmp_path, model, WORDS)
    for name in ("cameras.txt", "images.txt", "points3D.txt"):
        lines = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if line.startswith("#")] == [lines[0]] == [f"# {WORDS}"]


def test_a_model_of_another_camera_or_cut_off_is_refused(tmp_path, model):
    colmap.write_model(tmp_path / "whole", model)
    for name, cut in (("images.txt", -7), ("images.txt", -60), ("points3D.txt", -30)):
        folder = shutil.copytree(tmp_path / "whole", tmp_path / f"{name}{cut}")
        (folder / name).write_text((folder / name).read_text()[:cut])
        with pytest.raises(InputError, match="cut off"):
            colmap.read_model(folder)
    (tmp_path / "whole" / "cameras.txt").write_text("1 FOV 320 240 1 1 1 1 0\n")
    for folder in ("whole", "none"):
        with pytest.raises(InputError):
            colmap.read_model(tmp_path / folder)


def test_lenses(tmp_path, model):
    camera = build(BrownConrady, (60.0, 58.0), (31.5, 23.5), {"k1": -0.2, "p2": 0.01}, "")
    bent = model.calibration._replace(camera=camera)
    for write in (colmap.write_model, colmap_binary.write_model):
        write(tmp_path / write.__module__, model._replace(calibration=bent))
        camera = pycolmap.Reconstruction(tmp_path / write.__module__).cameras[1]
        assert camera.model.name == "OPENCV"
        np.testing.assert_allclose(camera.params, [60, 58, 32, 24, -0.2, 0, 0, 0.01])
    unified = model.calibration._replace(camera=build(ExtendedUnified, (60.0, 58.0), (31.5, 23.5), {}, ""))
    with pytest.raises(TypeError):
        colmap_binary.write_model(tmp_path, model._replace(calibration=unified))
