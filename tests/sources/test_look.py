"""A look finds what was put into the footage, picks frames by motion, and refuses what cannot be learned."""

import hashlib
import json
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from epipole.sources.findings import Look, Span
from epipole.sources.footage import Frame
from epipole.sources.look import look
from epipole.sources.video import VideoFootage, open_footage
from epipole.types.errors import FootageError
from tests.sources.clips import HEIGHT, WIDTH, Image, standing, turning, walking, write_video


def looked(path: Path, images: list[Image], fps: int = 10, step: float = 0.035) -> Look:
    return look(open_footage(write_video(path / "clip.mp4", images, fps)), step=step)


def folder_of(path: Path, images: list[Image]) -> Path:
    for number, image in enumerate(images):
        cv2.imwrite(str(path / f"{number}.png"), image[..., ::-1])
    return path


def test_walking_past_posts_is_accepted_and_shows_parallax(tmp_path: Path) -> None:
    seen = looked(tmp_path, walking(40))
    seen.refuse()
    assert seen.refusal() is None
    assert seen.parallax is not None
    assert seen.parallax > 0.8
    assert (seen.cuts, seen.skipped, seen.segments) == ([], [], [(0, 39)])


def test_displacement_is_that_of_the_scene(tmp_path: Path) -> None:
    seen = looked(tmp_path, turning(20, 0.8))
    exact = np.radians(0.8) * np.hypot(1.0, 0.4)  # of the width, at the centre: the focal length is one width
    assert np.median(seen.displacement[1:]) == pytest.approx(exact, rel=0.1)
    assert looked(tmp_path, walking(20, 0.0)).displacement.max() < 1e-3


@pytest.mark.parametrize("step", [0.03, 0.06])
def test_key_frames_are_a_step_apart_in_the_picture_not_in_time(tmp_path: Path, step: float) -> None:
    slow, fast = turning(60, 0.25), turning(24, 1.0)
    for images in (slow, fast):
        seen = looked(tmp_path, images, step=step)
        way = np.cumsum(seen.displacement)
        gaps = np.array([way[b] - way[a] for a, b in pairwise(seen.key_frames)])
        assert len(gaps) > 3
        assert np.all(gaps > 0.65 * step)
        assert np.all(gaps < 1.15 * step + seen.displacement.max())


def test_key_frames_prefer_the_sharp(tmp_path: Path) -> None:
    images = walking(40, 4.0)
    blurred = set(range(0, 40, 2)) - {0}
    images = [cv2.GaussianBlur(x, (0, 0), 2.0) if i in blurred else x for i, x in enumerate(images)]
    seen = looked(tmp_path, images)
    assert len(seen.key_frames) > 5
    assert np.mean([k in blurred for k in seen.key_frames]) < 0.2
    odd, even = seen.sharpness[1::2], seen.sharpness[2::2]
    assert odd.min() > 1.5 * even.max()


def test_repeats_are_found_through_the_noise_of_the_codec(tmp_path: Path) -> None:
    images, repeats = walking(30), {4, 11, 12, 25}
    for i in sorted(repeats):
        images[i] = images[i - 1]
    seen = looked(tmp_path, images)
    assert set(np.flatnonzero(seen.repeat)) == repeats
    assert not repeats & set(seen.key_frames)
    assert seen.skipped == [Span(i, j, "repeats the frame before") for i, j in [(4, 4), (11, 12), (25, 25)]]
    assert any("4 frames repeat" in sentence for sentence in seen.found)


def test_slow_motion_is_no_repeat_for_ever(tmp_path: Path) -> None:
    seen = looked(tmp_path, turning(120, 0.03))
    assert seen.repeat.sum() < 100
    assert seen.key_frames[-1] > 90


def test_black_frames_are_left_out(tmp_path: Path) -> None:
    images = walking(30)
    images[10:13] = [np.zeros_like(images[0])] * 3
    seen = looked(tmp_path, images)
    assert set(np.flatnonzero(seen.blank)) == {10, 11, 12}
    assert Span(10, 12, "is black or blank") in seen.skipped
    assert not {10, 11, 12} & set(seen.key_frames)
    assert seen.brightness[11] < 0.02
    assert (seen.cuts, seen.refusal()) == ([], None)


def test_cuts_split_the_footage_and_start_with_a_key_frame(tmp_path: Path) -> None:
    seen = looked(tmp_path, walking(30, seed=1) + walking(24, seed=7) + walking(26, seed=20))
    assert seen.cuts == [30, 54]
    assert seen.segments == [(0, 29), (30, 53), (54, 79)]
    assert {0, 30, 54} <= set(seen.key_frames)
    assert all(not a.first < c <= a.second for a in seen.pairs for c in seen.cuts)
    seen.refuse()


