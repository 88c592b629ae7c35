"""Class scores by hand and against naive twins."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from epipole.judges.classes import ClassFrame, ClassProtocol, boundary_f, class_numbers, confusion, judge_classes
from epipole.types.errors import InputError

FOUR = ClassProtocol(4)


def values(frames, protocol=FOUR) -> dict[str, float]:
    return {s.name: s.value for s in judge_classes(frames, protocol)}


def random_frames(n: int = 3) -> list[ClassFrame]:
    r = np.random.default_rng(0)
    truths = [np.where(r.random((8, 9)) < 0.1, 255, r.integers(0, 3, (8, 9))) for _ in range(n)]
    return [ClassFrame(np.where(r.random((8, 9)) < 0.3, r.integers(0, 4, (8, 9)), t % 255), t) for t in truths]


def test_every_number_equals_its_naive_twin():
    frames = random_frames()
    pairs = [(int(t), int(p)) for f in frames for p, t in zip(f.prediction.flat, f.truth.flat, strict=True) if t != 255]
    there = sorted({t for t, _ in pairs})
    assert there == [0, 1, 2]  # and class 3 is only predicted
    iou = {c: sum(t == p == c for t, p in pairs) / sum(c in pair for pair in pairs) for c in there}
    share = {c: sum(t == p == c for t, p in pairs) / sum(t == c for t, _ in pairs) for c in there}
    scores = values(frames)
    assert scores["accuracy"] == pytest.approx(sum(t == p for t, p in pairs) / len(pairs))
    assert scores["class_accuracy"] == pytest.approx(np.mean(list(share.values())))
    assert scores["mean_iou"] == pytest.approx(np.mean(list(iou.values())))
    assert scores["weighted_iou"] == pytest.approx(sum(iou[t] for t, _ in pairs) / len(pairs))


def test_one_matrix_is_not_the_mean_of_images():
    right, wrong = np.zeros((2, 50), int), np.zeros((1, 2), int)
    frames = [ClassFrame(right, right), ClassFrame(wrong + 1, wrong)]
    assert values(frames)["accuracy"] == pytest.approx(100 / 102)


def test_renaming_the_classes_changes_nothing():
    names = np.append(np.array([2, 0, 3, 1]), np.full(252, 255))
    renamed = [ClassFrame(names[f.prediction], names[f.truth]) for f in random_frames()]
    assert values(renamed) == pytest.approx(values(random_frames()))


def test_the_most_frequent_class_stands_beside():
    truth = np.array([0, 0, 0, 1])
    scores = {s.name: s for s in judge_classes([ClassFrame(truth, truth)], FOUR)}
    assert {n: s.value for n, s in scores.items()} == dict.fromkeys(scores, 1)
    assert {n: s.baselines["most frequent class"] for n, s in scores.items()} == {
        "accuracy": 0.75, "class_accuracy": 0.5, "mean_iou": 0.375, "weighted_iou": 0.75 * 0.75}


def test_voxels_and_images_have_no_border():
    cube = np.zeros((3, 3, 3), int)
    assert "boundary_f" not in values([ClassFrame(cube, cube), ClassFrame(cube[0, 0], cube[0, 0])])


def naive_boundary_f(prediction, truth, reach) -> float:
    disc = np.hypot(*np.mgrid[-20:21, -20:21]) <= reach
    scores = []
    for label in np.unique(truth):
        edges = []
        for x in (prediction, truth):
            m = np.pad(x == label, 1, mode="edge")
            inner = m[1:-1, 1:-1]
            edges.append(inner & ~(m[:-2, 1:-1] & m[2:, 1:-1] & m[1:-1, :-2] & m[1:-1, 2:]))
        p, g = edges
        precision = (p & binary_dilation(g, disc)).sum() / max(p.sum(), 1)
        recall = (g & binary_dilation(p, disc)).sum() / max(g.sum(), 1)
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return float(np.mean(scores))


@pytest.mark.parametrize("border", [0.005, 0.02, 0.05])
def test_borders_are_as_near_as_dilation_says(border):
    y, x = np.mgrid[:60, :80]
    truth = (np.hypot(y - 30, x - 40) < 20).astype(int) + 2 * (x > 65)
    prediction = (np.hypot(y - 31, x - 42) < 18).astype(int) + 2 * (x > 66)
    protocol = ClassProtocol(4, border=border)
    expected = naive_boundary_f(prediction, truth, border * 100)
    assert 0 < expected < 1 or border == 0.05
    assert boundary_f(prediction, truth, protocol).mean() == pytest.approx(expected)
    assert values([ClassFrame(prediction, truth)], protocol)["boundary_f"] == pytest.approx(expected)


def test_borders_to_what_is_ignored_do_not_count():
    truth = np.zeros((20, 20), int)
    truth[:, 10:] = 255
    assert boundary_f(truth % 255, truth, FOUR).size == 0
    assert "boundary_f" not in values([ClassFrame(truth % 255, truth)])
    missed = np.where(truth == 0, 1, 0)
    missed[0, 0] = 0
    assert boundary_f(missed, truth, FOUR).tolist() == [0]  # a border where there is none


def test_what_cannot_be_judged_is_refused_in_words():
    good = np.array([0, 1])
    for prediction, truth, why in ((good, good * 0 + 255, "no label that counts"), (good + 3, good, "1 predicted"),
                                   (good, good - 1, "1 true"), (good[:1], good, "is 1 and the true one 2")):
        with pytest.raises(InputError, match=why):
            judge_classes([ClassFrame(prediction, truth)], FOUR)
    with pytest.raises(InputError):
        judge_classes([], FOUR)
    assert values([ClassFrame(np.array([99, 1]), np.array([255, 1]))])["accuracy"] == 1


def test_the_matrix_has_the_truth_in_rows():
    counts = confusion(np.array([1, 1, 0]), np.array([0, 1, 1]), ClassProtocol(2))
    assert counts.tolist() == [[0, 1], [1, 1]]
    assert class_numbers(np.array([[3, 1], [0, 0]]))["mean_iou"] == 0.75
