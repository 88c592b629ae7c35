"""Alignment of points with known correspondence."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from epipole.geometry.align import nearest_rotation, procrustes, umeyama
from epipole.geometry.motion import angle, move, se3_exp

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


DEGENERATE = ["coincident", "collinear", "coplanar", "no weight", "one point", "far from the origin", "mirrored",
              "mirrored plane", "reversed line"]


def degenerate_clouds(
    generator: torch.Generator, kind: str, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source, weight = torch.randn(12, 3, generator=generator, dtype=dtype), torch.ones(12, dtype=dtype)
    if kind in {"coincident", "far from the origin"}:
        source = source[:1].expand(12, 3) * (1000 if kind == "far from the origin" else 1)
    if kind in {"collinear", "reversed line"}:
        source = torch.linspace(0, 1, 12, dtype=dtype)[:, None] * torch.tensor([1.0, 2, 3])
    if kind in {"coplanar", "mirrored plane"}:
        source = source * torch.tensor([1.0, 1, 0])
    if kind == "no weight":
        weight = torch.zeros_like(weight)
    if kind == "one point":
        source, weight = source[:1], weight[:1]
    flip = {"mirrored": [1.0, 1, -1], "mirrored plane": [-1.0, 1, 1], "reversed line": [-1.0, -1, -1]}.get(kind)
    target = source * torch.tensor(flip or [1.0, 1, 1]) + 0.5
    return source.clone(), target, weight


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_clouds_have_finite_values_and_gradients(generator, kind, dtype):
    source, target, weight = (x.requires_grad_() for x in degenerate_clouds(generator, kind, dtype))
    T = procrustes(source, target, weight)
    scale, R, t = umeyama(source, target, weight=weight)
    (T.square().sum() + scale + (R * torch.arange(9).view(3, 3)).sum() + t.sum()).backward()
    torch.testing.assert_close(torch.linalg.det(R), torch.ones((), dtype=dtype), atol=1e-4, rtol=0)
    if "mirror" not in kind and kind != "reversed line":
        assert angle(T[:3, :3].detach()) < 1e-3  # the tie goes to the identity
        torch.testing.assert_close(scale, torch.ones((), dtype=dtype), atol=1e-5, rtol=0)
    for x in (T, scale, t, source.grad, target.grad, weight.grad):
        assert torch.isfinite(x).all()
        assert x.abs().max() < 1e4


@pytest.mark.parametrize("kind", ["coplanar", "mirrored plane", "reversed line", "mirrored"])
def test_degenerate_clouds_are_still_brought_together(generator, kind):
    """A plane or a line has a rotation onto its mirror image; a body has none, and keeps a residual."""
    source, target, weight = degenerate_clouds(generator, kind, F64)
    T = procrustes(source, target, weight)
    residual = (source @ T[:3, :3].T + T[:3, 3] - target).norm(dim=-1).max()
    assert (residual < 1e-6) == (kind != "mirrored")


def test_alignment_turns_with_the_clouds_and_does_not_see_their_order(generator):
    source, target = cloud(generator, 20), cloud(generator, 20)
    weight = torch.rand(20, generator=generator, dtype=F64)
    A, B = se3_exp(torch.randn(2, 6, generator=generator, dtype=F64))
    order = torch.randperm(20, generator=generator)
    moved = procrustes(move(A, source)[order], move(B, target)[order], weight[order])
    torch.testing.assert_close(moved, B @ procrustes(source, target, weight) @ torch.linalg.inv(A))


def test_weights_of_a_similarity_count_like_copies(generator):
    source, target = cloud(generator, 6), cloud(generator, 6)
    copies = torch.tensor([1, 2, 0, 3, 1, 1])
    weighted = umeyama(source, target, weight=copies.double())
    copied = umeyama(source.repeat_interleave(copies, 0), target.repeat_interleave(copies, 0))
    for x, y in zip(weighted, copied, strict=True):
        torch.testing.assert_close(x, y)


def test_gradcheck(generator):
    source, target = cloud(generator, 2, 6).requires_grad_(), cloud(generator, 2, 6).requires_grad_()
    weight = (torch.rand(2, 6, generator=generator, dtype=F64) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(procrustes, (source, target, weight))
    assert torch.autograd.gradcheck(lambda x, y, w: umeyama(x, y, True, w), (source, target, weight))


def test_gradient_where_the_derivative_of_the_svd_is_infinite():
    """Equal singular values: a cube's corners."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=F64)] * 3)
    moved = corners.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: procrustes(corners, y, torch.ones(8, dtype=F64)), (moved,))


@pytest.mark.parametrize("diagonal", [(1, 0, 0), (2, 1, -1), (-1, -1, -1), (3, -1, -1), (0, 0, 0), (1e-300, 0, 0)])
def test_what_a_matrix_leaves_open_has_a_gradient_that_is_damped_not_rounding_blown_up(diagonal):
    """Undamped it would be about 1 / (100 roundings), 1e13."""
    M = torch.diag(torch.tensor(diagonal, dtype=F64)).requires_grad_()
    R = nearest_rotation(M)
    torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=F64))
    for k in range(9):
        slope, = torch.autograd.grad(R.flatten()[k], M, retain_graph=True)
        assert slope.abs().max() <= 1e8


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
