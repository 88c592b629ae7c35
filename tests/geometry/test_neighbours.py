"""Nearest neighbours against scipy's k-d tree, among clouds of every kind."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from epipole.geometry.icp import nearest
from epipole.geometry.neighbours import RUN, inverse, neighbours, tree

CLOUDS = ["volume", "room", "line", "clusters", "grid", "two far lumps", "one place"]


def cloud(kind: str, n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    p = torch.rand(n, 3, generator=g, dtype=torch.float64)
    if kind == "room":  # the faces of a box
        p[torch.arange(n), torch.randint(0, 3, (n,), generator=g)] = torch.randint(0, 2, (n,), generator=g).to(p)
    if kind == "line":
        p = p[:, :1] * torch.tensor([1.0, 2, 3])
    if kind == "clusters":  # of very unequal density
        p = p * 10.0 ** -torch.randint(0, 6, (n, 1), generator=g)
    if kind == "grid":
        p = (p * 9).round()
    if kind == "two far lumps":
        p[::2] += 1e4
    if kind == "one place":
        p[:] = 3.0
    return p.to(dtype)


@pytest.mark.parametrize("among", CLOUDS)
@pytest.mark.parametrize("query", ["volume", "room", "two far lumps"])
@pytest.mark.parametrize("k", [1, 2, 7, 20])
def test_distances_are_those_of_scipy(query, among, k):
    a, b = cloud(query, 300, 1), cloud(among, 700)
    index, distance = neighbours(a, tree(b), k)
    truth = cKDTree(b.numpy()).query(a.numpy(), range(1, k + 1))[0]
    np.testing.assert_allclose(distance.numpy(), truth, rtol=1e-12)
    torch.testing.assert_close((a[:, None] - b[index]).norm(dim=-1), distance)  # ties may go either way
    assert (index.sort(-1).values.diff() > 0).all()  # k different points


@given(n=st.integers(1, 70), m=st.integers(1, 70), k=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_any_number_of_points(n, m, k, seed):
    a, b = cloud("volume", n, seed), cloud("clusters", m, seed + 1)
    index, distance = neighbours(a, tree(b), k)
    truth = torch.cdist(a, b).sort(-1).values[:, :k]
    torch.testing.assert_close(distance[:, :m], truth, atol=1e-9, rtol=1e-9)
    assert distance[:, m:].isinf().all()
    assert (index[:, m:] == 0).all()


def test_within_reach_only():
    a, b = cloud("volume", 400, 1), cloud("volume", 400, 2)
    far = torch.cdist(a, b).amin(-1) > 0.08
    index, distance = (x[:, 0] for x in neighbours(a, tree(b), 1, reach=0.08))
    assert 0 < far.sum() < 400
    assert torch.equal(distance.isinf(), far)
    assert (index[far] == 0).all()
    torch.testing.assert_close(distance[~far], torch.cdist(a, b).amin(-1)[~far])


@pytest.mark.parametrize("kind", CLOUDS)
def test_a_tree_holds_every_point_once(kind):
    points = cloud(kind, 500)
    t = tree(points)
    torch.testing.assert_close(t.full.mT.reshape(-1, 3)[t.slot], points[t.order])
    assert torch.equal(t.order.sort().values, torch.arange(500))
    assert t.full.isfinite().sum() == 3 * 500
    assert torch.equal(t.place[t.slot], torch.arange(500))
    for boxes, held in zip(t.boxes, t.held, strict=True):
        assert held.sum() == 500
        torch.testing.assert_close(boxes.amax(-1), torch.cat([points.amax(0), -points.amin(0)]))
    assert len(t.leaves) < 500 or kind in {"grid", "clusters", "one place"}
    assert t.leaves.shape[-1] == RUN


def test_many_points_in_float32():
    a, b = cloud("room", 20000, 1, torch.float32), cloud("room", 30000, 2, torch.float32)
    _, distance = neighbours(a, tree(b))
    np.testing.assert_allclose(distance[:, 0].numpy(), cKDTree(b.numpy()).query(a.numpy())[0], rtol=1e-5, atol=1e-7)


def test_nearest_is_the_same_by_tree_and_by_comparing_all(monkeypatch):
    a, b = (torch.stack([cloud("room", 300, s), cloud("volume", 300, s)]) for s in (1, 2))
    compared = nearest(a, b)
    monkeypatch.setattr("epipole.geometry.icp.MANY", 0)
    for x, y in zip(nearest(a, b), compared, strict=True):
        assert torch.equal(x, y)


def test_inverse_undoes_a_permutation(generator):
    order = torch.randperm(50, generator=generator)
    assert torch.equal(order[inverse(order)], torch.arange(50))
    assert torch.equal(inverse(order)[order], torch.arange(50))


@pytest.mark.parametrize("bad", [torch.empty(0, 3), torch.tensor([[0.0, torch.nan, 0]]), torch.full((2, 3), torch.inf)])
def test_no_points_and_points_nowhere_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        tree(bad)
