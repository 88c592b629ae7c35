import numpy as np
import pycolmap
import pytest

from epipole.formats.colmap_cameras import MODELS, read_cameras, write_cameras
from epipole.geometry.unified import ExtendedUnified
from epipole.types.errors import InputError
from tests.formats.cameras import CALIBRATIONS, POINT, assert_equal, pixel

COEFFICIENTS = [-0.2, 0.07, 1e-3, -2e-3]  # of any model with as many or fewer


def test_cameras_come_back(tmp_path):
    given = {n: c for n, (name, c) in enumerate(CALIBRATIONS.items(), 3) if name != "unified"}
    write_cameras(tmp_path / "cameras.txt", given)
    read = read_cameras(tmp_path / "cameras.txt")
    assert list(read) == list(given)
    for number, calibration in given.items():
        assert_equal(read[number], calibration)


def test_a_unified_camera_comes_back_as_an_extended_one(tmp_path):
    write_cameras(tmp_path / "cameras.txt", {1: CALIBRATIONS["unified"]})
    camera = read_cameras(tmp_path / "cameras.txt")[1].camera
    assert isinstance(camera, ExtendedUnified)
    np.testing.assert_allclose(pixel(camera), pixel(CALIBRATIONS["unified"].camera), atol=1e-12)


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_pycolmap_projects_where_we_do(tmp_path, name):
    write_cameras(tmp_path / "cameras.txt", {1: CALIBRATIONS[name]})
    for file in ("images.txt", "points3D.txt"):
        (tmp_path / file).write_text("")
    theirs = pycolmap.Reconstruction(tmp_path).cameras[1]
    np.testing.assert_allclose(theirs.img_from_cam(POINT).flatten(), pixel(CALIBRATIONS[name].camera) + 0.5, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_of_theirs_means_the_same(tmp_path, model):
    focals, _, names = MODELS[model]
    coefficients = [0.6, 1.2] if model == "EUCM" else [*COEFFICIENTS, 0, 0, 0, 0][:len(names)]
    theirs = pycolmap.Camera(model=model, width=320, height=240,
                             params=[*[250.0, 240.0][:focals], 161.0, 119.0, *coefficients])
    line = " ".join(map(repr, theirs.params.tolist()))
    (tmp_path / "cameras.txt").write_text(f"# a comment\n7 {model} 320 240 {line}\n")
    ours = read_cameras(tmp_path / "cameras.txt")[7]
    np.testing.assert_allclose(pixel(ours.camera) + 0.5, theirs.img_from_cam(POINT).flatten(), atol=1e-9)


@pytest.mark.parametrize("line", ["1", "1 PINHOLE 3 2 1 1 1", "1 PINHOLE 3 2 1 1 x 1", "1 PINHOLE 3 2 0 1 1 1",
                                  "1 PINHOLE 3 2 nan 1 1 1", "1 FOV 3 2 1 1 1 1 0.9", "x PINHOLE 3 2 1 1 1 1",
                                  "1 FULL_OPENCV 3 2 1 1 1 1 0 0 0 0 0 0.1 0 0"])
def test_other_lines_are_refused(tmp_path, line):
    (tmp_path / "cameras.txt").write_text(line + "\n")
    with pytest.raises(InputError):
        read_cameras(tmp_path / "cameras.txt")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError):
        read_cameras(tmp_path / "cameras.txt")
