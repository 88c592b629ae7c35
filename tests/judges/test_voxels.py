"""Occupancy by hand and against sets."""

import numpy as np
import pytest

from epipole.judges.voxels import VoxelFrame, VoxelProtocol, judge_voxels
from epipole.types.errors import InputError


def values(frames, *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_voxels(frames, *arguments)}


def random_frames() -> list[VoxelFrame]:
    r = np.random.default_rng(0)
    return [VoxelFrame(r.random((4, 5, 6)), r.random((4, 5, 6)) < share, r.random((4, 5, 6)) < 0.8)
            for share in (0.1, 0.5, 0.9)]


@pytest.mark.parametrize("threshold", [0.4, 0.7])
def test_every_number_equals_its_sets(threshold):
    ratios, total = [], np.zeros(3)
    for f in random_frames():
        p = {i for i in np.ndindex(4, 5, 6) if f.known[i] and f.prediction[i] > threshold}
        g = {i for i in np.ndindex(4, 5, 6) if f.known[i] and f.truth[i]}
        ratios.append([len(p & g) / len(p | g), len(p & g) / len(p), len(p & g) / len(g)])
        total += [len(p & g), len(p), len(g)]
    names = ("iou", "precision", "recall")
    assert values(random_frames(), VoxelProtocol(threshold)) == pytest.approx(
        dict(zip(names, np.mean(ratios, 0), strict=True)))
    both, p, g = total
    assert values(random_frames(), VoxelProtocol(threshold, "pixels")) == pytest.approx(
        dict(zip(names, (both / (p + g - both), both / p, both / g), strict=True)))


def test_the_threshold_itself_is_not_occupied():
    p = np.array([0.4, np.nextafter(0.4, 1)]).reshape(1, 1, 2)
    assert values([VoxelFrame(p, np.ones((1, 1, 2), bool))]) == {"iou": 0.5, "precision": 1, "recall": 0.5}


def test_all_occupied_stands_beside():
    truth = np.zeros((2, 2, 2), bool)
    truth[0] = True
    scores = judge_voxels([VoxelFrame(truth.astype(float), truth)])
    assert [s.value for s in scores] == [1, 1, 1]
    assert [s.baselines["all occupied"] for s in scores] == [0.5, 0.5, 1]


def test_nothing_by_nothing_is_right():
    empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert values([VoxelFrame(np.zeros((2, 2, 2)), empty)]) == {"iou": 1, "precision": 1, "recall": 1}
    assert values([VoxelFrame(np.ones((2, 2, 2)), empty)]) == {"iou": 0, "precision": 0, "recall": 1}
    assert values([VoxelFrame(np.zeros((2, 2, 2)), full)]) == {"iou": 0, "precision": 1, "recall": 0}


def test_what_cannot_be_judged_is_refused_in_words():
    truth = np.ones((2, 2, 2), bool)
    good = VoxelFrame(np.ones((2, 2, 2)), truth)
    for frames, why in (([], "none"), ([good._replace(known=~truth)], "none"),
                        ([good._replace(prediction=np.full((2, 2, 2), np.nan))], "8 values"),
                        ([good._replace(prediction=np.ones((2, 2, 3)))], "2x2x3")):
        with pytest.raises(InputError, match=why):
            judge_voxels(frames)
    broken = np.ones((2, 2, 2))
    broken[0, 0, 0] = np.nan
    assert values([good._replace(prediction=broken, known=np.isfinite(broken))])["iou"] == 1
