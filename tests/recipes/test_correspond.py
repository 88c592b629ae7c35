import errno

import numpy as np
import pytest
import torch

from epipole.recipes.learn_video import flow
from epipole.recipes.learn_video.cache import RowWriter
from epipole.recipes.learn_video.correspond import FlowStore, KeyImages, chain_pairs, in_order, samples
from epipole.recipes.learn_video.flow import both_ways, consistent, dense_flow, followed
from epipole.recipes.learn_video.matches import homography_flow, homography_guesses
from epipole.sources.look import one_thread
from epipole.sources.video import open_footage
from epipole.types.errors import InputError
from tests.recipes.textures import FoxTruth, ListedFootage, seen, shift, turn

FULL = (128, 96)
INNER = (slice(16, -16), slice(16, -16))


def views(H_second_first: np.ndarray, size: tuple[int, int] = FULL) -> tuple[np.ndarray, np.ndarray]:
    """Two images of the texture, pixel x of the first seen at H x in the second."""
    return seen(np.eye(3), size), seen(np.linalg.inv(H_second_first), size)


@pytest.mark.parametrize("moved", [(0.0, 0.0), (0.25, -0.5), (3.3, 1.7), (-7.6, 4.45)])
def test_flow_finds_subpixel_shifts_without_bias(moved):
    with one_thread():
        error = dense_flow(*views(shift(*moved)))[INNER] - moved
    assert np.median(np.linalg.norm(error, axis=-1)) < 0.06
    assert np.abs(error.mean((0, 1))).max() < 0.03


def test_flow_of_a_turn_and_zoom_is_unbiased_in_network_pixels():
    H = turn(4, (60, 50), 1.08) @ shift(2.3, -1.4)
    with one_thread():
        moved, valid = both_ways(*views(H), None)
    v, u = np.mgrid[:48, :64]
    x = np.stack([2 * u + 0.5, 2 * v + 0.5, np.ones_like(u)])  # a network pixel's centre between four of the flow's
    truth = (np.einsum("ij,jhw->ihw", H, x)[:2] - x[:2]).transpose(1, 2, 0) / 2
    error = (moved[0] - truth)[valid[0]]
    assert valid[0].mean() > 0.6
    assert np.median(np.linalg.norm(error, axis=-1)) < 0.04
    assert np.abs(np.median(error, axis=0)).max() < 0.01  # half a pixel of confusion would give 0.02 and more


def test_the_mean_of_four_is_the_flow_at_the_network_pixel(monkeypatch):
    H = turn(10, (30, 80), 1.3)
    monkeypatch.setattr(flow, "dense_flow", lambda first, second, guess: guess)
    image = np.zeros((96, 128), np.uint8)
    there, back = homography_flow(H, FULL), homography_flow(np.linalg.inv(H), FULL)
    moved, valid = both_ways(image, image, (there, back))
    K = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])  # u = (u_full - 0.5) / 2
    truth = homography_flow(K @ H @ np.linalg.inv(K), (64, 48))
    assert np.abs(moved[0] - truth).max() < 1e-4
    assert valid[0][24, 32]


def test_a_guess_reaches_where_flow_alone_does_not():
    H = shift(20, -8) @ turn(45, (64, 48))
    wrong = shift(2, 1.5) @ H  # the guess is a little off, as guesses are
    first, second = views(H)
    there = homography_flow(H, FULL)
    with one_thread():
        alone = dense_flow(first, second) - there
        guided = dense_flow(first, second, homography_flow(wrong, FULL)) - there
    visible = consistent(there, homography_flow(np.linalg.inv(H), FULL))
    visible[:8] = visible[-8:] = visible[:, :8] = visible[:, -8:] = False
    assert visible.mean() > 0.3
    assert np.median(np.linalg.norm(alone, axis=-1)[visible]) > 5
    assert np.median(np.linalg.norm(guided, axis=-1)[visible]) < 0.1


def test_followed_looks_up_along_the_flow():
    image = np.arange(48, dtype=np.float32).reshape(6, 8)
    constant = np.full((6, 8, 2), (1.5, -2.0), np.float32)
    out = followed(image, constant, outside=-1.0)
    assert out[3, 2] == image[1, 3:5].mean()
    assert (out[0] == -1).all()
    assert followed(image, constant)[0, 2] == image[0, 3:5].mean()


def test_consistency_equals_a_loop():
    draw = np.random.default_rng(0)
    odd = draw.integers(-3, 4, (12, 14, 2)) * (draw.random((12, 14, 1)) < 0.3)
    forward = (odd + np.array([2, -1])).astype(np.float32)
    backward = (draw.uniform(-0.7, 0.7, forward.shape) - np.array([2, -1])).astype(np.float32)
    fast = consistent(forward, backward)
    for (y, x), got in np.ndenumerate(fast):
        f = forward[y, x]
        u, v = int(x + f[0]), int(y + f[1])
        inside = 0 <= u < 14 and 0 <= v < 12
        expected = inside and np.linalg.norm(f + backward[v, u]) < 0.5 + 0.05 * np.linalg.norm(f)
        assert got == expected, (x, y)
    assert 10 < fast.sum() < fast.size - 10


