import numpy as np
import pytest

from epipole.viewer.colour import (
    GREY,
    ColourScale,
    depth_ticks,
    deviation_ticks,
    even_ticks,
    fit_scale,
    inverse,
    nice_numbers,
)


def test_same_value_has_the_same_colour_in_every_frame():
    scale = ColourScale(0.2, 2.0, "turbo")
    first, second = np.full((3, 4), 0.7), np.linspace(0, 5, 12).reshape(3, 4)
    second[1, 2] = 0.7
    assert (scale.paint(first)[0, 0] == scale.paint(second)[1, 2]).all()


def test_colours_of_different_steps_differ_and_none_is_the_grey_of_unknown():
    for name in ("turbo", "magma"):
        table = ColourScale(0.0, 1.0, name).table
        assert len(np.unique(table, axis=0)) == 256
        assert not (table == GREY).all(1).any()


def test_paint_equals_the_table_at_the_nearest_step():
    scale = ColourScale(-1.0, 3.0, "magma")
    values = np.random.default_rng(0).uniform(-2, 4, (5, 6))
    for at in np.ndindex(values.shape):
        step = round(255 * min(max((values[at] + 1) / 4, 0), 1))
        assert (scale.paint(values)[at] == scale.table[step]).all()


def test_unknown_values_are_grey():
    painted = ColourScale(0.0, 1.0, "turbo").paint(np.array([np.nan, np.inf, 0.5]))
    assert (painted[:2] == GREY).all()
    assert not (painted[2] == GREY).all()


def test_inverse_marks_what_is_not_a_depth():
    got = inverse(np.array([2.0, 0.0, -1.0, np.inf, np.nan]))
    assert got[0] == 0.5
    assert np.isnan(got[1:]).all()


def test_scale_is_between_the_percentiles_of_the_known_values():
    values = np.concatenate([np.arange(101.0), [np.nan, np.inf]])
    scale = fit_scale(values, "turbo", (10.0, 90.0))
    assert (scale.low, scale.high) == (10, 90)


@pytest.mark.parametrize("values", [np.full(9, 3.0), np.zeros(4), np.full(3, np.nan), np.array([])])
def test_constant_or_empty_values_still_give_a_scale(values):
    scale = fit_scale(values, "turbo")
    assert np.isfinite([scale.low, scale.high]).all()
    assert scale.low < scale.high


def test_depth_legend_runs_from_near_to_far_at_the_places_of_the_colours():
    scale = ColourScale(1 / 10, 1 / 0.5, "turbo")
    ticks = depth_ticks(scale)
    assert len(ticks) >= 3
    for z, place in ticks:
        assert place == pytest.approx(1 - (1 / z - 0.1) / 1.9)
    assert [z for z, _ in ticks] == sorted(z for z, _ in ticks)


def test_deviation_legend_is_in_per_cent_of_log_depth():
    scale = ColourScale(2 * np.log(0.01), 2 * np.log(1.0), "magma")
    for percent, place in deviation_ticks(scale):
        assert place == pytest.approx(np.log10(percent) / 2)


def test_nice_numbers_lie_between_the_bounds():
    assert nice_numbers(0.9, 2.1) == [0.9, 1.0, 1.2, 1.5, 2.0]
    assert nice_numbers(0.0, 1.0) == []


def test_even_ticks():
    assert even_ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10]
    assert np.allclose(even_ticks(-0.13, 0.31), [-0.1, 0, 0.1, 0.2, 0.3])
    assert even_ticks(1.0, 1.0) == [1]
