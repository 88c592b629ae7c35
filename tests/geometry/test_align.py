"""Alignment of points with known correspondence."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from epipole.geometry.align import nearest_rotation, procrustes, umeyama
from epipole.geometry.motion import angle, se3_exp

F64 = torch.float64


def cloud(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, 3, generator=generator, dtype=F64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_planted_motion_is_recovered(generator, dtype):
    T = se3_exp(torch.randn(5, 2, 6, generator=generator, dtype=F64))
    source = cloud(generator, 5, 2, 30)
    target = source @ T[..., :3, :3].mT + T[..., None, :3, 3]
    found = procrustes(source.to(dtype), target.to(dtype), torch.ones(5, 2, 30, dtype=dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), T, atol=3e-5 if dtype == torch.float32 else 1e-12, rtol=0)


def test_rotation_agrees_with_scipy(generator):
    source, target = cloud(generator, 20), cloud(generator, 20)
    weight = torch.rand(20, generator=generator, dtype=F64)
    share = weight / weight.sum()
    x = (source - (share[:, None] * source).sum(0)).numpy()
    y = (target - (share[:, None] * target).sum(0)).numpy()
    oracle = Rotation.align_vectors(y, x, weights=weight.numpy())[0].as_matrix()
    np.testing.assert_allclose(procrustes(source, target, weight)[:3, :3].numpy(), oracle, atol=1e-9)


def test_zero_weight_silences_an_outlier(generator):
    source = cloud(generator, 10)
    target = source + torch.tensor([1.0, 2, 3], dtype=F64)
    target[0] += 100
    weight = torch.ones(10, dtype=F64).index_fill(0, torch.tensor([0]), 0)
    T = procrustes(source, target, weight)
    torch.testing.assert_close(T[:3, 3], torch.tensor([1.0, 2, 3], dtype=F64))


def test_a_mirrored_cloud_gets_a_rotation_not_a_reflection(generator):
    source = cloud(generator, 30)
    target = source * torch.tensor([1.0, 1, -1], dtype=F64)
    R = procrustes(source, target, torch.ones(30, dtype=F64))[:3, :3]
    assert torch.linalg.det(R) == pytest.approx(1)


def test_planar_cloud_is_recovered(generator):
    source = cloud(generator, 30) * torch.tensor([1.0, 1, 0], dtype=F64)
    T = se3_exp(torch.randn(6, generator=generator, dtype=F64))
    target = source @ T[:3, :3].mT + T[:3, 3]
    torch.testing.assert_close(procrustes(source, target, torch.ones(30, dtype=F64)), T, atol=1e-10, rtol=0)


@pytest.mark.parametrize("degenerate", ["coincident", "collinear", "no weight", "one point"])
def test_degenerate_clouds_have_finite_values_and_gradients(generator, degenerate):
    source = torch.randn(12, 3, generator=generator)
    weight = torch.ones(12)
    if degenerate == "coincident":
        source = source[:1].expand(12, 3)
    if degenerate == "collinear":
        source = torch.linspace(0, 1, 12)[:, None] * torch.tensor([1.0, 2, 3])
    if degenerate == "no weight":
        weight = torch.zeros(12)
    if degenerate == "one point":
        source, weight = source[:1], weight[:1]
    source = source.clone().requires_grad_()
    target = (source.detach() + 0.5).requires_grad_()
    weight.requires_grad_()
    T = procrustes(source, target, weight)
    T.square().sum().backward()
    assert angle(T[:3, :3].detach()) < 1e-3  # the tie goes to the identity
    for x in (T, source.grad, target.grad, weight.grad):
        assert torch.isfinite(x).all()


def test_gradcheck(generator):
    source, target = cloud(generator, 2, 6).requires_grad_(), cloud(generator, 2, 6).requires_grad_()
    weight = (torch.rand(2, 6, generator=generator, dtype=F64) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(procrustes, (source, target, weight))
    assert torch.autograd.gradcheck(umeyama, (source, target))


def test_gradient_where_the_derivative_of_the_svd_is_infinite():
    """Equal singular values: a cube's corners."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=F64)] * 3)
    moved = corners.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: procrustes(corners, y, torch.ones(8, dtype=F64)), (moved,))


def test_nearest_rotation_of_a_rotation_is_itself(generator):
    R = se3_exp(torch.randn(7, 6, generator=generator, dtype=F64))[..., :3, :3]
    torch.testing.assert_close(nearest_rotation(3 * R), R)


def test_similarity_is_recovered(generator):
    T = se3_exp(torch.randn(4, 6, generator=generator, dtype=F64))
    source = cloud(generator, 4, 25)
    target = 2.5 * source @ T[..., :3, :3].mT + T[..., None, :3, 3]
    scale, R, t = umeyama(source, target)
    torch.testing.assert_close(scale, torch.full((4,), 2.5, dtype=F64))
    torch.testing.assert_close(R, T[..., :3, :3])
    torch.testing.assert_close(t, T[..., :3, 3])


def test_without_scale_umeyama_is_procrustes(generator):
    source, target = cloud(generator, 25), cloud(generator, 25)
    scale, R, t = umeyama(source, target, with_scale=False)
    T = procrustes(source, target, torch.ones(25, dtype=F64))
    assert scale == 1
    torch.testing.assert_close(torch.cat([R, t[:, None]], 1), T[:3])


def test_noisy_similarity_is_a_minimum(generator):
    source, target = cloud(generator, 25), cloud(generator, 25)
    scale, R, t = umeyama(source, target)

    def cost(c, r, x):
        return (c * source @ r.mT + x - target).square().sum()

    best = cost(scale, R, t)
    for _ in range(20):
        nudge = se3_exp(0.01 * torch.randn(6, generator=generator, dtype=F64))
        factor = 1 + 0.01 * torch.randn((), generator=generator, dtype=F64)
        assert cost(scale * factor, nudge[:3, :3] @ R, t + nudge[:3, 3]) > best