def test_static_spans_are_named(tmp_path: Path) -> None:
    going = walking(24)
    rng = np.random.default_rng(0)
    still = [np.clip(going[-1] + rng.normal(0, 9, going[-1].shape), 0, 255).astype(np.uint8) for _ in range(30)]
    seen = looked(tmp_path, going + still)
    spans = [s for s in seen.skipped if s.why == "the camera stands still"]
    assert sum(s.last - s.first + 1 for s in spans) >= 25
    assert min(s.first for s in spans) >= 23


def test_photos_far_apart_are_all_key_frames_and_no_cuts(tmp_path: Path) -> None:
    seen = look(open_footage(folder_of(tmp_path, walking(14, 36.0))))
    assert seen.key_frames == list(range(14))
    assert seen.cuts == []


CANNOT = {
    "stands still": lambda: standing(30),
    "turns on the spot": lambda: turning(40),
    "black or blank": lambda: [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 30,
    "cut": lambda: [image for shot in range(6) for image in walking(10, seed=10 * shot)],
    "only 9 of": lambda: walking(9),
    "blurred": lambda: [cv2.GaussianBlur(image, (0, 0), 13) for image in walking(30)],
    "still": lambda: walking(1) * 30,
}


@pytest.mark.parametrize("reason", CANNOT)
def test_what_cannot_be_learned_is_refused_for_its_own_reason(tmp_path: Path, reason: str) -> None:
    seen = looked(tmp_path, CANNOT[reason]())
    with pytest.raises(FootageError) as refused:
        seen.refuse()
    assert reason in str(refused.value)
    assert sum(other in str(refused.value) for other in CANNOT) == (2 if "still" in reason else 1)
    assert str(seen.refusal()) in seen.text()


def test_looking_again_gives_the_same_and_json_keeps_it(tmp_path: Path) -> None:
    images = walking(25)
    first, threads = looked(tmp_path, images), cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        second = looked(tmp_path, images)
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(threads)
    assert first.to_json() == second.to_json() == Look.from_json(first.to_json()).to_json()
    assert Look.from_json(first.to_json()).found == first.found
    json.loads(first.to_json(), parse_constant=pytest.fail)  # no NaN or infinity


def test_progress_counts_every_frame(tmp_path: Path) -> None:
    done: list[int] = []
    look(open_footage(write_video(tmp_path / "clip.mp4", walking(12))), progress=done.append)
    assert done == list(range(1, 13))


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    peaks = []
    there_and_back = turning(20) + turning(20)[::-1]
    for times in (1, 4):
        footage = open_footage(write_video(tmp_path / f"{times}.mp4", there_and_back * times))
        tracemalloc.start()
        look(footage)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 15 * WIDTH * HEIGHT  # of 120 more frames


def test_handheld_kitchen_repeats_90_of_its_frames_and_can_be_learned(shared_data: Path) -> None:
    files = sorted((shared_data / "7scenes_redkitchen" / "color").iterdir())[:400]
    hashes = [hashlib.md5(f.read_bytes()).digest() for f in files]
    exact = {i for i in range(1, 400) if hashes[i] == hashes[i - 1]}

    class Beginning(VideoFootage):
        def read(
            self, width: int | None = None, height: int | None = None, only: set[int] | None = None
        ) -> Iterator[Frame]:
            return super().read(width, height, set(range(400)))

    seen = look(Beginning(shared_data / "videos" / "redkitchen_320x240.mp4"))
    assert set(np.flatnonzero(seen.repeat)) == exact
    assert (seen.cuts, seen.refusal()) == ([], None)
    assert 40 < len(seen.key_frames) < 120


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clip", "repeats"),
    [("videos/redkitchen_320x240.mp4", 90), ("7scenes_redkitchen", 90), ("videos/kitti03_416x128.mp4", 0)],
)
def test_whole_real_clips_can_be_learned(shared_data: Path, clip: str, repeats: int) -> None:
    seen = look(open_footage(shared_data / clip))
    assert int(seen.repeat.sum()) == repeats
    assert (seen.cuts, seen.refusal()) == ([], None)
    assert seen.parallax is not None
    assert seen.parallax > 0.9


def test_fox_photos_are_all_key_frames_of_one_place(shared_data: Path) -> None:
    seen = look(open_footage(shared_data / "fox"))
    assert (seen.key_frames, seen.cuts, seen.refusal()) == (list(range(50)), [], None)