@pytest.mark.parametrize(("length", "off", "good"),
                         [(10, 0.95, True), (10, 1.05, False), (60, 1.45, True), (60, 1.55, False)])  # fmt: skip
def test_the_tolerance_stops_growing(length, off, good):
    forward = np.full((4, 200, 2), (length, 0), np.float32)
    backward = np.full((4, 200, 2), (-length, off), np.float32)
    result = consistent(forward, backward)
    assert (result[:, : 200 - length] == good).all()
    assert not result[:, 200 - length :].any()


def test_chains_do_not_cross_cuts():
    assert chain_pairs([0, 0, 0, 4, 4], gaps=(1, 2)) == [(0, 1), (0, 2), (1, 2), (3, 4)]
    assert chain_pairs([0] * 7, gaps=(5,)) == [(0, 5), (1, 6)]
    assert chain_pairs([], gaps=(1,)) == []


def test_results_come_in_order_and_no_more_than_a_few_are_begun():
    begun: list[int] = []
    results = in_order(lambda i: (begun.append(i), i * i)[1], range(100), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(begun) <= 8
    assert list(results) == [i * i for i in range(3, 100)]


@pytest.fixture
def images(tmp_path) -> KeyImages:
    """Four views of the texture, each moved a little, and one of something else."""
    moves = [shift(5.5 * i, -2.2 * i) for i in range(4)]
    pictures = [seen(H, FULL) for H in moves] + [seen(np.eye(3), FULL, seed=9)]
    return KeyImages.write(tmp_path / "keys", ListedFootage(pictures), range(5), (64, 48))


PAIRS = [(0, 1), (0, 2), (1, 2), (0, 4), (1, 3)]


def test_key_images_are_the_frames_at_two_sizes(tmp_path):
    pictures = [seen(shift(9 * i, 0), (256, 192)) for i in range(6)]
    KeyImages.write(tmp_path / "keys", ListedFootage(pictures), [4, 1, 2], (64, 48))
    images = KeyImages.open(tmp_path / "keys")
    assert images.key_frames.tolist() == [1, 2, 4]
    assert (len(images), images.size) == (3, (64, 48))
    assert images.gray.shape == (3, 96, 128)
    assert images.colour.shape == (3, 48, 64, 3)
    assert images.colour.dtype == images.gray.dtype == np.uint8
    fine = pictures[4].reshape(96, 2, 128, 2).mean((1, 3))
    assert np.abs(images.gray[2] - fine).max() <= 1
    assert np.abs(images.colour[2][..., 1] - fine.reshape(48, 2, 64, 2).mean((1, 3))).max() <= 1


def test_a_frame_that_vanished_is_an_input_error(tmp_path):
    footage = ListedFootage([seen(np.eye(3), FULL)] * 3)
    with pytest.raises(InputError):
        KeyImages.write(tmp_path / "keys", footage, [0, 7], (64, 48))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        KeyImages.open(tmp_path / "keys")


def test_the_store_gives_back_what_was_computed(images, tmp_path):
    seen_progress: list[tuple[int, int]] = []
    FlowStore.build(tmp_path / "flow", images, PAIRS, progress=lambda *at: seen_progress.append(at))
    store = FlowStore.open(tmp_path / "flow")
    assert store.pairs.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3]]  # frame 4 shows something else
    assert seen_progress == [(i, 5) for i in range(1, 6)]
    with one_thread():
        moved, valid = both_ways(images.gray[1], images.gray[2], None)
    assert store.flow.dtype == np.float16
    assert np.array_equal(store.flow[2], moved.astype(np.float16))
    assert np.array_equal(store.valid(2), valid)
    assert np.array_equal(store.valid([0, 2]), np.stack([store.valid(0), store.valid(2)]))
    assert np.allclose(store.share[2], valid.mean((1, 2)))
    assert np.abs(np.median(moved[0][valid[0]], axis=0) - [-2.75, 1.1]).max() < 0.03
    assert np.abs(np.median(moved[1][valid[1]], axis=0) - [2.75, -1.1]).max() < 0.03


def test_no_pair_is_tried_after_one_that_sees_too_little(images, tmp_path):
    pairs, told = [(0, 1), (0, 4), (0, 2), (1, 2), (1, 3)], list[int]()
    store = FlowStore.build(tmp_path / "row", images, pairs, progress=lambda done, _: told.append(done), enough=0.3)
    assert store.pairs.tolist() == [[0, 1], [1, 2], [1, 3]]  # (0, 4) sees nothing, so (0, 2) is left out
    assert told == [1, 2, 3, 4, 5]
    assert FlowStore.build(tmp_path / "all", images, pairs).pairs.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3]]


