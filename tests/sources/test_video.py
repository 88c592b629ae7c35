"""Footage is streamed as it is: every frame once, upright, with its own time, and the same for files and folders."""

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from epipole.sources.footage import resized
from epipole.sources.video import open_footage
from tests.sources.clips import HEIGHT, WIDTH, walking, write_video


def marked(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frames whose brightness tells their number, with a red upper left and a green lower left quarter."""
    images = []
    for i in range(count):
        image = np.full((height, width, 3), 10 * i, np.uint8)
        image[: height // 2, : width // 2] = (255, 0, 0)
        image[height // 2 :, : width // 2] = (0, 255, 0)
        images.append(image)
    return images


def quarter(image: np.ndarray, row: int, column: int) -> str:
    h, w = image.shape[0] // 2, image.shape[1] // 2
    colour = image[row * h : row * h + h, column * w : column * w + w].mean((0, 1))
    return "red" if colour[0] > 180 > colour[1] + 60 else "green" if colour[1] > 180 > colour[0] + 60 else "gray"


def test_every_frame_comes_once_in_order_and_twice_the_same(tmp_path: Path) -> None:
    footage = open_footage(write_video(tmp_path / "a.mp4", marked(20)))
    frames = list(footage.read())
    levels = [float(image[:, 40:].mean()) for _, _, image in frames]
    assert [n for n, _, _ in frames] == list(range(20))
    np.testing.assert_allclose(levels, 10 * np.arange(20), atol=4)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(frames, footage.read(), strict=True))
    assert (footage.count(), footage.announced, footage.fps, footage.warnings) == (20, 20, 10.0, [])


@pytest.mark.parametrize(("width", "height"), [(64, 48), (321, 243), (1000, 16)])
def test_size_is_the_videos_own_also_when_odd(tmp_path: Path, width: int, height: int) -> None:
    footage = open_footage(write_video(tmp_path / "a.mp4", marked(2, width, height)))
    assert (footage.width, footage.height) == (width, height)
    assert {f.image.shape for f in footage.read()} == {(height, width, 3)}


@pytest.mark.parametrize(
    ("rotation", "shape", "red", "green"),
    [(0, (48, 64), (0, 0), (1, 0)), (-90, (64, 48), (0, 1), (0, 0)), (90, (64, 48), (1, 0), (1, 1)),
     (180, (48, 64), (1, 1), (0, 1))],
)  # fmt: skip
def test_display_matrix_turns_frames_upright(
    tmp_path: Path, rotation: int, shape: tuple[int, int], red: tuple[int, int], green: tuple[int, int]
) -> None:
    footage = open_footage(write_video(tmp_path / "a.mp4", marked(2), rotation=rotation))
    image = next(iter(footage.read())).image
    assert image.shape[:2] == shape == (footage.height, footage.width)
    assert (quarter(image, *red), quarter(image, *green)) == ("red", "green")


def test_times_are_the_presentation_times_since_the_first_frame(tmp_path: Path) -> None:
    ticks = [5, 6, 8, 13, 14]
    footage = open_footage(write_video(tmp_path / "a.mkv", marked(5), times=ticks))
    np.testing.assert_allclose([t for _, t, _ in footage.read()], (np.array(ticks) - 5) / 10, atol=1e-3)


def test_frames_shrink_by_averaging_areas(tmp_path: Path) -> None:
    footage = open_footage(write_video(tmp_path / "a.mp4", walking(2)))
    full, small = next(footage.read()).image, next(footage.read(width=WIDTH // 4)).image
    naive = full.reshape(HEIGHT // 4, 4, WIDTH // 4, 4, 3).mean((1, 3))
    assert small.shape == (HEIGHT // 4, WIDTH // 4, 3)
    np.testing.assert_allclose(small, naive, atol=1)
    assert next(footage.read(height=60)).image.shape == (60, 80, 3)
    assert next(footage.read(50, 70)).image.shape == (70, 50, 3)
    assert resized(full, (320, 240)).shape == (240, 320, 3)


def test_only_the_wanted_frames_are_given_and_counting_stays_exact(tmp_path: Path) -> None:
    footage = open_footage(write_video(tmp_path / "a.mp4", marked(12)))
    all_frames = [f.image for f in footage.read()]
    some = list(footage.read(only={7, 2, 99}))
    assert [f.number for f in some] == [2, 7]
    assert all(np.array_equal(f.image, all_frames[f.number]) for f in some)
    assert list(footage.read(only=set())) == []
    assert open_footage(footage.path).count() == 12


def test_pixels_that_are_not_square_become_square(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(marked(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    footage = open_footage(tmp_path / "a.mp4")
    assert (footage.width, footage.height) == (96, 48)
    assert next(iter(footage.read())).image.shape == (48, 96, 3)


def test_hash_is_of_the_contents_not_of_the_name(tmp_path: Path) -> None:
    a, b = write_video(tmp_path / "a.mp4", marked(3)), tmp_path / "b.mp4"
    b.write_bytes(a.read_bytes())
    assert open_footage(a).sha256() == open_footage(b).sha256()
    b.write_bytes(a.read_bytes() + b"\0")
    assert open_footage(a).sha256() != open_footage(b).sha256()


def test_folder_is_read_in_the_order_of_numbers_as_written(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        cv2.imwrite(str(tmp_path / f"frame{number}.png"), np.full((40, 50, 3), (0, 0, 20 * number), np.uint8))
    (tmp_path / ".frame0.png").write_bytes(b"another program's notes")
    footage = open_footage(tmp_path)
    frames = list(footage.read())
    assert [int(f.image[0, 0, 0]) for f in frames] == [20, 180, 200]  # red: colours are in RGB order
    assert [f.time for f in frames] == [0.0, 1.0, 2.0]
    assert (footage.count(), footage.fps, footage.width, footage.height) == (3, None, 50, 40)
    assert [f.number for f in footage.read(only={1})] == [1]


@pytest.mark.parametrize("subfolder", ["image", "images", "color"])
def test_frames_may_lie_in_a_subfolder(tmp_path: Path, subfolder: str) -> None:
    (tmp_path / subfolder).mkdir()
    cv2.imwrite(str(tmp_path / "preview.png"), np.zeros((20, 20), np.uint8))
    for number in range(3):
        cv2.imwrite(str(tmp_path / subfolder / f"{number}.jpg"), np.zeros((30, 40), np.uint8))
    footage = open_footage(tmp_path)
    assert (footage.count(), footage.width) == (3, 40)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp", "bmp"])
def test_gray_colour_and_16_bits_of_every_format_give_8_bit_rgb(tmp_path: Path, suffix: str) -> None:
    deep = suffix in ("png", "tif")
    level = np.full((20, 30), 200 * 257 if deep else 200, np.uint16 if deep else np.uint8)
    cv2.imwrite(str(tmp_path / f"0.{suffix}"), level)
    cv2.imwrite(str(tmp_path / f"1.{suffix}"), np.full((20, 30, 3), 200, np.uint8))
    for frame in open_footage(tmp_path).read():
        assert (frame.image.shape, frame.image.dtype) == ((20, 30, 3), np.uint8)
        np.testing.assert_allclose(frame.image, 200, atol=2)


def test_hash_of_a_folder_covers_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for folder, names in (("a", "01"), ("b", "01"), ("c", "02")):
        (tmp_path / folder).mkdir()
        for name in names:
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), np.zeros((20, 20), np.uint8))
        hashes.add(open_footage(tmp_path / folder).sha256())
    assert len(hashes) == 2
    cv2.imwrite(str(tmp_path / "c" / "2.png"), np.ones((20, 20), np.uint8))
    assert open_footage(tmp_path / "c").sha256() not in hashes


def test_names_that_are_not_utf8_work(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    video = open_footage(write_video(folder / os.fsdecode(b"\xe4.mp4"), marked(3)))
    assert video.count() == 3
    video.name.encode("utf-8")  # can be printed and stored
    (folder / os.fsdecode(b"\xe9.png")).write_bytes(cv2.imencode(".png", np.zeros((20, 20), np.uint8))[1].tobytes())
    images = open_footage(folder)
    assert (images.count(), len(list(images.read())), len(images.sha256())) == (1, 1, 64)


def test_real_videos_decode_whole(shared_data: Path) -> None:
    footage = open_footage(shared_data / "videos" / "redkitchen_320x240.mp4")
    times = [t for _, t, _ in footage.read(width=32)]
    assert (footage.count(), footage.width, footage.height) == (1000, 320, 240)
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-6)
    assert open_footage(shared_data / "fox").count() == 50
