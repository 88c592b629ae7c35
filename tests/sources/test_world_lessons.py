"""Digits and slopes: strokes against a twin, labels that the pictures bear out."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage

from epipole.sources.worlds import Spec
from epipole.sources.worlds.drawn.digits import WRITTEN, Digits, finer, written
from epipole.sources.worlds.drawn.slopes import Slopes, all_same, odd
from epipole.sources.worlds.drawn.strokes import arc, distance, ink
from epipole.types.errors import InputError

DIGITS = Spec("digits", 1, frames=400, width=28, height=28)
SLOPES = Spec("slopes", 0, frames=200, width=20, height=20)


def test_distances_are_those_of_a_twin() -> None:
    rng = np.random.default_rng(0)
    strokes = [rng.uniform(0, 10, (4, 2)), rng.uniform(0, 10, (2, 2)), np.array([[3.0, 3.0], [3.0, 3.0]])]
    points = rng.uniform(-2, 12, (30, 2))
    for p, found in zip(points, distance(points, strokes), strict=True):
        best = math.inf
        for stroke in strokes:
            for a, b in pairwise(stroke):
                best = min(best, min(math.dist(p, a + t * (b - a)) for t in np.linspace(0, 1, 2001)))
        assert found == pytest.approx(best, abs=0.01)


def test_ink_covers_as_much_as_the_pen_is_wide() -> None:
    image = ink([np.array([[-20.0, 3.0], [60.0, 27.0]])], 40, 30, 3.0)
    across = image.sum(0)[10:30] * 80 / math.hypot(80, 24)
    np.testing.assert_allclose(across, 3.0, atol=0.1)
    assert image.max() == 1
    assert image.min() == 0


def test_arcs_lie_on_their_ellipse() -> None:
    points = arc((2.0, 3.0), (4.0, 5.0), 0.0, 90.0)
    np.testing.assert_allclose(points[[0, -1]], [[6, 3], [2, 8]], atol=1e-12)
    np.testing.assert_allclose((((points - [2, 3]) / [4, 5]) ** 2).sum(1), 1)


def test_finer_strokes_are_the_same_strokes() -> None:
    stroke = np.array([[0.0, 0.0], [1.0, 0.5], [1.0, 0.5], [-1.0, 2.0]])
    fine = finer(stroke)
    np.testing.assert_allclose(distance(fine, [stroke]), 0, atol=1e-12)
    np.testing.assert_allclose(distance(stroke, [fine]), 0, atol=1e-12)
    assert np.linalg.norm(np.diff(fine, axis=0), axis=1).max() < 0.121


HOLES = {0: 1, 1: 0, 2: 0, 3: 0, 5: 0, 6: 1, 7: 0, 8: 2, 9: 1}


@pytest.mark.parametrize("digit", HOLES)
def test_digits_have_the_holes_they_should(digit: int) -> None:
    """Euler's number does not change when a digit is bent or slanted."""
    for seed in range(3):
        strokes = written(digit, 56, 56, 1, np.random.default_rng(seed))
        image = ink(strokes, 56, 56, 4.0) > 0.5
        _, pieces = ndimage.label(image, np.ones((3, 3)))
        grounds, _ = ndimage.label(~np.pad(image, 1))
        holes = (np.bincount(grounds.ravel())[2:] > 9).sum()  # less is a gap between strokes that touch
        assert (pieces, holes) == (1, HOLES[digit])


def test_digits_fill_the_image_and_stay_inside() -> None:
    assert len(WRITTEN) == 10
    for level in range(4):
        for digit in range(10):
            image = ink(written(digit, 28, 28, level, np.random.default_rng(digit)), 28, 28, 2.0)
            rows = np.flatnonzero(image.max(1) > 0.5)
            assert 12 <= np.ptp(rows) <= 27
            assert image[[0, -1]].max() < 1 or level > 1


def test_digits_can_be_told_apart_by_their_neighbours() -> None:
    """The nearest of 300 others has the same label far more often than chance, more surely the lower the level."""
    right = []
    for level in (1, 3):
        source = Digits(replace(DIGITS, difficulty=level))
        views = [source[i] for i in range(400)]
        x = torch.stack([v.image.flatten() for v in views])
        y = torch.stack([v.label[0] for v in views])
        nearest = torch.cdist(x[300:], x[:300]).argmin(1)
        right.append(float((y[:300][nearest] == y[300:]).float().mean()))
        assert len(y.unique()) == 10
        assert int(y.bincount().min()) > 15
    assert right[0] > 0.85
    assert 0.2 < right[1] < right[0]


@pytest.mark.parametrize("noisy", [0, 2])
def test_lines_rise_where_their_labels_say_so(noisy: int) -> None:
    """The sign of the covariance of u and v of what is bright."""
    v, u = np.mgrid[:20, :20].reshape(2, -1).astype(float)
    source, right = Slopes(replace(SLOPES, difficulty=noisy)), []
    for i in range(40):
        views = source[i]
        assert views.image.shape == (4, 1, 20, 20)
        for image, label in zip(views.image, views.label, strict=True):
            bright = np.clip(image.numpy().ravel() - 0.6, 0, None)
            right.append((np.cov(u, v, aweights=bright)[0, 1] < 0) == bool(label))
    assert np.mean(right) > (0.98 if noisy == 0 else 0.9)


def test_questions_and_their_balance() -> None:
    label = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 0], [1, 1, 0]])
    assert odd(label).tolist() == [True, False, True, False]
    assert all_same(label).tolist() == [True, True, False, False]
    free = torch.stack([Slopes(SLOPES)[i].label for i in range(200)])
    even = torch.stack([Slopes(SLOPES, agree=True)[i].label for i in range(200)])
    assert float(odd(free).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert float(all_same(free).float().mean()) < 0.25
    assert float(all_same(even).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert float(even.float().mean()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("source", [Digits(DIGITS), Slopes(SLOPES, 3)])
def test_samples_follow_from_seed_and_number_alone(source: Digits | Slopes) -> None:
    first = source[7]
    again = type(source)(source.spec)[7] if isinstance(source, Digits) else Slopes(source.spec, 3)[7]
    other = type(source)(replace(source.spec, seed=1))[7]
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image[:1], other.image[:1])
    assert torch.equal(source[-1].image, source[len(source) - 1].image)
    with pytest.raises(IndexError):
        source[len(source)]


def test_specs_of_other_families_are_refused() -> None:
    with pytest.raises(InputError):
        Digits(SLOPES)
    with pytest.raises(InputError):
        Slopes(DIGITS)