def test_threads_do_not_change_a_bit(images, tmp_path):
    for threads in (1, 2, 3):
        guesses = homography_guesses(images.gray)
        FlowStore.build(tmp_path / str(threads), images, PAIRS, guesses, threads=threads)
    for name in ("pairs.npy", "share.npy", "flow.npy", "valid.npy"):
        one = (tmp_path / "1" / name).read_bytes()
        assert one == (tmp_path / "2" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_guesses_are_used(images, tmp_path):
    asked = []

    def zero(pair):
        asked.append(pair)
        return (np.full((96, 128, 2), 300, np.float32),) * 2  # far outside: nothing can be found from there

    assert len(FlowStore.build(tmp_path / "flow", images, PAIRS, zero)) == 0
    assert sorted(asked) == sorted(PAIRS)


def test_reading_a_pair_reads_no_other(images, tmp_path, monkeypatch):
    store = FlowStore.build(tmp_path / "flow", images, PAIRS)
    read = []
    plain = np.fromfile
    monkeypatch.setattr(np, "fromfile", lambda *a, **k: (got := plain(*a, **k), read.append(got.nbytes))[0])
    store.flow[1]
    store.valid(1)
    assert sum(read) == 2 * 48 * 64 * 2 * 2 + 2 * 48 * 64 // 8


def test_a_build_that_dies_leaves_nothing_new(images, tmp_path):
    class Killed(Exception):
        pass

    def die(done, total):
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        FlowStore.build(tmp_path / "flow", images, PAIRS, progress=die)
    assert [f.name for f in tmp_path.iterdir()] == ["keys"]
    FlowStore.build(tmp_path / "flow", images, PAIRS[:1])
    with pytest.raises(Killed):
        FlowStore.build(tmp_path / "flow", images, PAIRS, progress=die)
    assert FlowStore.open(tmp_path / "flow").pairs.tolist() == [[0, 1]]
    assert len(FlowStore.build(tmp_path / "flow", images, PAIRS)) == 4


def test_a_full_disk_is_an_input_error(images, tmp_path, monkeypatch):
    def full(self, row):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RowWriter, "append", full)
    with pytest.raises(InputError):
        FlowStore.build(tmp_path / "flow", images, PAIRS)
    assert not (tmp_path / "flow").exists()


def test_samples_equal_a_loop(images, tmp_path):
    store = FlowStore.build(tmp_path / "flow", images, PAIRS)
    source, target, pixels, observed, weight = samples([store], stride=5, border=0.1)
    assert source.tolist() == [0, 1, 0, 2, 1, 2, 1, 3]
    assert target.tolist() == [1, 0, 2, 0, 2, 1, 3, 1]
    anchors = [(u, v) for v in range(2, 48, 5) for u in range(2, 64, 5)]
    assert pixels.tolist() == [[u, v] for u, v in anchors]
    assert observed.dtype == weight.dtype == torch.float32

    def inside(u, v):
        return 6.4 <= u <= 63 - 6.4 and 4.8 <= v <= 47 - 4.8

    for e in range(8):
        moved, valid = store.flow[e // 2][e % 2].astype(np.float32), store.valid(e // 2)[e % 2]
        for m, (u, v) in enumerate(anchors):
            x, y = u + moved[v, u, 0], v + moved[v, u, 1]
            assert observed[e, m].tolist() == [x, y]
            assert weight[e, m] == float(valid[v, u] and inside(u, v) and inside(x, y))
    assert 0.3 < weight.mean() < 0.9


def test_samples_of_two_stores_stand_one_after_the_other(images, tmp_path):
    stores = [FlowStore.build(tmp_path / str(i), images, pairs) for i, pairs in enumerate((PAIRS[:1], PAIRS[1:]))]
    both, first, second = samples(stores, 5), samples(stores[:1], 5), samples(stores[1:], 5)
    for i in (0, 1, 3, 4):
        assert torch.equal(both[i], torch.cat([first[i], second[i]]))
    assert len(both.source) == 2 * sum(map(len, stores)) > len(first.source)


def test_no_pairs_at_all(images, tmp_path):
    store = FlowStore.build(tmp_path / "flow", images, [])
    found = samples([store], 4)
    assert len(store) == 0
    assert found.observed.shape == (0, 12 * 16, 2)


def test_flow_between_phone_photos_obeys_their_epipolar_geometry(shared_data, tmp_path):
    numbers, size = [0, 1, 2, 10, 14], (96, 160)
    images = KeyImages.write(tmp_path / "keys", open_footage(shared_data / "fox/images"), numbers, size)
    pairs = [(0, 1), (1, 2), (0, 2), (3, 4)]
    store = FlowStore.build(tmp_path / "flow", images, pairs, homography_guesses(images.gray))
    truth = FoxTruth(shared_data / "fox")
    found = samples([store], 4)
    errors = []
    for source, target, observed, weight in zip(*found[:2], *found[3:], strict=True):
        sure = weight > 0
        ends = found.pixels[sure].numpy(), observed[sure].numpy()
        errors.append(np.median(truth.epipolar_error(numbers[source], numbers[target], *ends, size)))
    assert len(store) == len(pairs)
    assert found.weight.mean() > 0.3
    assert max(errors) < 0.15
    assert np.median(errors) < 0.08
