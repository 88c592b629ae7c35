"""Flow as a share of the image's size."""

import torch

from epipole.geometry.camera import resize_intrinsics
from epipole.geometry.motion import se3_inverse
from epipole.geometry.share import extent, rigid_share, share_warp
from epipole.geometry.warp import flow_warp
from tests.scene import plane_clip


def test_width_comes_first():
    assert extent(torch.zeros(2, 3, 4, 5)).flatten().tolist() == [5, 4]


def test_the_share_is_that_of_the_true_flow_at_every_size():
    views = plane_clip(2, 2, 24, 32)
    T = se3_inverse(views.T_world_camera[:, 1]) @ views.T_world_camera[:, 0]
    K, depth = views.K[:, 0], views.depth[:, 0]
    share, seen = rigid_share(depth, T, K, views.K[:, 1])
    assert seen.all()
    torch.testing.assert_close(share * torch.tensor([32, 24])[:, None, None], views.flow[:, 0], atol=1e-4, rtol=0)
    small = resize_intrinsics(K, 0.5, 0.5)
    half, _ = rigid_share(torch.nn.functional.avg_pool2d(depth, 2), T, small, small)
    torch.testing.assert_close(half, torch.nn.functional.avg_pool2d(share, 2), atol=1e-3, rtol=0)


def test_what_flies_farther_than_the_image_or_behind_is_not_seen():
    K, depth = torch.tensor([[[20.0, 0, 9.5], [0, 20, 7.5], [0, 0, 1]]]), torch.ones(1, 1, 16, 20)
    for shift, sees in (([0.5, 0, 0], True), ([1.5, 0, 0], False), ([0, 0, -2.0], False)):
        T = torch.eye(4)[None].clone()
        T[:, :3, 3] = torch.tensor(shift)
        assert (rigid_share(depth, T, K, K)[1] == sees).all()


def test_the_warp_is_that_of_the_flow_and_0_outside(generator):
    image, share = torch.rand(1, 3, 6, 8, generator=generator), torch.rand(1, 2, 6, 8, generator=generator) - 0.5
    seen, inside = flow_warp(image, share * torch.tensor([8, 6])[:, None, None])
    found = share_warp(image, share)
    assert 0 < inside.float().mean() < 1
    assert torch.equal(found[inside.expand_as(found)], seen[inside.expand_as(found)])
    assert (found[~inside.expand_as(found)] == 0).all()
