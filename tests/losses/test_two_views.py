"""The truth of two views."""

import torch

from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.geometry.warp import rigid_flow
from epipole.losses.two_views import Scene, true_scene
from tests.scene import DISTANCE, NORMAL, plane_clip


def pair() -> tuple[torch.Tensor, ...]:
    """depth, valid, T_second_first, K, flow of a plane."""
    views = plane_clip(2, 2, 24, 32)
    T = se3_inverse(views.T_world_camera[:, 1]) @ views.T_world_camera[:, 0]
    return views.depth[:, 0], views.depth_valid[:, 0], T, views.K[:, 0], views.flow[:, 0]


def test_the_baseline_is_the_unit_and_flow_a_share_of_the_size():
    depth, valid, T, K, flow = pair()
    truth = true_scene(depth, valid, T, K)
    torch.testing.assert_close(truth.scene.rho, T[:, :3, 3].norm(dim=1)[:, None, None, None] / depth)
    torch.testing.assert_close(truth.flow * torch.tensor([32, 24])[:, None, None], flow, atol=1e-4, rtol=0)
    assert truth.known.all()
    assert truth.followed.all()
    assert truth.moves.all()
    seen, _ = rigid_flow(1 / truth.scene.rho, truth.scene.motion(), K, K)  # in the new unit the scene moves as before
    torch.testing.assert_close(seen, flow, atol=1e-4, rtol=0)


def test_normals_are_those_of_the_plane_toward_the_camera():
    depth, valid, T, K, _ = pair()
    truth = true_scene(depth[:1], valid[:1], T[:1], K[:1])  # whose axes are the world's
    found = truth.scene.normals[0][:, truth.flat[0, 0]]
    assert truth.flat.float().mean() > 0.7
    torch.testing.assert_close(found, -(NORMAL / NORMAL.norm())[:, None].expand_as(found), atol=1e-3, rtol=0)
    assert DISTANCE > 0


def test_without_a_baseline_depth_is_nothing_and_flow_that_of_the_turn():
    depth, valid, _, K, _ = pair()
    turn = se3_exp(torch.tensor([0.0, 0, 0, 0.01, 0.05, -0.02])).expand(2, 4, 4)
    truth = true_scene(depth, valid, turn, K)
    assert not truth.moves.any()
    assert (truth.scene.rho == 0).all()
    torch.testing.assert_close(truth.flow, true_scene(7 * depth, valid, turn, K).flow, atol=1e-5, rtol=0)
    torch.testing.assert_close(truth.scene.rotation, torch.tensor([0.01, 0.05, -0.02]).expand(2, 3))


def test_what_is_not_valid_may_be_nan():
    depth, valid, T, K, _ = pair()
    hole = valid.clone()
    hole[..., 5:9, 5:9] = False
    truth = true_scene(torch.where(hole, depth, torch.nan), hole, T, K)
    assert torch.equal(truth.known, hole)
    assert not truth.followed[..., 5:9, 5:9].any()
    assert not truth.flat[..., 4:10, 5:9].any()
    assert all(x.isfinite().all() for x in (*truth.scene, truth.flow))


def test_a_translation_counts_by_its_direction():
    here, there = (Scene(torch.ones(1, 1, 1, 1), torch.ones(1, 3, 1, 1), torch.zeros(1, 3), torch.tensor([[0, 0, s]]))
                   for s in (0.2, 5.0))
    torch.testing.assert_close(here.motion(), there.motion())
    assert here.motion()[0, 2, 3] == 1
