import numpy as np

from epipole.viewer.preview import MOST, WIDTH, decode, encode_exact, previews_of, thin
from epipole.viewer.run_folder import RunFolder
from tests.viewer.synthetic_run import write_run


def stream(count, size=(6, 8)):
    for k in range(count):
        yield 3 * k, np.full((*size, 3), k % 256, np.uint8)


def test_thin_keeps_all_of_a_short_stream():
    assert list(thin(stream(7), 10)) == [0, 3, 6, 9, 12, 15, 18]


def test_thin_spreads_over_a_long_stream():
    kept = list(thin(stream(1000), 20))
    assert len(kept) == 20
    assert kept[0] == 0
    assert kept[-1] >= 3 * 940
    assert np.diff(kept).max() <= 3 * 1000 / 20 * 2


def test_pictures_belong_to_their_numbers():
    for index, picture in thin(stream(300), 10).items():
        assert abs(int(decode(picture).mean()) - index // 3 % 256) <= 2


def test_pictures_are_small():
    [picture] = thin([(0, np.zeros((90, 1280, 3), np.uint8))]).values()
    assert decode(picture).shape == (round(90 * WIDTH / 1280), WIDTH, 3)


def test_exact_pictures_lose_nothing():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    assert np.array_equal(decode(encode_exact(image)), image)


def test_cache_serves_when_no_frames_are_given(tmp_path):
    run = RunFolder(write_run(tmp_path / "run", frames=MOST + 30, size=(6, 8)))
    kept = list(previews_of(run, None))
    assert len(kept) == MOST
    assert (kept[0], kept[-1]) == (0, MOST + 29)
    assert list(previews_of(run, stream(2))) == [0, 3]


def test_a_damaged_preview_is_left_out(run_folder):
    (run_folder / "work" / "preview" / "000003.jpg").write_bytes(b"")
    (run_folder / "work" / "preview" / "000004.jpg").write_bytes(b"no picture")
    assert list(previews_of(RunFolder(run_folder), None)) == [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]
