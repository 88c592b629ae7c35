"""The weighted median against a naive twin, and what it is for."""

import pytest
import torch

from epipole.geometry.weighted_median import ROUNDS, weighted_median

HOW = {"radius": 5, "step": 2, "sigma_guide": 0.3, "sigma_space": 3.0}


def naive(x, guide, v, u, radius, step, sigma_guide, sigma_space):
    """Sort what is around, walk until half of the weight is behind."""
    h, w = x.shape
    reach = radius // step * step
    some = []
    for dv in range(-reach, reach + 1, step):
        for du in range(-reach, reach + 1, step):
            a, b = min(max(v + dv, 0), h - 1), min(max(u + du, 0), w - 1)
            apart = float((guide[:, a, b] - guide[:, v, u]).square().sum())
            weight = torch.exp(torch.tensor(-apart / 2 / sigma_guide**2 - (dv**2 + du**2) / 2 / sigma_space**2))
            some.append((float(x[a, b]), float(weight)))
    total, behind = sum(weight for _, weight in some), 0.0
    for value, weight in sorted(some):
        behind += weight
        if behind >= total / 2:
            return value
    raise AssertionError


def test_it_is_what_sorting_gives():
    generator = torch.Generator().manual_seed(0)
    x, guide = torch.rand(9, 14, generator=generator), torch.rand(3, 9, 14, generator=generator)
    found = weighted_median(x, guide, torch.ones(9, 14, dtype=torch.bool), **HOW)
    for v in range(9):
        for u in range(14):
            assert float(found[v, u]) == pytest.approx(naive(x, guide, v, u, **HOW), abs=1.1 / 2**ROUNDS)


def test_elsewhere_nothing_changes():
    x, where = torch.rand(9, 14), torch.rand(9, 14) > 0.5
    found = weighted_median(x, torch.zeros(3, 9, 14), where, **HOW)
    torch.testing.assert_close(found[~where], x[~where], rtol=0, atol=0)
    assert (found[where] != x[where]).any()
    nowhere = weighted_median(x, torch.zeros(3, 9, 14), torch.zeros(9, 14, dtype=torch.bool), **HOW)
    torch.testing.assert_close(nowhere, x, rtol=0, atol=0)


def test_a_constant_stays():
    x = torch.full((9, 14), 0.7, dtype=torch.float64)
    guide = torch.rand(3, 9, 14, dtype=torch.float64)
    torch.testing.assert_close(weighted_median(x, guide, x > 0, **HOW), x, rtol=0, atol=1e-12)


def test_a_thing_that_is_smeared_over_its_background_shrinks_to_its_colour():
    """Depth of a box is 3 px too wide on every side; the guide shows where it ends."""
    guide, x = torch.zeros(3, 40, 60), torch.full((40, 60), 2.0)
    guide[:, 12:28, 20:40] = 1.0
    x[9:31, 17:43] = 1.0
    found = weighted_median(x, guide, torch.ones(40, 60, dtype=torch.bool), radius=15, step=3, sigma_guide=0.1,
                            sigma_space=12.0)
    right = torch.where(guide[0] > 0, 1.0, 2.0)
    assert ((x - right).abs() > 0.1).float().mean() > 0.1
    assert ((found - right).abs() > 0.1).float().mean() < 0.01
