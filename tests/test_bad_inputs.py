"""Whatever a user hands in: one sentence that says what is wrong and what to do, or it simply works."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from epipole.cli import main
from epipole.formats import kitti
from epipole.recipes.learn_video.flow import dense_flow
from epipole.recipes.learn_video.solve import network_size
from epipole.sources.look import SMALLEST_SIDE, look
from epipole.sources.video import open_footage
from epipole.sources.worlds import Sensor, Spec, write_world
from epipole.types.errors import EpipoleError, FootageError, InputError
from tests.sources.clips import standing, turning, walking, write_video

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


@pytest.mark.parametrize(("width", "height"), [(640, 16), (36, 36), (39, 200)])
def test_frames_too_small_to_follow_what_moves(tmp_path: Path, width: int, height: int) -> None:
    for number in range(3):
        png(tmp_path / f"{number}.png", height, width)
    assert f"{width}x{height}" in refused(lambda: look(open_footage(tmp_path)))


@pytest.mark.parametrize("long", [40, 41, 90, 91, 640, 3001])
def test_the_smallest_frames_are_looked_at_and_have_a_size_for_the_network(tmp_path: Path, long: int) -> None:
    for width, height in {(long, SMALLEST_SIDE), (SMALLEST_SIDE, long)}:
        for number in range(2):
            file = png(tmp_path / f"{number}.png", height, width)
            file.write_bytes(cv2.imencode(".png", np.roll(cv2.imread(str(file)), number, 1))[1].tobytes())
        assert len(look(open_footage(tmp_path)).times) == 2
        w, h = network_size(width, height)
        assert w % 32 == h % 32 == 0
        assert np.isfinite(dense_flow(*np.zeros((2, 2 * h, 2 * w), np.uint8))).all()


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


def learn_refused(capsys: pytest.CaptureFixture[str], clip: Path, out: Path, *options: str) -> str:
    """The one sentence with which `epipole learn` ends, exit code 2."""
    assert main(["learn", str(clip), "-o", str(out), "--steps", "5", "--device", "cpu", *options]) == 2
    printed, err = capsys.readouterr()
    sentences = [line for line in err.splitlines() if line.startswith("epipole: ")]
    assert printed == ""
    assert err.splitlines()[-1:] == sentences
    assert len(sentences[0]) < 500
    return sentences[0]


UNLEARNABLE = {
    "static": lambda: standing(30), "turns": lambda: turning(40), "short": lambda: walking(5),
    "black": lambda: [np.zeros((120, 160, 3), np.uint8)] * 30,
}


@pytest.mark.parametrize("kind", UNLEARNABLE)
def test_clips_that_teach_nothing_are_refused_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    clip = write_video(tmp_path / "a.mp4", UNLEARNABLE[kind]())
    assert "cannot be learned" in learn_refused(capsys, clip, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("motion", ["static", "rotation"])
def test_worlds_without_parallax_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], motion: str
) -> None:
    spec = Spec(motion=motion, frames=30, width=160, height=120, speed=5.0, sensor=Sensor(noise=0.01))
    room = write_world(spec, tmp_path / "room")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep this")
    assert "camera" in learn_refused(capsys, room, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_what_is_no_clip_is_refused_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    whole = write_video(tmp_path / "whole.mp4", walking(20))
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for name in ("empty.mp4", "cut.mp4", "none.mp4", ""):
        learn_refused(capsys, tmp_path / name if name else tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_names_that_are_not_utf8_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff"))
    odd.mkdir()
    clip = write_video(tmp_path / "a.mp4", standing(15)).rename(odd / os.fsdecode(b"\xfe.mp4"))
    assert "?.mp4" in learn_refused(capsys, clip, odd / "run")
    learn_refused(capsys, odd / os.fsdecode(b"none\xff.mp4"), odd / "run")
    assert [p.name for p in odd.iterdir()] == [clip.name]


@pytest.mark.parametrize("given", ["nan,100,80,60", "100,100,nan,60", "100,100,80,inf", "-100,100,80,60",
                                   "500,500,319.5,239.5", "50,50,39.5,29.5", "0,100,80,60", "K.txt",
                                   "none.txt"])  # fmt: skip
def test_intrinsics_that_cannot_be_the_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("K.txt").write_text("525 0 319.5\n0 525 239.5\n0 0 1\n")  # of frames twice as large
    clip = write_video(tmp_path / "a.mp4", walking(12))
    learn_refused(capsys, clip, tmp_path / "run", f"--intrinsics={given}")
    assert not (tmp_path / "run").exists()


def test_folders_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "a.mp4", walking(12))
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/none/run"), clip):
        learn_refused(capsys, clip, out)
    assert (tmp_path / "file").read_text() == "mine"
    assert open_footage(clip).count() == 12


@pytest.mark.parametrize("name", ["run.yaml", "depth/000000.png", "model.safetensors", "colmap/cameras.txt"])
def test_a_folder_with_things_of_somebody_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The clip's own folder above all, whose depth/ is the truth."""
    clip = write_video(tmp_path / "a.mp4", walking(12))
    file = tmp_path / "run" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert name.split("/")[0] in learn_refused(capsys, clip, tmp_path / "run")
    assert [p for p in (tmp_path / "run").rglob("*") if p.is_file()] == [file]
    assert file.read_text() == "mine"


def test_the_truth_of_another_clip_is_refused_before_learning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_video(tmp_path / "a.mp4", walking(30))
    (tmp_path / "truth").mkdir()
    for number in range(29):
        png(tmp_path / "truth" / f"{number:06d}.png", 120, 160)
    assert "29" in learn_refused(capsys, clip, tmp_path / "run", "--truth", str(tmp_path / "truth"))
    for number in range(30):
        png(tmp_path / "truth" / f"{number:06d}.png", 160, 120)
    assert "120x160" in learn_refused(capsys, clip, tmp_path / "run", "--truth", str(tmp_path / "truth"))
    assert not (tmp_path / "run" / "work" / "keys").exists()
    assert (tmp_path / "run" / "work" / "look.json").exists()  # the right truth goes on from here
