"""Homographies."""

import cv2
import kornia.geometry as oracle
import numpy as np
import pytest
import torch
from skimage.transform import ProjectiveTransform

from epipole.geometry.homogeneous import calibrate
from epipole.geometry.homography import (
    faces,
    homography,
    motions_from_homography,
    symmetric_transfer_distance,
    transfer,
    transfer_distance,
    transfer_weight,
)
from epipole.geometry.motion import se3, so3_exp
from tests.geometry.two_views import F64, two_views


def planted(*shape: int, seed: int = 0) -> torch.Tensor:
    """Homographies of pixels that turn by up to pi, shift and foreshorten."""
    g = torch.Generator().manual_seed(seed)
    turn = 6.3 * torch.rand(*shape, generator=g, dtype=F64)
    c, s, o = turn.cos(), turn.sin(), torch.zeros_like(turn)
    R = torch.stack([c, -s, o, s, c, o, o, o, o + 1], -1).unflatten(-1, (3, 3))
    shift = torch.eye(3, dtype=F64).repeat(*shape, 1, 1)
    shift[..., :2, 2] = 100 * torch.randn(*shape, 2, generator=g, dtype=F64)
    bent = torch.eye(3, dtype=F64).repeat(*shape, 1, 1)
    bent[..., 2, :2] = 3e-4 * torch.randn(*shape, 2, generator=g, dtype=F64)
    return shift @ R @ bent


def points(*shape: int, seed: int = 1) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, 2, generator=g, dtype=F64) * torch.tensor([640.0, 480.0])


@pytest.mark.parametrize("n", [4, 20])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_planted_homography_is_recovered(n, dtype):
    H, x = planted(2, 5), points(2, 5, n)
    y, finite = transfer(H, x)
    assert finite.all()
    found = homography(x.to(dtype), y.to(dtype), torch.ones(2, 5, n, dtype=dtype))
    assert found.dtype == dtype
    assert transfer_distance(found.double(), x, y).max() < (0.05 if dtype == torch.float32 else 1e-8)
    torch.testing.assert_close(torch.linalg.matrix_norm(found), torch.ones(2, 5, dtype=dtype))
    assert (torch.linalg.det(found) > 0).all()


def test_noisy_homography_agrees_with_others(generator):
    """Kornia scales by the mean distance, which matters as far as there is noise; OpenCV ends with steps on the
    transfer distance, which one reweighting nearly reaches."""
    x, H = points(3, 30), planted(3)
    exact, noise = transfer(H, x)[0], torch.randn(3, 30, 2, generator=generator, dtype=F64)
    weight = torch.rand(3, 30, generator=generator, dtype=F64)
    theirs = oracle.find_homography_dlt(x, exact + 0.01 * noise, weight)
    gap = transfer(homography(x, exact + 0.01 * noise, weight), x)[0] - transfer(theirs, x)[0]
    assert gap.norm(dim=-1).max() < 0.003
    y = exact + noise
    for b in range(3):
        same = torch.tensor(ProjectiveTransform.from_estimate(x[b].numpy(), y[b].numpy()).params)
        gap = transfer(homography(x[b], y[b], torch.ones(30, dtype=F64)), x[b])[0] - transfer(same, x[b])[0]
        assert gap.abs().max() < 1e-6
        best = cv2.findHomography(x[b].numpy(), y[b].numpy())[0]
        plain = homography(x[b], y[b], torch.ones(30, dtype=F64))
        refitted = homography(x[b], y[b], transfer_weight(plain, x[b]))
        cost = [float(transfer_distance(M, x[b], y[b]).square().sum()) for M in (torch.tensor(best), refitted)]
        assert cost[0] <= cost[1] * (1 + 1e-6)
        assert cost[1] < cost[0] * 1.001


