"""Flow and disparity through windows: by warping, by closed forms, and at edges."""

import math

import pytest
import torch

from epipole.geometry.camera import pixel_grid
from epipole.geometry.warp import flow_warp, homography_warp
from epipole.geometry.window import covers, window, window_disparity, window_flow
from tests.scene import plane_clip, plane_pair

F64 = torch.float64


def windows(count: int, image: tuple[int, int], size: tuple[int, int], turn: float = 0.2) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    zoom, angle = 1.1 + 0.4 * torch.rand(count, generator=g), turn * (2 * torch.rand(count, generator=g) - 1)
    return window(zoom, angle, 4 * torch.rand(count, 2, generator=g) - 2, image, size)


def test_a_window_s_centre_is_shifted_its_axes_are_turned_and_shrunk():
    A = window(torch.tensor(2.0), torch.tensor(math.pi / 2), torch.tensor([3.0, -1.0]), (21, 41), (11, 31))
    torch.testing.assert_close(A @ torch.tensor([15.0, 5, 1]), torch.tensor([23.0, 9, 1]))
    right, down = A @ torch.tensor([17.0, 5, 1]), A @ torch.tensor([15.0, 7, 1])
    torch.testing.assert_close(right, torch.tensor([23.0, 10, 1]))  # two of the window's px are one of the image
    torch.testing.assert_close(down, torch.tensor([22.0, 9, 1]))


def test_what_lies_within_the_image_is_told_from_what_sticks_out():
    shifts = torch.tensor([[0.0, 0], [5, 5], [5.5, 0], [0, -5.5]])
    A = window(torch.ones(4), torch.zeros(4), shifts, (30, 40), (20, 30))
    assert covers(A, (30, 40), (20, 30)).tolist() == [True, True, False, False]
    turned = window(torch.ones(1), torch.full((1,), math.pi / 2), torch.zeros(1, 2), (30, 40), (20, 31))
    assert not covers(turned, (30, 40), (20, 31)).any()


def test_by_the_windows_flow_the_second_window_shows_what_the_first_one_shows():
    """Both windows of a scene are turned, enlarged and shifted, each in its own way."""
    views = plane_clip(scenes=4, views=2)
    first, second = views.image[:, 0], views.image[:, 1]
    A, B = windows(4, (64, 96), (52, 80)), windows(8, (64, 96), (52, 80))[4:]
    one, two = (homography_warp(image, M, 52, 80)[0] for image, M in ((first, A), (second, B)))
    flow, known = window_flow(views.flow[:, 0], views.flow_valid[:, 0], A, B, 52, 80)
    seen, inside = flow_warp(two, flow)
    known = known & inside
    assert known.float().mean() > 0.5
    assert (((seen - one).abs() * known).amax()) < 0.02
    plain, _ = homography_warp(views.flow[:, 0], A, 52, 80)  # flow that is not taken along is wrong
    assert ((flow_warp(two, plain)[0] - one).abs() * known).amax() > 0.1


def test_affine_flow_stays_exact():
    M = torch.tensor([[0.03, -0.02], [0.01, 0.04]], dtype=F64)
    b = torch.tensor([2.0, -1.5], dtype=F64)
    grid = pixel_grid(30, 40, M)
    flow = (torch.einsum("ij,jhw->ihw", M, grid) + b[:, None, None])[None]
    A, B = windows(2, (30, 40), (20, 24)).to(F64).split(1)
    found, known = window_flow(flow, torch.ones_like(flow[:, :1], dtype=torch.bool), A, B, 20, 24)
    x = pixel_grid(20, 24, M).flatten(1)
    there = A[0, :2, :2] @ x + A[0, :2, 2:]
    target = torch.linalg.solve(B[0, :2, :2], there + M @ there + b[:, None] - B[0, :2, 2:])
    assert known.all()
    torch.testing.assert_close(found[0].flatten(1), target - x, atol=1e-9, rtol=0)


def test_the_whole_image_as_its_window_changes_nothing():
    views = plane_clip(scenes=1, views=2)
    flow, valid = views.flow[:, 0], views.flow_valid[:, 0]
    A = window(torch.ones(1), torch.zeros(1), torch.zeros(1, 2), (64, 96), (64, 96))
    found, known = window_flow(flow, valid, A, A, 64, 96)
    torch.testing.assert_close(torch.where(known, found, 0), torch.where(valid, flow, 0), atol=1e-3, rtol=0)
    assert torch.equal(known, valid)


def test_no_value_mixes_two_surfaces_or_what_is_unknown():
    flow = torch.where(torch.arange(40) < 20, 3.0, -5.0).expand(1, 2, 30, 40).clone()
    valid = torch.ones(1, 1, 30, 40, dtype=torch.bool)
    valid[..., :8, :] = False
    flow[..., :8, :] = torch.nan
    A = window(torch.full((1,), 1.37), torch.zeros(1), torch.zeros(1, 2), (30, 40), (30, 40))
    found, known = window_flow(flow, valid, A, A, 30, 40)
    assert 0.5 < known.float().mean() < 0.9
    values = found.movedim(1, -1)[known[:, 0]] / 1.37
    assert torch.minimum((values - 3).abs(), (values + 5).abs()).max() < 0.02
    assert (~known[0, 0, 20]).sum() in (1, 2)  # only where a look-up falls between both


def test_the_right_window_shows_the_left_one_by_its_disparity():
    views = plane_pair()
    A = window(torch.tensor([1.5, 0.9]), torch.zeros(2), torch.tensor([[3.0, -2.0], [0, 0]]), (64, 96), (48, 80))
    left, right = (homography_warp(views.image[:, k], A, 48, 80)[0] for k in (0, 1))
    disparity, known = window_disparity(views.disparity[:, 0], views.disparity_valid[:, 0], A, 48, 80)
    seen, inside = flow_warp(right, torch.cat([-disparity, torch.zeros_like(disparity)], 1))
    assert (known & inside).float().mean() > 0.6
    assert ((seen - left).abs() * (known & inside)).max() < 0.02


@pytest.mark.parametrize("of", ["flow", "disparity"])
def test_gradients(of):
    g = torch.Generator().manual_seed(0)
    x = (0.1 * torch.rand(1, 2 if of == "flow" else 1, 5, 6, dtype=F64, generator=g)).requires_grad_()
    valid = torch.ones(1, 1, 5, 6, dtype=torch.bool)
    A = windows(1, (5, 6), (4, 4), 0.0).to(F64)
    call = (lambda y: window_flow(y, valid, A, A, 4, 4)[0]) if of == "flow" else (
        lambda y: window_disparity(y, valid, A, 4, 4)[0])
    assert torch.autograd.gradcheck(call, (x,))
