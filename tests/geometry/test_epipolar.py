"""Essential and fundamental matrix."""

import cv2
import kornia.geometry.epipolar as oracle
import numpy as np
import pytest
import torch
from skimage.transform import FundamentalMatrixTransform

from epipole.geometry.epipolar import (
    RECTIFIED,
    algebraic_distance,
    epipolar_lines,
    epipoles,
    essential,
    essential_from_fundamental,
    essential_from_motion,
    fundamental,
    fundamental_seven,
    in_front,
    motion_from_essential,
    motions_from_essential,
    nearest_essential,
    rank_two,
    sampson_distance,
    sampson_weight,
    symmetric_epipolar_distance,
)
from epipole.geometry.homogeneous import calibrate
from epipole.geometry.motion import se3_inverse
from tests.geometry.two_views import F64, TwoViews, two_views


def same_up_to_scale(A: torch.Tensor, B: torch.Tensor, atol: float) -> None:
    A, B = (M / torch.linalg.matrix_norm(M)[..., None, None] for M in (A.double(), B.double()))
    sign = (A * B).sum((-2, -1)).sign()[..., None, None]
    torch.testing.assert_close(A * sign, B, atol=atol, rtol=0)


def on_plane(s: TwoViews) -> tuple[torch.Tensor, torch.Tensor]:
    K = s.K.expand(*s.first.shape[:-2], 3, 3)
    return calibrate(s.first, K), calibrate(s.second, K)


def noisy(x: torch.Tensor, px: float = 1.0, seed: int = 5) -> torch.Tensor:
    return x + px * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_planted_geometry_is_recovered(dtype):
    s = two_views(2, 3)
    F = fundamental(s.first.to(dtype), s.second.to(dtype), s.weight.to(dtype))
    assert F.dtype == dtype
    assert sampson_distance(F.double(), s.first, s.second).abs().max() < (1e-2 if dtype == torch.float32 else 1e-8)
    E = essential(*(x.to(dtype) for x in (*on_plane(s), s.weight)))
    same_up_to_scale(E, s.E, 1e-3 if dtype == torch.float32 else 1e-8)
    ones = torch.tensor([1.0, 1.0, 0.0], dtype=dtype).expand(2, 3, 3)
    torch.testing.assert_close(torch.linalg.svdvals(E), ones, atol=1e-6, rtol=0)


def test_noisy_fundamental_agrees_with_opencv_and_scikit_image():
    """OpenCV scales by the mean distance instead of its square's: as alike as their weighting of little noise is."""
    s = two_views()
    for px, theirs in ((1.0, lambda x, y: FundamentalMatrixTransform.from_estimate(x, y).params),
                       (0.01, lambda x, y: cv2.findFundamentalMat(x, y, cv2.FM_8POINT)[0])):
        x, y = noisy(s.first, px), noisy(s.second, px, seed=6)
        same_up_to_scale(fundamental(x, y, s.weight), torch.tensor(theirs(x.numpy(), y.numpy())), 1e-5)


def test_weights_weigh_squares():
    """An integer weight is that many copies of a match, weight 0 none."""
    s = two_views(n=12)
    x, y = noisy(s.first), noisy(s.second, seed=6)
    weight = torch.tensor([1, 2, 3, 1, 1, 2, 0, 1, 1, 4, 1, 1])
    repeated = (z.repeat_interleave(weight, 0) for z in (x, y))
    copies = fundamental(*repeated, torch.ones(int(weight.sum()), dtype=F64))
    same_up_to_scale(fundamental(x, y, weight.double()), copies, 1e-9)
    x[6] = 1e6
    same_up_to_scale(fundamental(x, y, weight.double()), copies, 1e-9)