def test_weights_weigh_squares(generator):
    x, H = points(9), planted(1)[0]
    y = transfer(H, x)[0] + torch.randn(9, 2, generator=generator, dtype=F64)
    weight = torch.tensor([1, 2, 3, 1, 1, 2, 0, 1, 4])
    repeated = homography(*(z.repeat_interleave(weight, 0) for z in (x, y)), torch.ones(int(weight.sum()), dtype=F64))
    x[6] = 1e6
    torch.testing.assert_close(homography(x, y, weight.double()), repeated)


def test_flat_scenes_and_pure_rotations_are_homographies():
    s = two_views(flat=True)
    assert transfer_distance(homography(s.first, s.second, s.weight), s.first, s.second).max() < 1e-8
    deep = two_views()
    assert transfer_distance(homography(deep.first, deep.second, deep.weight), deep.first, deep.second).max() > 1


def test_transfer_agrees_with_opencv_and_tells_points_at_infinity():
    H, x = planted(1)[0], points(12)
    theirs = cv2.perspectiveTransform(x[None].numpy(), H.numpy())[0]
    np.testing.assert_allclose(transfer(H, x)[0].numpy(), theirs)
    H = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]], dtype=F64)
    x = torch.tensor([[100.0, 7], [50, 7]], dtype=F64)
    assert transfer(H, x)[1].tolist() == [False, True]


def test_distances_are_in_pixels_and_symmetric():
    H, x = planted(4), points(4, 10)
    y = transfer(H, x)[0] + torch.tensor([3.0, -4.0])
    torch.testing.assert_close(transfer_distance(H, x, y), torch.full((4, 10), 5.0, dtype=F64))
    back = transfer_distance(torch.linalg.inv(H), y, x)
    both = symmetric_transfer_distance(H, x, y)
    torch.testing.assert_close(both, (25 + back.square()).sqrt())
    torch.testing.assert_close(symmetric_transfer_distance(torch.linalg.inv(H), y, x), both)
    torch.testing.assert_close(symmetric_transfer_distance(-3 * H, x, y), both)


def test_distances_at_infinity_and_at_zero_have_finite_gradients():
    H = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]], dtype=F64, requires_grad=True)
    x = torch.tensor([[100.0, 7], [0, 0], [50, 7]], dtype=F64, requires_grad=True)
    y = torch.tensor([[100.0, 7], [0, 0], [50, 7]], dtype=F64, requires_grad=True)
    for distance in (transfer_distance, symmetric_transfer_distance):
        d = distance(H, x, y)
        assert torch.isinf(d).tolist() == [True, False, False]
        d.square().sum().backward()
        for z in (H, x, y):
            assert torch.isfinite(z.grad).all()


def test_gradcheck():
    x, H = points(1, 8), planted(1)
    y = transfer(H, x)[0]
    x, y = x / 300, y / 300 + 0.01 * points(1, 8, seed=3) / 300
    weight = torch.linspace(0.2, 1, 8, dtype=F64)[None]
    x, y, weight = (z.detach().requires_grad_() for z in (x, y, weight))
    assert torch.autograd.gradcheck(homography, (x, y, weight))
    M = homography(x, y, weight).detach().requires_grad_()
    for distance in (transfer_distance, symmetric_transfer_distance):
        assert torch.autograd.gradcheck(distance, (M, x, y))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("case", ["line", "one point", "no weight", "three of four on a line", "four that are three"])
def test_degenerate_matches_have_finite_values_and_gradients(case, dtype):
    x = points(10) if case in ("line", "one point", "no weight") else points(4)
    weight = torch.ones(len(x), dtype=F64)
    if case == "line":
        x = torch.linspace(0, 9, 10, dtype=F64)[:, None] * torch.tensor([1.0, 2.0])
    if case == "one point":
        x = x[:1].expand(10, 2)
    if case == "no weight":
        weight = 0 * weight
    if case == "three of four on a line":
        x[2] = (x[0] + x[1]) / 2
    if case == "four that are three":
        x[3] = x[2]
    y = x + 5
    x, y, weight = (z.clone().to(dtype).requires_grad_() for z in (x, y, weight))
    H = homography(x, y, weight)
    H.cos().sum().backward()
    for z in (H, x.grad, y.grad, weight.grad):
        assert torch.isfinite(z).all()
    if case == "no weight":
        torch.testing.assert_close(H.detach(), torch.eye(3, dtype=dtype) / 3**0.5)
    else:  # what is open does not spoil what is known
        assert transfer_distance(H.double(), x.double(), y.double()).max() < (1e-2 if dtype == torch.float32 else 1e-4)


