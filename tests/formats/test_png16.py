import cv2
import numpy as np
import pytest
from PIL import Image

from epipole.formats import png16
from epipole.types.errors import InputError


@pytest.fixture
def depth() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 10, (24, 32)).astype(np.float32)


def test_depth_comes_back_within_half_a_step(tmp_path, depth):
    png16.write(tmp_path / "d.png", depth, scale=5000.0)
    read, valid = png16.read(tmp_path / "d.png", scale=1.0)  # the file's own scale wins
    assert valid.all()
    assert np.abs(read - depth).max() <= 0.5 / 5000 + 1e-6


def test_unknown_depth_stays_unknown(tmp_path, depth):
    depth[0, :4] = [0, -1, np.nan, np.inf]
    png16.write(tmp_path / "d.png", depth, scale=5000.0)
    _, valid = png16.read(tmp_path / "d.png")
    assert not valid[0, :4].any()
    assert valid.sum() == depth.size - 4


def test_depth_beyond_the_range_is_kept_at_its_end_and_never_wraps(tmp_path, depth):
    depth[0, :2] = [1e-9, 1e9]
    png16.write(tmp_path / "d.png", depth, scale=1000.0)
    read, valid = png16.read(tmp_path / "d.png")
    assert valid.all()
    np.testing.assert_allclose(read[0, :2], [0.001, 65.535], rtol=1e-6)


def test_opencv_reads_the_same_values(tmp_path, depth):
    png16.write(tmp_path / "d.png", depth, scale=5000.0)
    seen = cv2.imread(str(tmp_path / "d.png"), cv2.IMREAD_UNCHANGED)
    assert seen.dtype == np.uint16
    np.testing.assert_array_equal(seen, np.round(depth.astype(np.float64) * 5000))


def test_a_file_of_opencv_is_read_with_the_scale_we_name(tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), np.array([[0, 1500]], np.uint16))
    read, valid = png16.read(tmp_path / "d.png", scale=1000.0)
    assert read[0, 1] == 1.5
    assert valid.tolist() == [[False, True]]
    with pytest.raises(InputError):
        png16.read(tmp_path / "d.png")


def test_other_images_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    Image.new("L", (4, 4)).save(tmp_path / "grey8.png")
    (tmp_path / "text.png").write_text("no image")
    for name in ("rgb.png", "grey8.png", "text.png", "none.png"):
        with pytest.raises(InputError):
            png16.read(tmp_path / name, scale=1000.0)


def test_a_cut_file_is_refused(tmp_path, depth):
    png16.write(tmp_path / "d.png", depth, scale=5000.0)
    whole = (tmp_path / "d.png").read_bytes()
    (tmp_path / "d.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError):
        png16.read(tmp_path / "d.png")


def test_another_unit_is_another_scale_and_the_same_pixels(tmp_path, depth):
    depth[0, 0] = 0
    png16.write(tmp_path / "d.png", depth, scale=5000.0)
    (tmp_path / "m.png").write_bytes(png16.rescaled((tmp_path / "d.png").read_bytes(), 12.5))
    (before, known), (after, still_known) = (png16.read(tmp_path / name) for name in ("d.png", "m.png"))
    np.testing.assert_allclose(after, 12.5 * before, rtol=1e-6)
    np.testing.assert_array_equal(known, still_known)
    np.testing.assert_array_equal(*(cv2.imread(str(tmp_path / n), cv2.IMREAD_UNCHANGED) for n in ("d.png", "m.png")))


def test_a_map_without_a_scale_has_no_other_unit(tmp_path, depth):
    Image.fromarray(depth.astype(np.uint16)).save(tmp_path / "d.png")
    for data in ((tmp_path / "d.png").read_bytes(), b"no picture", b""):
        with pytest.raises(InputError):
            png16.rescaled(data, 2.0)