def test_without_normalisation_it_would_be_worse():
    s = two_views(n=40)
    x, y = noisy(s.first, 0.5), noisy(s.second, 0.5, seed=6)
    A = torch.cat([y, torch.ones(40, 1)], -1)[:, :, None] * torch.cat([x, torch.ones(40, 1)], -1)[:, None]
    plain = rank_two(torch.linalg.svd(A.flatten(1)).Vh[-1].reshape(3, 3))
    error, its_error = (sampson_distance(F, s.first, s.second).abs().mean()
                        for F in (fundamental(x, y, s.weight), plain))
    assert error < 0.5 * its_error


def test_rank_two_is_the_nearest_by_svd(generator):
    F = torch.randn(5, 3, 3, generator=generator, dtype=F64)
    U, S, Vh = torch.linalg.svd(F)
    S[..., 2] = 0
    torch.testing.assert_close(rank_two(F), U @ torch.diag_embed(S) @ Vh)
    nearest = U @ torch.diag_embed(torch.tensor([1.0, 1, 0], dtype=F64).expand(5, 3)) @ Vh
    torch.testing.assert_close(nearest_essential(F), nearest)


def test_seven_points_agree_with_opencv():
    """Which does not normalise its points, so on the planes z = 1, and rounds them to float32."""
    s = two_views(20, n=7)
    x, y = (z.float().double() for z in on_plane(s))
    F, real = fundamental_seven(x, y)
    counts, distances = set(), []
    for b in range(20):
        theirs, _ = cv2.findFundamentalMat(x[b].numpy(), y[b].numpy(), cv2.FM_7POINT)
        theirs = torch.tensor(theirs).reshape(-1, 3, 3)
        assert len(theirs) == int(real[b].sum())
        counts.add(len(theirs))
        for each in F[b][real[b]]:
            each = each / each.norm()
            distances.append(min(min(float((each - T / T.norm()).abs().max()), float((each + T / T.norm()).abs().max()))
                                 for T in theirs))
    assert counts == {1, 3}
    assert max(distances) < 1e-7
    assert sampson_distance(F, x[:, None], y[:, None])[real].abs().max() < 1e-12
    assert torch.linalg.det(F[real]).abs().max() < 1e-15


def test_the_four_motions_agree_with_opencv():
    s = two_views(6)
    four = motions_from_essential(nearest_essential(s.E))
    for b in range(6):
        R1, R2, t = cv2.decomposeEssentialMat(s.E[b].numpy())
        for T in four[b]:
            assert min(np.abs(T[:3, :3].numpy() - R).max() for R in (R1, R2)) < 1e-8
            assert min(np.abs(T[:3, 3].numpy() - sign * t[:, 0]).max() for sign in (1, -1)) < 1e-8
    assert len({tuple(T.flatten().mul(1e6).round().tolist()) for T in four[0]}) == 4