def test_fewer_points_than_needed_are_refused():
    with pytest.raises(ValueError, match="at least 4 points, got 3"):
        homography(torch.rand(3, 2), torch.rand(3, 2), torch.ones(3))


def over_a_plane(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """T_second_first with t / d, the plane's unit normal, and the homography between planes z = 1."""
    scene = two_views(flat=True, seed=seed)
    n = torch.tensor([-0.3, 0.2, 1.0], dtype=F64)  # z = 6 + 0.3 x - 0.2 y
    d = 6 / n.norm()
    T = scene.T_second_first.clone()
    T[:3, 3] /= d
    n = n / n.norm()
    return T, n, T[:3, :3] + T[:3, 3:] * n


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1.0, -3.0])
def test_the_motion_over_a_plane_is_among_the_four(seed, factor):
    T, n, H = over_a_plane(seed)
    motions, normals = motions_from_homography(factor * H)
    apart = (motions - T).abs().amax((-2, -1)) + (normals - n).abs().amax(-1)
    assert apart.min() < 1e-8
    for M, normal in zip(motions, normals, strict=True):
        torch.testing.assert_close(M[:3, :3] @ M[:3, :3].mT, torch.eye(3, dtype=F64))
        assert torch.linalg.det(M[:3, :3]) > 0
        torch.testing.assert_close(M[:3, :3] + M[:3, 3:] * normal, H)


def test_the_four_motions_are_those_of_opencv():
    _, _, H = over_a_plane()
    _, R, t, n = cv2.decomposeHomographyMat(H.numpy(), np.eye(3))
    motions, normals = motions_from_homography(H)
    for their_R, their_t, their_n in zip(R, t, n, strict=True):
        theirs = torch.cat([torch.tensor(x).reshape(-1) for x in (their_R, their_t, their_n)])
        ours = torch.cat([motions[:, :3, :3].flatten(1), motions[:, :3, 3], normals], 1)
        assert (ours - theirs).abs().amax(1).min() < 1e-6


def test_from_pixels_to_the_motion_that_sees_the_plane():
    """Of four, those whose plane lies before the camera at every match are two at most, the true one among them."""
    scene = two_views(flat=True)
    T, n, _ = over_a_plane()
    H = torch.linalg.inv(scene.K) @ homography(scene.first, scene.second, scene.weight) @ scene.K
    motions, normals = motions_from_homography(H)
    seen = faces(normals, calibrate(scene.first, scene.K).expand(4, -1, -1)).all(-1)
    assert 1 <= int(seen.sum()) <= 2
    assert (motions[seen] - T).abs().amax((-2, -1)).min() < 1e-6
    assert (normals[seen] - n).abs().amax(-1).min() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_camera_that_only_turns_has_no_translation(dtype):
    R = so3_exp(torch.tensor([[0.2, -0.1, 0.3], [0, 0, 0]], dtype=dtype))
    motions, normals = motions_from_homography(2 * R)
    assert motions.dtype == dtype
    expected = se3(R, torch.zeros(2, 3, dtype=dtype))[:, None].expand(2, 4, 4, 4)
    torch.testing.assert_close(motions, expected, atol=2e-3 if dtype == torch.float32 else 1e-7, rtol=0)
    assert normals.isfinite().all()


def test_a_homography_that_is_none_gives_finite_motions():
    motions, normals = motions_from_homography(torch.zeros(3, 3, dtype=F64))
    assert motions.isfinite().all()
    assert normals.isfinite().all()
