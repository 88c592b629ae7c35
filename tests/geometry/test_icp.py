"""ICP against brute force and against motions that were planted."""

import math

import pytest
import torch

from epipole.geometry import icp as module
from epipole.geometry.icp import icp, nearest
from epipole.geometry.motion import angle, move, se3, so3_exp
from epipole.geometry.robust import tukey

F64 = torch.float64


def box(generator: torch.Generator, n: int = 500, size: float = 4.0, dtype: torch.dtype = F64) -> torch.Tensor:
    return size * torch.rand(n, 3, generator=generator, dtype=F64).to(dtype)


def nearest_by_hand(source: torch.Tensor, target: torch.Tensor) -> list[int]:
    return [min(range(len(target)), key=lambda j: float((s - target[j]).square().sum())) for s in source]


def test_nearest_is_the_double_loop(generator):
    source, target = box(generator, 20), box(generator, 30)
    index, distance = nearest(source, target)
    assert index.tolist() == nearest_by_hand(source, target)
    torch.testing.assert_close(distance, (source - target[index]).norm(dim=-1))


def test_blocks_do_not_change_the_answer(generator, monkeypatch):
    source, target = box(generator, 101).unflatten(0, (1, 101)).repeat(2, 1, 1), box(generator, 2 * 37).view(2, 37, 3)
    whole = nearest(source, target)
    monkeypatch.setitem(module.BLOCK, "cpu", 300)
    for a, b in zip(nearest(source, target), whole, strict=True):
        assert torch.equal(a, b)


def test_nearest_is_exact_far_from_the_origin():
    """|a|^2 - 2ab + |b|^2 in float32 would lose a millimetre at 1 km."""
    target = torch.tensor([[1000.0, 0, 0], [1000.002, 0, 0]])
    assert nearest(torch.tensor([[1000.0015, 0, 0], [999.9, 0, 0]]), target)[0].tolist() == [1, 0]


@pytest.mark.parametrize("size", [1.0, 10.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_planted_translation_is_recovered(generator, size, dtype):
    a = box(generator, 500, size, dtype)
    shift = torch.tensor([0.05, 0, 0], dtype=dtype)
    found = icp(a, a + shift)
    torch.testing.assert_close(found.T_target_source, se3(torch.eye(3, dtype=dtype), shift), atol=2e-5, rtol=0)
    assert found.residual.abs().max() < 1e-5
    assert found.matched.all()


def test_planted_rotation_is_recovered(generator):
    a = box(generator)
    R = so3_exp(math.radians(2) * torch.nn.functional.normalize(torch.tensor([1.0, 2, -1], dtype=F64), dim=0))
    centre = a.mean(0)
    found = icp(a, (a - centre) @ R.T + centre)
    assert math.degrees(angle(found.T_target_source[:3, :3].mT @ R)) < 0.1


def test_residual_stands_at_the_displaced_point_alone(generator):
    a = box(generator)
    b = a.clone()
    b[17, 2] += 0.02
    residual = icp(a, b).residual.norm(dim=-1)
    assert residual[17] == pytest.approx(0.02, rel=0.02)
    others = torch.cat([residual[:17], residual[18:]])
    assert others.max() < 4 * 0.02 / len(a)  # one point in n draws the fit along by a few n-ths


def test_trimming_ignores_what_the_other_cloud_does_not_have(generator):
    a = box(generator, 500)
    shift = torch.tensor([0.05, 0, 0], dtype=F64)
    b = (a + shift)[a[:, 0] > 0.4]  # a tenth of the source has no partner
    plain, trimmed = icp(a, b, 30), icp(a, b, 30, trim=0.15)

    def error(found):
        return (found.T_target_source[:3, 3] - shift).norm()

    assert error(trimmed) < 1e-6 < error(plain)
    assert 425 <= trimmed.matched.sum() <= 450  # pairs at the very distance of the last one stay
    assert not trimmed.matched[a[:, 0] < 0.3].any()
    assert (trimmed.residual[~trimmed.matched] == 0).all()


def test_every_cloud_of_a_batch_is_aligned_for_itself(generator):
    a = torch.stack([box(generator, 60), box(generator, 60)])
    b = a + torch.tensor([[[0.03, 0, 0]], [[0, -0.05, 0]]], dtype=F64)
    for k in range(2):
        torch.testing.assert_close(icp(a, b).T_target_source[k], icp(a[k], b[k]).T_target_source)


@pytest.mark.parametrize("axis", [0, 2])
def test_on_an_even_flat_grid_only_the_normal_direction_is_observable(axis):
    """Nearest neighbours snap to the grid: a sideways move of most of a cell is taken for a small one the other way."""
    u, v = torch.meshgrid(torch.arange(30), torch.arange(30), indexing="ij")
    a = 0.069 * torch.stack([u, v, torch.zeros_like(u)], -1).flatten(0, 1).to(F64)
    shift = torch.zeros(3, dtype=F64).index_fill(0, torch.tensor(axis), 0.05)
    found = icp(a, a + shift).T_target_source[axis, 3]
    assert found == pytest.approx(0.05, abs=1e-9) if axis == 2 else -0.02 < found < -0.01


def test_each_iteration_lowers_the_cost(generator):
    a, b = box(generator, 200), box(generator, 200)
    costs = [float(icp(a, b, k).residual.square().sum()) for k in (1, 2, 4, 8, 16)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.98 * costs[0]


def test_clouds_of_one_place_are_finite():
    a = torch.ones(8, 3, requires_grad=True)
    found = icp(a, torch.zeros(5, 3))
    (found.T_target_source.sum() + found.residual.abs().sum()).backward()
    assert torch.isfinite(a.grad).all()
    torch.testing.assert_close(move(found.T_target_source, a), torch.zeros(8, 3), atol=1e-6, rtol=0)


def test_gradcheck_with_frozen_correspondences(generator):
    """A step of 1e-6 changes no nearest neighbour, so the finite difference freezes them as the gradient does."""
    a = box(generator, 12).requires_grad_()
    b = (a.detach() + 0.05 * torch.randn(12, 3, generator=generator, dtype=F64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: icp(x, y)[:2], (a, b))


def test_a_kernel_ignores_what_the_other_cloud_does_not_have(generator):
    a = box(generator, 500)
    shift = torch.tensor([0.05, 0, 0], dtype=F64)
    b = (a + shift)[a[:, 0] > 0.4]
    plain, robust = icp(a, b, 30), icp(a, b, 30, kernel=lambda r: tukey(r, 0.1))
    assert (robust.T_target_source[:3, 3] - shift).norm() < 1e-6 < (plain.T_target_source[:3, 3] - shift).norm()


def test_out_of_reach_is_unmatched(generator):
    a = box(generator, 100)
    shift = torch.tensor([0.05, 0, 0], dtype=F64)
    b = torch.cat([(a + shift)[5:], a[:5] + 50])
    found = icp(a, b, 20, reach=0.3)
    assert (found.residual[~found.matched] == 0).all()
    assert found.matched[5:].all()
    torch.testing.assert_close(icp(a, b + 100, reach=0.3).T_target_source, torch.eye(4, dtype=F64))


def test_no_iteration_is_refused(generator):
    with pytest.raises(ValueError, match="iteration"):
        icp(box(generator, 5), box(generator, 5), 0)
