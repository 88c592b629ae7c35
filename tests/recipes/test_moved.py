"""What moves by itself is masked, what stands still is not."""

import numpy as np
import pytest

from epipole.recipes.learn_video.correspond import FlowStore
from epipole.recipes.learn_video.moved import MOVED, moved_by
from tests.recipes.exact_room import both_ways, store_of

PATCH = (slice(20, 36), slice(30, 50))


def spoiled(exact, folder, frame: int, by: float) -> FlowStore:
    """The room's flow, but for a patch of one frame that goes down by itself."""
    flows = []
    for a, b in exact.store.pairs.tolist():
        flow, seen = both_ways(exact.world, a, b)
        for direction, source in enumerate((a, b)):
            if source == frame:
                flow[direction][*PATCH, 1] += by
        flows.append((flow, seen))
    return store_of(folder, exact.store.pairs.tolist(), flows)


def test_nothing_seen_moves_in_a_still_room(exact):
    moved = moved_by(exact.keys, [exact.store], exact.solution, exact.depth_of)
    for k in (0, 9, 19):
        leaving = [exact.store.valid(r)[d] for r, pair in enumerate(exact.store.pairs) for d in (0, 1) if pair[d] == k]
        seen = np.any(leaving, axis=0)
        assert seen.mean() > 0.7
        assert not moved(k)[seen].any()
        assert moved(k)[~seen].all()  # hidden from all others: nothing confirms it


@pytest.mark.parametrize("share", [0.8, 1.3])
def test_a_patch_that_moves_by_more_than_the_tolerance_is_masked(exact, tmp_path, share):
    store = spoiled(exact, tmp_path / "s", 9, share * MOVED)
    still, moved = (moved_by(exact.keys, [s], exact.solution, exact.depth_of) for s in (exact.store, store))
    expected = still(9).copy()
    expected[PATCH] |= share > 1
    np.testing.assert_array_equal(moved(9), expected)
    np.testing.assert_array_equal(moved(8), still(8))


def test_one_pair_that_confirms_is_enough(exact, tmp_path):
    store = spoiled(exact, tmp_path / "s", 9, 5 * MOVED)
    both = moved_by(exact.keys, [store, exact.store], exact.solution, exact.depth_of)
    np.testing.assert_array_equal(both(9), moved_by(exact.keys, [exact.store], exact.solution, exact.depth_of)(9))


def test_a_frame_without_pairs_is_confirmed_by_nothing(exact, tmp_path):
    pairs = [(0, 1)]
    store = store_of(tmp_path / "s", pairs, [both_ways(exact.world, 0, 1)])
    moved = moved_by(exact.keys, [store], exact.solution, exact.depth_of)
    assert moved(5).all()
    assert not moved(0).all()
