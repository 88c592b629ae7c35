"""Occlusion: two planes of known depth, and flows that agree or do not."""

import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3
from epipole.geometry.visibility import depth_test, forward_backward, round_trip
from epipole.geometry.warp import rigid_flow

F64 = torch.float64
K = intrinsics(20.0, 20.0, 19.5, 7.5)[None]
NEAR, FAR, BASELINE = 2.0, 8.0, 0.8      # a near square moves 8 px, what lies behind it 2 px


def along_x(t: float) -> torch.Tensor:
    return se3(torch.eye(3, dtype=F64)[None], torch.tensor([[t, 0.0, 0.0]], dtype=F64))


def scene(left: int) -> torch.Tensor:
    """Depth with a near square 10 px wide from column `left` on."""
    depth = torch.full((1, 1, 16, 40), FAR, dtype=F64)
    depth[..., 4:12, left:left + 10] = NEAR
    return depth


def occluded() -> torch.Tensor:
    """Target pixels that the square hides in the source: it moves from 10..19 to 2..11, and far ones by 2."""
    hidden = torch.zeros(1, 1, 16, 40, dtype=torch.bool)
    hidden[..., 4:12, 4:10] = True
    return hidden


def test_the_depth_test_hides_what_the_square_covers():
    target, source = scene(10), scene(2)
    visible = depth_test(target, source, along_x(-BASELINE), K, K)
    expected = ~occluded()
    expected[..., :2] = False  # out of the image
    assert torch.equal(visible[..., 1:-1, :], expected[..., 1:-1, :])


def test_tolerance_is_a_share_of_depth():
    depth = torch.full((1, 1, 16, 40), FAR, dtype=F64)
    for share, seen in ((0.04, True), (0.06, False)):
        visible = depth_test(depth * (1 + share), depth, along_x(0.0), K, K, tolerance=0.05)
        assert visible[..., 2:-2, 2:-2].all() == seen


def test_forward_backward_finds_the_same_occlusion():
    forward, _ = rigid_flow(scene(10), along_x(-BASELINE), K, K)
    backward, _ = rigid_flow(scene(2), along_x(BASELINE), K, K)
    consistent = forward_backward(forward, backward)
    hidden = ~consistent[..., 1:-1, 2:]
    truth = occluded()[..., 1:-1, 2:]
    assert (hidden & truth).sum() / (hidden | truth).sum() > 0.8
    assert not consistent[..., :2].any()


def test_a_round_trip_of_opposite_flows_is_zero_and_its_gradient_finite():
    flow = torch.full((1, 2, 6, 8), 1.5, dtype=F64, requires_grad=True)
    left, inside = round_trip(flow, -flow)
    assert left.abs().max() < 1e-12
    assert int(inside.sum()) == 4 * 6  # 1.5 px cost two rows and two columns
    left.sum().backward()
    assert flow.grad.isfinite().all()


def test_the_bound_is_the_formula():
    forward = torch.tensor([3.0, 4.0], dtype=F64).view(1, 2, 1, 1).expand(1, 2, 20, 20)
    for off, agrees in ((0.9, True), (1.2, False)):  # 0.01 (25 + |b|^2) + 0.5 is about 1 px^2
        backward = -forward + torch.tensor([off, 0.0], dtype=F64).view(1, 2, 1, 1)
        assert forward_backward(forward, backward)[..., :10, :10].all() == agrees
