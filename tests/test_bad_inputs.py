"""Whatever a user hands in: one sentence that says what is wrong and what to do, or it simply works."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from epipole.formats import kitti
from epipole.sources.look import look
from epipole.sources.video import open_footage
from epipole.types.errors import EpipoleError, FootageError, InputError
from tests.sources.clips import standing, walking, write_video

NOISE = np.random.default_rng(0).bytes(20_000)
NO_VIDEO = {
    "empty": b"", "zeros": bytes(5000), "text": b"not a video\n" * 500, "playlist": b"#EXTM3U\n", "noise": NOISE,
}  # fmt: skip


def refused(action: Callable[[], object], kind: type[EpipoleError] = InputError) -> str:
    """The sentence with which `action` is refused: one line, short enough to read."""
    with pytest.raises(kind) as error:
        action()
    text = str(error.value)
    assert text.endswith((".", "]", "]'"))
    assert "\n" not in text
    assert 20 < len(text) < 400
    return text


def read_all(path: Path) -> int:
    return len(list(open_footage(path).read()))


def png(path: Path, height: int = 40, width: int = 60) -> Path:
    """An image, of noise so that it has some length; imencode because imwrite cannot write every name."""
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def test_nothing_there(tmp_path: Path) -> None:
    assert "nowhere.mp4" in refused(lambda: open_footage(tmp_path / "nowhere.mp4"))
    refused(lambda: open_footage(png(tmp_path / "a.png") / "b.mp4"))


@pytest.mark.parametrize("content", NO_VIDEO.values(), ids=NO_VIDEO.keys())
@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.txt", "clip"])
def test_files_that_are_no_video(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert name in refused(lambda: open_footage(tmp_path / name))


def test_a_single_image_also_under_a_false_name(tmp_path: Path) -> None:
    assert "folder" in refused(lambda: open_footage(png(tmp_path / "a.png")))
    png(tmp_path / "b.jpg").rename(tmp_path / "b.mp4")
    refused(lambda: open_footage(tmp_path / "b.mp4"))


@pytest.mark.parametrize("suffix", ["mkv", "avi"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_truncated_video_gives_the_frames_it_has_and_a_warning(tmp_path: Path, suffix: str, share: float) -> None:
    whole = write_video(tmp_path / f"whole.{suffix}", walking(60), fps=10)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    footage = open_footage(cut)
    frames, full = list(footage.read()), list(open_footage(whole).read())
    assert share * 60 - 10 < len(frames) < share * 60 + 10
    assert footage.count() == len(frames)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(frames, full, strict=False))
    assert footage.warnings
    assert set(footage.warnings) <= set(look(footage).found)


def test_a_truncated_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", walking(20))
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "cut off" in refused(lambda: open_footage(tmp_path / "cut.mp4"))


def test_a_video_with_bytes_destroyed_in_its_middle_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", walking(60))
    data = bytearray(video.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = NOISE[:3000]
    video.write_bytes(data)
    assert 20 < read_all(video) <= 60


@pytest.mark.parametrize(("width", "height"), [(2, 200), (200, 2), (8, 8)])
def test_frames_too_small_to_see_anything(tmp_path: Path, width: int, height: int) -> None:
    images = [np.zeros((height, width, 3), np.uint8)] * 12
    assert f"{width}x{height}" in refused(lambda: open_footage(write_video(tmp_path / "a.mp4", images)))
    png(tmp_path / "a.png", height, width)
    refused(lambda: open_footage(tmp_path))


def test_a_row_of_pixels_as_image(tmp_path: Path) -> None:
    png(tmp_path / "a.png", 1, 200)
    assert "200x1" in refused(lambda: open_footage(tmp_path))


def test_huge_and_odd_frames_are_looked_at(tmp_path: Path) -> None:
    large = [cv2.resize(image, (4001, 3003), interpolation=cv2.INTER_CUBIC) for image in walking(3, 6.0)]
    for number, image in enumerate(large):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), image)
    seen = look(open_footage(tmp_path))
    assert (seen.width, seen.height, len(seen.times)) == (4001, 3003, 3)
    assert "3 of its 3" in refused(seen.refuse, FootageError)


def test_odd_sized_video_is_accepted(tmp_path: Path) -> None:
    odd = [cv2.resize(image, (321, 243)) for image in walking(30)]
    look(open_footage(write_video(tmp_path / "a.mp4", odd))).refuse()


def test_black_and_static_footage(tmp_path: Path) -> None:
    for images in ([np.zeros((120, 160, 3), np.uint8)] * 20, standing(20), walking(1) * 20):
        seen = look(open_footage(write_video(tmp_path / "a.mp4", images)))
        refused(seen.refuse, FootageError)


def test_noise_without_a_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    snow = [rng.integers(0, 255, (120, 160, 3), dtype=np.uint8) for _ in range(20)]
    refused(look(open_footage(write_video(tmp_path / "a.mp4", snow))).refuse, FootageError)


def test_folders_without_frames(tmp_path: Path) -> None:
    refused(lambda: open_footage(tmp_path))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "images").mkdir()
    refused(lambda: open_footage(tmp_path))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", walking(3))
    (tmp_path / "locked").mkdir()
    for path in (video, tmp_path / "locked"):
        path.chmod(0)
        assert "permission" in refused(lambda p=path: open_footage(p)).lower()
        path.chmod(0o700)


def test_listing_and_opening_that_the_system_denies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    video = write_video(tmp_path / "a.mp4", walking(3))
    monkeypatch.setattr(Path, "iterdir", deny)
    monkeypatch.setattr(Path, "open", deny)
    for path in (video, tmp_path):
        assert "permission" in refused(lambda p=path: open_footage(p)).lower()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[: len(d) // 2], lambda d: bytes(len(d))])
def test_a_damaged_image_is_named(tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]) -> None:
    for number in range(3):
        file = png(tmp_path / f"{number}.{suffix}")
    file.write_bytes(damage(file.read_bytes()))
    assert f"2.{suffix}" in refused(lambda: read_all(tmp_path))


def test_images_of_different_sizes_are_named(tmp_path: Path) -> None:
    png(tmp_path / "0.png", 40, 60)
    png(tmp_path / "1.png", 60, 40)
    text = refused(lambda: read_all(tmp_path))
    assert all(part in text for part in ("1.png", "40x60", "0.png", "60x40"))


NO_CAMERA = ["", "not numbers", "1 2 3", "nan 0 1\n0 500 1\n0 0 1", "inf 0 1\n0 500 1\n0 0 1", "0 0 1\n0 500 1\n0 0 1",
             "-500 0 1\n0 500 1\n0 0 1", "500 0 1\n0 500 1\n0 0 2"]  # fmt: skip


@pytest.mark.parametrize("text", NO_CAMERA)
def test_calibration_that_is_no_camera(tmp_path: Path, text: str) -> None:
    (tmp_path / "K.txt").write_text(text)
    with pytest.raises(InputError, match=r"K\.txt"):
        kitti.read_intrinsics(tmp_path / "K.txt")
