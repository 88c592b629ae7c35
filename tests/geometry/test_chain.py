"""Pairs in units of their own, brought to one."""

import torch

from epipole.geometry.chain import in_one_unit
from epipole.geometry.motion import se3, se3_inverse
from tests.scene import plane_clip


def units_of_their_own(scenes: int = 2) -> tuple[torch.Tensor, ...]:
    """True depth and motions of a clip, divided by the length of each view's step to the next; and that length."""
    views = plane_clip(scenes, 4, 24, 32)
    T_world = views.T_world_camera
    T = se3_inverse(T_world.roll(-1, 1)) @ T_world
    unit = torch.tensor([[0.5, 2.0, 0.1, 3.0]]).expand(scenes, 4)
    return views.depth / unit[..., None, None, None], se3(T[..., :3, :3], T[..., :3, 3] / unit[..., None]), views, unit


def test_what_is_true_in_units_of_its_own_is_true_in_one():
    depth, T_next_this, views, unit = units_of_their_own()
    found, path = in_one_unit(depth, T_next_this, views.K)
    scale = unit[:, 0, None, None, None, None]
    torch.testing.assert_close(found * scale, views.depth, rtol=1e-3, atol=0)  # a plane's depth is not linear in pixels
    truth = se3_inverse(views.T_world_camera[:, :1]) @ views.T_world_camera
    torch.testing.assert_close(path[..., :3, 3] * unit[:, 0, None, None], truth[..., :3, 3], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(path[..., :3, :3], truth[..., :3, :3])


def test_the_motion_back_to_the_first_view_is_not_read():
    depth, T_next_this, views, _ = units_of_their_own()
    found, again = (in_one_unit(depth, T, views.K) for T in (T_next_this, T_next_this[:, :3]))
    assert torch.equal(found[0], again[0])
    assert torch.equal(found[1], again[1])


def test_a_view_that_shares_nothing_with_the_one_before_keeps_the_unit():
    depth, T_next_this, views, _ = units_of_their_own(1)
    away = T_next_this.clone()
    away[:, 1, :3, :3] = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))  # turned round
    found, path = in_one_unit(depth, away, views.K)
    torch.testing.assert_close(found[:, 2] / depth[:, 2], found[:, 1] / depth[:, 1])
    assert path.isfinite().all()


def test_a_single_view_stands_at_the_origin():
    depth = torch.rand(2, 1, 1, 4, 5) + 1
    found, path = in_one_unit(depth, torch.eye(4).expand(2, 0, 4, 4), torch.eye(3).expand(2, 1, 3, 3))
    assert torch.equal(found, depth)
    assert torch.equal(path, torch.eye(4).expand(2, 1, 4, 4))
