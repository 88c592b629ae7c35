"""Chamfer against scipy's k-d tree, the earth mover against scipy's assignment."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from epipole.geometry.motion import move, se3_exp
from epipole.losses.point_sets import assignment, chamfer, earth_mover

F64 = torch.float64


def clouds(generator: torch.Generator, n: int = 40, m: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, 3, generator=generator, dtype=F64), torch.randn(m, 3, generator=generator, dtype=F64)


def test_chamfer_is_that_of_scipy(generator):
    a, b = clouds(generator, 300, 200)
    there, back = chamfer(a, b)
    np.testing.assert_allclose(there.numpy(), cKDTree(b.numpy()).query(a.numpy())[0] ** 2)
    np.testing.assert_allclose(back.numpy(), cKDTree(a.numpy()).query(b.numpy())[0] ** 2)


def test_chamfer_of_many_points_is_that_of_scipy(generator):
    """So many that a tree is searched."""
    a, b = (x.float() for x in clouds(generator, 3000, 2500))
    there, _ = chamfer(a, b)
    np.testing.assert_allclose(there.sqrt().numpy(), cKDTree(b.numpy()).query(a.numpy())[0], rtol=1e-4, atol=1e-6)


def test_earth_mover_is_the_best_assignment(generator):
    a, b = clouds(generator)
    cost = cdist(a.numpy(), b.numpy())
    rows, columns = linear_sum_assignment(cost)
    assert assignment(torch.from_numpy(cost), 1e-6).tolist() == columns.tolist()
    np.testing.assert_allclose(earth_mover(a, b, 1e-6).numpy(), cost[rows, columns])


@given(n=st.integers(1, 30), seed=st.integers(0, 999), whole=st.booleans())
@settings(max_examples=40, deadline=None)
def test_an_assignment_is_one_to_one_and_as_good_as_it_says(n, seed, whole):
    """Whole numbers have many ties."""
    cost = 5 * torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=F64)
    cost = cost.floor() if whole else cost
    found = assignment(cost, 1e-2)
    assert sorted(found.tolist()) == list(range(n))
    rows, columns = linear_sum_assignment(cost.numpy())
    best = cost[rows, columns].sum()
    assert best - 1e-9 <= cost[torch.arange(n), found].sum() <= best + 1e-2 * n * cost.mean() + 1e-9


@pytest.mark.parametrize("distance", [lambda a, b: torch.cat(chamfer(a, b)), earth_mover])
class TestBoth:
    def test_zero_for_the_same_set_in_another_order(self, generator, distance):
        a, _ = clouds(generator)
        assert distance(a, a[torch.randperm(40, generator=generator)]).max() < 1e-12

    def test_blind_to_order_and_to_a_common_motion(self, generator, distance):
        a, b = clouds(generator)
        T = se3_exp(torch.randn(6, generator=generator, dtype=F64))
        order = torch.randperm(40, generator=generator)
        torch.testing.assert_close(distance(move(T, a)[order], move(T, b)).sum(), distance(a, b).sum())

    def test_gradcheck(self, generator, distance):
        a, b = clouds(generator, 7, 7)
        assert torch.autograd.gradcheck(distance, (a.requires_grad_(), b.requires_grad_()))

    def test_points_that_coincide_have_finite_gradients(self, generator, distance):
        a = torch.ones(6, 3).requires_grad_()
        distance(a, torch.ones(6, 3)).sum().backward()
        assert torch.equal(a.grad, torch.zeros(6, 3))

    def test_every_set_of_a_batch_for_itself(self, generator, distance):
        a, b = (torch.randn(2, 9, 3, generator=generator, dtype=F64) for _ in range(2))
        torch.testing.assert_close(distance(a, b).view(-1, 2, 9)[..., 1, :].sum() if distance is earth_mover
                                   else sum(x[1].sum() for x in chamfer(a, b)), distance(a[1], b[1]).sum())


def test_a_shift_less_than_half_the_spacing_is_the_distance():
    grid = torch.cartesian_prod(*[torch.arange(4.0)] * 3)
    shift = torch.tensor([0.3, 0, 0])
    torch.testing.assert_close(earth_mover(grid, grid + shift), torch.full((64,), 0.3))
    for x in chamfer(grid, grid + shift):
        torch.testing.assert_close(x, torch.full((64,), 0.09))


def test_chamfer_does_not_see_density_and_the_earth_mover_does():
    a = torch.tensor([[0.0, 0, 0]] * 3 + [[1.0, 0, 0]])
    b = torch.tensor([[0.0, 0, 0]] + [[1.0, 0, 0]] * 3)
    assert sum(x.sum() for x in chamfer(a, b)) == 0
    assert earth_mover(a, b).sum() == 2


def test_descent_brings_the_clouds_together(generator):
    a, b = clouds(generator)
    a.requires_grad_()
    before = earth_mover(a, b).mean()
    before.backward()
    assert earth_mover((a - 4 * a.grad).detach(), b).mean() < 0.95 * before


def test_costs_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        earth_mover(torch.full((3, 3), torch.nan), torch.zeros(3, 3))
