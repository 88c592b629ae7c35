"""Filling and filtering of disparity maps against loops and OpenCV."""

import math

import cv2
import numpy as np
import pytest
import torch

from epipole.geometry.disparity import (
    bilateral,
    could_match,
    fill_from_around,
    fill_from_left,
    median_filter,
    subpixel,
)


def whole(h: int = 6, w: int = 9, most: int = 5, seed: int = 0, b: int = 1) -> torch.Tensor:
    return torch.randint(0, most, (b, 1, h, w), generator=torch.Generator().manual_seed(seed)).double()


def test_a_pixel_could_match_where_some_disparity_agrees_with_the_right_view():
    right = whole()
    found = could_match(right, 5, 1.0)
    for y in range(6):
        for x in range(9):
            options = [d for d in range(5) if x - d >= 0 and abs(d - float(right[0, 0, y, x - d])) <= 1]
            assert bool(found[0, 0, y, x]) == bool(options)
    assert 0.1 < found.double().mean() < 1


def test_what_is_unknown_takes_the_known_value_to_its_left_and_else_to_its_right():
    d = torch.tensor([[0.0, 5, 0, 0, 3, 0], [1, 2, 3, 4, 5, 6]]).reshape(1, 1, 2, 6)
    known = torch.tensor([[False, True, False, False, True, False], 6 * [False]]).reshape(1, 1, 2, 6)
    assert fill_from_left(d, known)[0, 0].tolist() == [[5, 5, 5, 5, 3, 3], [1, 2, 3, 4, 5, 6]]


def naive_around(d, wrong):
    h, w = d.shape
    out = d.clone()
    steps = [(0, 1), (-0.5, 1), (-1, 1), (-1, 0.5), (-1, 0), (-1, -0.5), (-1, -1), (-0.5, -1), (0, -1), (0.5, -1),
             (1, -1), (1, -0.5), (1, 0), (1, 0.5), (1, 1), (0.5, 1)]
    for y in range(h):
        for x in range(w):
            if not wrong[y, x]:
                continue
            values = []
            for dx, dy in steps:
                k = 0
                while True:
                    k += 1
                    u, v = x + math.floor(k * dx + 0.5), y + math.floor(k * dy + 0.5)
                    if not (0 <= u < w and 0 <= v < h):
                        break
                    if not wrong[v, u]:
                        values.append(float(d[v, u]))
                        break
            if values:
                out[y, x] = sorted(values)[len(values) // 2]
    return out


@pytest.mark.parametrize("share", [0.1, 0.7, 1.0])
def test_what_is_wrong_takes_the_median_of_sixteen_directions(share):
    d = whole(9, 12, 50, b=2)
    wrong = torch.rand(d.shape, generator=torch.Generator().manual_seed(1)) < share
    found = fill_from_around(d, wrong)
    for k in range(2):
        assert torch.equal(found[k, 0], naive_around(d[k, 0], wrong[k, 0]))


def test_a_parabola_is_found_to_its_lowest_point():
    lowest = torch.tensor([2.3, 1.6, 3.0, 0.2, 4.9]).double()
    d = torch.arange(6.0, dtype=torch.float64)
    cost = (d[:, None] - lowest).square().reshape(1, 6, 1, 5)
    found = subpixel(cost.argmin(1, keepdim=True).double(), cost)
    torch.testing.assert_close(found.flatten(), torch.tensor([2.3, 1.6, 3.0, 0.0, 5.0]).double())  # ends stay


def test_where_costs_are_flat_or_bent_down_a_disparity_stays():
    cost = torch.stack([torch.zeros(5), -torch.tensor([0.0, 1, 4, 9, 16]), torch.tensor([9.0, 9, 8, 9, 0])], -1)
    at = torch.full((1, 1, 1, 3), 2.0)
    found = subpixel(at, cost.reshape(1, 5, 1, 3))
    assert found.flatten().tolist() == [2, 2, 2]
    assert torch.isfinite(found).all()


def test_the_median_is_opencvs():
    d = whole(20, 30, 100).float()
    assert np.array_equal(median_filter(d)[0, 0].numpy(), cv2.medianBlur(d[0, 0].numpy(), 5))


def test_the_bilateral_filter_is_its_sum():
    d, sigma, threshold = whole(7, 8, 6), 0.8, 2.0
    found = bilateral(d, sigma, threshold)[0, 0]
    r = math.ceil(3 * sigma)
    for y in range(7):
        for x in range(8):
            total = share = 0.0
            for v in range(max(0, y - r), min(7, y + r + 1)):
                for u in range(max(0, x - r), min(8, x + r + 1)):
                    if abs(float(d[0, 0, v, u] - d[0, 0, y, x])) < threshold:
                        weight = math.exp(-((u - x) ** 2 + (v - y) ** 2) / 2 / sigma**2)
                        total, share = total + weight * float(d[0, 0, v, u]), share + weight
            assert float(found[y, x]) == pytest.approx(total / share)


def test_filters_keep_a_step_and_what_is_constant():
    step = torch.where(torch.arange(20) < 10, 3.0, 9.0).expand(1, 1, 12, 20)
    torch.testing.assert_close(bilateral(step, 2.0, 5.0), step)
    torch.testing.assert_close(median_filter(step), step)


def test_gradients_of_the_smooth_parts():
    d = (whole(4, 5) + 0.3 * torch.rand(1, 1, 4, 5, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: bilateral(x, 0.7, 2.5), (d,))
    cost = (torch.arange(5.0).double()[:, None, None] - 2).square().expand(1, 5, 2, 3).contiguous().requires_grad_()
    at = torch.full((1, 1, 2, 3), 2.0).double()
    assert torch.autograd.gradcheck(lambda c: subpixel(at, c), (cost,))
