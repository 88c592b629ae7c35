import cv2
import numpy as np
import pytest

from epipole.formats.opencv_yaml import read_calibration, write_calibration
from epipole.geometry.fisheye import Fisheye
from epipole.types.errors import InputError
from tests.formats.cameras import CALIBRATIONS, POINT, assert_equal, pixel

OPENCV = ["pinhole", "brown", "brown_k3", "fisheye"]


@pytest.mark.parametrize("name", OPENCV)
def test_calibration_comes_back(tmp_path, name):
    write_calibration(tmp_path / "c.yml", CALIBRATIONS[name])
    assert_equal(read_calibration(tmp_path / "c.yml"), CALIBRATIONS[name])


@pytest.mark.parametrize("name", OPENCV)
def test_opencv_reads_it_and_projects_where_we_do(tmp_path, name):
    write_calibration(tmp_path / "c.yml", CALIBRATIONS[name])
    theirs = cv2.FileStorage(str(tmp_path / "c.yml"), cv2.FILE_STORAGE_READ)
    K, D = (theirs.getNode(key).mat() for key in ("camera_matrix", "distortion_coefficients"))
    assert (theirs.getNode("image_width").real(), theirs.getNode("image_height").real()) == (320, 240)
    point, none = POINT[None, None], np.zeros(3)
    if isinstance(CALIBRATIONS[name].camera, Fisheye):
        assert theirs.getNode("fisheye_model").real() == 1
        expected, _ = cv2.fisheye.projectPoints(point, none, none, K, D)
    else:
        expected, _ = cv2.projectPoints(point, none, none, K, D)
    np.testing.assert_allclose(pixel(CALIBRATIONS[name].camera), expected.flatten(), atol=1e-7)


@pytest.mark.parametrize("count", [4, 5, 8, 14])
def test_what_opencv_writes_is_read(tmp_path, count):
    K, D = np.array([[250.0, 0, 161], [0, 240, 119], [0, 0, 1]]), np.zeros((1, count))
    D[0, :5] = [-0.2, 0.07, 1e-3, -2e-3, 0.01][:count]
    storage = cv2.FileStorage(str(tmp_path / "c.yml"), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 320)
    storage.write("image_height", 240)
    storage.write("camera_matrix", K)
    storage.write("distortion_coefficients", D)
    storage.release()
    expected, _ = cv2.projectPoints(POINT[None, None], np.zeros(3), np.zeros(3), K, D)
    np.testing.assert_allclose(pixel(read_calibration(tmp_path / "c.yml").camera), expected.flatten(), atol=1e-9)


def test_a_camera_info_of_ros_is_read(tmp_path):
    (tmp_path / "c.yaml").write_text("""image_width: 320
image_height: 240
camera_matrix: {rows: 3, cols: 3, data: [250, 0, 161, 0, 240, 119, 0, 0, 1]}
distortion_model: equidistant
distortion_coefficients: {rows: 1, cols: 4, data: [0.1, 0.02, 0, 0]}
""")
    read = read_calibration(tmp_path / "c.yaml")
    assert isinstance(read.camera, Fisheye)
    assert float(read.camera.k2) == 0.02
    assert read.K.tolist() == [[250, 0, 161], [0, 240, 119], [0, 0, 1]]


@pytest.mark.parametrize("text", ["", "[", "a: 1", "%YAML:1.0\n---\nimage_width: 3\n", "camera_matrix: 3"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "c.yml").write_text(text)
    with pytest.raises(InputError):
        read_calibration(tmp_path / "c.yml")
    with pytest.raises(InputError):
        read_calibration(tmp_path / "none.yml")


@pytest.mark.parametrize("coefficients", [[0, 0, 0, 0, 0, 0.1, 0, 0], [0] * 15, [0, 0, 0, float("nan")]])
def test_coefficients_that_we_do_not_have_are_refused(tmp_path, coefficients):
    D = str(coefficients).replace("nan", ".nan")
    (tmp_path / "c.yml").write_text(f"image_width: 3\nimage_height: 2\ndistortion_coefficients: {{data: {D}}}\n"
                                    "camera_matrix: {data: [1, 0, 1, 0, 1, 1, 0, 0, 1]}\n")
    with pytest.raises(InputError):
        read_calibration(tmp_path / "c.yml")


def test_a_unified_camera_cannot_be_written(tmp_path):
    with pytest.raises(TypeError):
        write_calibration(tmp_path / "c.yml", CALIBRATIONS["unified"])
