"""Smoothing of cost volumes against loops that say what it means."""

import math

import pytest
import torch

from epipole.geometry.aggregate import cross_aggregate, cross_arms, seen_from_right, semi_global

F64 = torch.float64


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def images(h: int = 5, w: int = 8, seed: int = 3) -> list[torch.Tensor]:
    """Grey of few levels, so that arms are of all lengths."""
    return [(3 * random(1, 1, h, w, seed=seed + k)).floor() for k in range(2)]


def naive_arms(grey, y, x, length, threshold):
    h, w = grey.shape
    arms = []
    for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0)):
        k = 0
        while True:
            v, u = y + (k + 1) * dy, x + (k + 1) * dx
            if not (0 <= v < h and 0 <= u < w):
                break
            if k > 0 and (k + 1 >= length or abs(grey[v, u] - grey[y, x]) >= threshold):
                break
            k += 1
        arms.append(k)
    return arms


@pytest.mark.parametrize("length", [0, 1, 2, 4])
def test_arms_end_at_edges_and_borders(length):
    grey = images()[0]
    found = cross_arms(grey, length, 1.0)
    for y in range(5):
        for x in range(8):
            assert found[0, :, y, x].tolist() == naive_arms(grey[0, 0], y, x, length, 1.0)


def naive_aggregate(cost, left, right):
    """Means over explicit sets of pixels."""
    _, D, h, w = cost.shape
    out = cost.clone()
    for d in range(D):
        for y in range(h):
            for x in range(d, w):
                _, _, up, down = (min(int(a), int(b)) for a, b in zip(left[0, :, y, x], right[0, :, y, x - d],
                                                                     strict=True))
                support = []
                for v in range(y - up, y + down + 1):
                    before, after, _, _ = (min(int(a), int(b)) for a, b in zip(left[0, :, v, x], right[0, :, v, x - d],
                                                                              strict=True))
                    support += [cost[0, d, v, u] for u in range(x - before, x + after + 1)]
                out[0, d, y, x] = sum(support) / len(support)
    return out


@pytest.mark.parametrize("disparities", [1, 3, 11])
def test_costs_are_the_mean_over_the_support_of_both_crosses(disparities):
    cost = random(1, disparities, 5, 8).requires_grad_()
    arms = [cross_arms(grey, 4, 1.0) for grey in images()]
    found, expected = cross_aggregate(cost, *arms), naive_aggregate(cost, *arms)
    torch.testing.assert_close(found, expected)
    weight = random(*cost.shape, seed=9)
    grads = [torch.autograd.grad((x * weight).sum(), cost)[0] for x in (found, expected)]
    torch.testing.assert_close(*grads)


def test_costs_do_not_mix_across_an_edge():
    grey = torch.zeros(1, 1, 6, 10)
    grey[..., 5:] = 1
    cost = torch.where(torch.arange(10) < 5, 1.0, 3.0).expand(1, 1, 6, 10)
    arms = cross_arms(grey, 5, 0.5)
    found = cross_aggregate(cost, arms, arms)
    assert (found[..., 6:] == 3).all()
    assert (found[..., :4] == 1).all()
    assert ((found[..., 4:6] > 1) & (found[..., 4:6] < 3)).all()  # the direct neighbour always belongs


def naive_path(cost, left, right, step, P1, P2, Q1, Q2, edge):
    _, D, h, w = cost.shape
    L, (dy, dx) = {}, step
    rows = range(h) if dy >= 0 else range(h - 1, -1, -1)
    columns = range(w) if dx >= 0 else range(w - 1, -1, -1)
    for y in rows:
        for x in columns:
            v, u = y - dy, x - dx
            for d in range(D):
                c = float(cost[0, d, y, x])
                if not (0 <= v < h and 0 <= u < w):
                    L[y, x, d] = c
                    continue
                there = True
                if min(x, u) >= d:
                    there = abs(float(right[0, 0, y, x - d] - right[0, 0, v, u - d])) > edge
                here = abs(float(left[0, 0, y, x] - left[0, 0, v, u])) > edge
                q = (1, Q1, Q2)[here + there]
                least = min(L[v, u, k] for k in range(D))
                ways = [L[v, u, d], least + P2 / q]
                ways += [L[v, u, k] + P1 / q for k in (d - 1, d + 1) if 0 <= k < D]
                L[y, x, d] = c + min(ways) - least
    return torch.tensor([[[[L[y, x, d] for x in range(w)] for y in range(h)] for d in range(D)]], dtype=F64)


@pytest.mark.parametrize("disparities", [1, 2, 4])
def test_semi_global_matching_is_its_recursion(disparities):
    cost, (left, right) = random(1, disparities, 5, 6), images(5, 6)
    P1, P2, Q1, Q2, V, edge = 0.11, 0.4, 2.0, 5.0, 1.5, 0.5
    found = semi_global(cost, left, right, P1, P2, Q1, Q2, V, edge)
    paths = [naive_path(cost, left, right, step, P1 / (V if step[0] else 1), P2, Q1, Q2, edge)
             for step in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    torch.testing.assert_close(found, sum(paths) / 4)


def test_without_penalties_every_pixel_keeps_its_own_winner_and_with_them_a_lone_one_gives_way():
    cost, (left, right) = random(2, 5, 6, 7), [torch.zeros(2, 1, 6, 7, dtype=F64)] * 2
    assert torch.equal(semi_global(cost, left, right, 0.0, 0.0).argmin(1), cost.argmin(1))
    cost = 1 + 0 * cost
    cost[:, 2], cost[:, 2, 3, 4], cost[:, 4, 3, 4] = 0, 1, 0
    assert cost.argmin(1).unique().tolist() == [2, 4]
    assert semi_global(cost, left, right, 0.6, 1.2).argmin(1).unique().tolist() == [2]


def test_gradients_of_semi_global_matching():
    cost, (left, right) = random(1, 3, 3, 4).requires_grad_(), images(3, 4)
    assert torch.autograd.gradcheck(lambda c: semi_global(c, left, right, 0.11, 0.4, 2.0, 5.0, 1.5, 0.5), (cost,))


def test_seen_from_the_right_the_costs_are_those_of_the_same_pairs():
    cost = random(1, 4, 2, 6)
    right = seen_from_right(cost, math.inf)
    for d in range(4):
        for x in range(6):
            expected = cost[0, d, :, x + d] if x + d < 6 else torch.full((2,), math.inf, dtype=F64)
            assert torch.equal(right[0, d, :, x], expected)