@pytest.mark.parametrize("seed", range(5))
def test_cheirality_picks_the_true_motion(seed):
    s = two_views(4, seed=seed)
    x, y = on_plane(s)
    T = motion_from_essential(essential(x, y, s.weight), x, y, s.weight)
    true = s.T_second_first.clone()
    true[:, :3, 3] /= true[:, :3, 3].norm(dim=-1, keepdim=True)
    torch.testing.assert_close(T, true, atol=1e-7, rtol=0)
    assert in_front(T, x, y).all()
    back = motion_from_essential(essential(y, x, s.weight), y, x, s.weight)
    torch.testing.assert_close(back[:, :3, :3], se3_inverse(true)[:, :3, :3], atol=1e-7, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_a_match_lies_before_both_cameras_in_one_of_the_four_motions_alone(seed):
    s = two_views(seed=seed)
    x, y = on_plane(s)
    four = motions_from_essential(nearest_essential(s.E))
    votes = torch.stack([in_front(T, x, y) for T in four])
    assert (votes.sum(0) == 1).all()
    assert votes.sum(1).sort().values.tolist() == [0, 0, 0, 30]


def test_distances_agree_with_kornia():
    s = two_views(3)
    x, y = noisy(s.first, 3.0), noisy(s.second, 3.0, seed=6)
    sampson = oracle.sampson_epipolar_distance(x, y, s.F, squared=False)
    torch.testing.assert_close(sampson_distance(s.F, x, y).abs(), sampson, atol=1e-5, rtol=1e-5)
    lines = epipolar_lines(s.F, x)
    there = (lines[..., :2] * y).sum(-1) + lines[..., 2]
    torch.testing.assert_close(there.abs(), oracle.left_to_right_epipolar_distance(x, y, s.F), atol=1e-5, rtol=1e-5)
    lines = epipolar_lines(s.F.mT, y)
    back = (lines[..., :2] * x).sum(-1) + lines[..., 2]
    torch.testing.assert_close(symmetric_epipolar_distance(s.F, x, y), there.abs() + back.abs())
    torch.testing.assert_close(symmetric_epipolar_distance(s.F.mT, y, x), there.abs() + back.abs())
    torch.testing.assert_close(algebraic_distance(2 * s.F, x, y), 2 * algebraic_distance(s.F, x, y))


def test_distances_do_not_depend_on_the_scale_of_F():
    s = two_views()
    x, y = noisy(s.first, 3.0), noisy(s.second, 3.0)
    for distance in (sampson_distance, symmetric_epipolar_distance):
        torch.testing.assert_close(distance(1e-4 * s.F, x, y), distance(s.F, x, y))


def test_sampson_distance_is_first_order_the_way_to_the_nearest_perfect_match():
    s = two_views(n=1)
    x, y = noisy(s.first, 0.3), noisy(s.second, 0.3, seed=6)
    z = torch.cat([x, y], -1).requires_grad_()
    for _ in range(20):  # Gauss-Newton onto the surface x2^T F x1 = 0, along its normal
        e = algebraic_distance(s.F, z[..., :2], z[..., 2:])
        g, = torch.autograd.grad(e.sum(), z)
        z = (z - e[..., None] * g / g.square().sum(-1, keepdim=True)).detach().requires_grad_()
    true = (z - torch.cat([x, y], -1)).norm(dim=-1)
    torch.testing.assert_close(sampson_distance(s.F, x, y).abs(), true, rtol=1e-2, atol=0)


def test_the_weights_make_sampson_distances_of_algebraic_ones():
    s = two_views(2)
    first, second = noisy(s.first), noisy(s.second, seed=6)
    weight = sampson_weight(s.F, first, second)
    torch.testing.assert_close(weight.mean(-1), torch.ones(2, dtype=F64))
    share = weight * algebraic_distance(s.F, first, second).square() / sampson_distance(s.F, first, second).square()
    torch.testing.assert_close(share, share[:, :1].expand(2, 30))


def test_epipoles_are_where_each_sees_the_other():
    s = two_views(3)
    first, second = epipoles(s.F)
    other = (s.K @ s.T_second_first[:, :3, 3:])[..., 0]
    assert torch.linalg.cross(second, other / other.norm(dim=-1, keepdim=True)).abs().max() < 1e-7
    own = (s.K @ se3_inverse(s.T_second_first)[:, :3, 3:])[..., 0]
    assert torch.linalg.cross(first, own / own.norm(dim=-1, keepdim=True)).abs().max() < 1e-7


def test_essential_and_fundamental_are_one_geometry():
    s = two_views(3)
    K = s.K.expand(3, 3, 3)
    same_up_to_scale(essential_from_fundamental(1e-5 * s.F, K, K), s.E, 1e-9)
    same_up_to_scale(torch.tensor(np.stack([oracle.essential_from_fundamental(F[None], s.K[None], s.K[None])[0].numpy()
                                            for F in s.F])), s.E, 1e-9)
    translation = oracle.cross_product_matrix(s.T_second_first[:, :3, 3])
    torch.testing.assert_close(essential_from_motion(s.T_second_first), translation @ s.T_second_first[:, :3, :3])


def test_gradcheck():
    s = two_views(1, n=16)
    x, y = noisy(s.first).requires_grad_(), noisy(s.second, seed=6).requires_grad_()
    weight = (torch.rand(1, 16, generator=torch.Generator().manual_seed(0), dtype=F64) + 0.2).requires_grad_()
    unit = [on.detach().requires_grad_() for on in on_plane(s._replace(first=x, second=y))]
    assert torch.autograd.gradcheck(lambda a, b, w: 1e3 * fundamental(a, b, w), (*unit, weight))
    assert torch.autograd.gradcheck(lambda a, b, w: motion_from_essential(essential(a, b, w), a, b, w), (*unit, weight))
    E = s.E.clone().requires_grad_()
    for distance in (sampson_distance, symmetric_epipolar_distance, algebraic_distance):
        assert torch.autograd.gradcheck(distance, (E, *unit))
    assert torch.autograd.gradcheck(epipoles, (E,))


DEGENERATE = ["plane", "line", "one point", "no weight", "no motion", "pure rotation", "repeated singular values"]


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_matches_have_finite_values_and_gradients(case, dtype):
    s = two_views(flat=case == "plane")
    x, y, weight = s.first, s.second, s.weight
    if case == "line":
        along = torch.linspace(0, 9, 30, dtype=F64)[:, None]
        x, y = along * torch.tensor([1.0, 2.0]), along * torch.tensor([3.0, 1.0])
    if case == "one point":
        x, y = x[:1].expand(30, 2), y[:1].expand(30, 2)
    if case == "no weight":
        weight = torch.zeros_like(weight)
    if case == "no motion":
        y = x
    if case == "pure rotation":
        K_R = s.K @ s.T_second_first[:3, :3] @ torch.linalg.inv(s.K)
        y = torch.cat([x, torch.ones(30, 1)], -1) @ K_R.T
        y = y[:, :2] / y[:, 2:]
    if case == "repeated singular values":
        y = x + torch.tensor([3.0, 0.0])
    x, y, weight = (z.detach().clone().to(dtype).requires_grad_() for z in (x, y, weight))
    F = fundamental(x, y, weight)
    E = essential(x / 500, y / 500, weight)
    T = motion_from_essential(E, x / 500, y / 500, weight)
    (F[0].square().sum() + T[:3].cos().sum() + sampson_distance(F, x, y).square().sum()).backward()
    for z in (F, E, T, x.grad, y.grad, weight.grad):
        assert torch.isfinite(z).all()
    F, x, y = F.detach(), x.detach(), y.detach()
    assert float(F.norm()) == pytest.approx(1)
    assert float(torch.linalg.det(T[:3, :3].detach())) == pytest.approx(1, abs=1e-3)
    if case == "no weight":
        same_up_to_scale(F, RECTIFIED.reshape(3, 3), 1e-6)
    elif case not in ("line", "one point"):
        miss = sampson_distance(F.double(), x.double(), y.double()).abs().max()
        assert miss < (0.05 if dtype == torch.float32 else 1e-5)


def test_points_on_the_epipoles_have_no_line_and_no_distance():
    F = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]], dtype=F64).requires_grad_()  # forward: epipoles at (0, 0)
    x = torch.zeros(1, 2, dtype=F64, requires_grad=True)
    y = torch.tensor([[0.0, 0]], dtype=F64, requires_grad=True)
    parts = (epipolar_lines(F, x), sampson_distance(F, x, y), symmetric_epipolar_distance(F, x, y))
    sum(p.sum() for p in parts).backward()
    for p in (*parts, x.grad, y.grad, F.grad):
        assert (p == 0).all()


def test_fewer_points_than_needed_are_refused():
    with pytest.raises(ValueError, match="at least 8 points, got 7"):
        fundamental(torch.rand(7, 2), torch.rand(7, 2), torch.ones(7))
    with pytest.raises(ValueError, match="at least 8 points, got 5"):
        essential(torch.rand(5, 2), torch.rand(5, 2), torch.ones(5))
