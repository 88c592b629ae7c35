"""SfM-Net: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import euler_to_rotation, se3, se3_exp, se3_inverse, so3_exp
from epipole.geometry.warp import rigid_flow
from epipole.nets.sfmnet import RawMotions
from epipole.systems.depth.sfmnet import (
    PRESETS,
    RigidMotions,
    SfmNet,
    SfmNetCamera,
    SfmNetDepth,
    about,
    explained,
)
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.systems.rendering import SLANTED, relative, render

H, W = 36, 48
K = intrinsics(40.0, 40.0, 23.5, 17.5).float()
TINY = replace(PRESETS["small"], width=0.06, hidden=8, grid=(1, 1), pivots=(3, 4))


def system(kind: type[SfmNet] = SfmNet, **changes) -> SfmNet:
    torch.manual_seed(0)
    return kind(replace(TINY, **changes))


def motions(camera: torch.Tensor, objects: torch.Tensor, masks: torch.Tensor) -> RigidMotions:
    return RigidMotions(masks[None], objects[None], camera[None])


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_no_motion_is_no_flow_wherever_the_pivots_are():
    pivot = 5 * drawn(4, 3)
    T = about(torch.eye(3).expand(4, 3, 3), torch.zeros(4, 3), pivot)
    torch.testing.assert_close(T, torch.eye(4).expand(4, 4, 4))
    seen = explained(1 + drawn(1, 1, H, W).abs(), motions(T[0], T[1:], torch.rand(3, H, W)), K[None], K[None])
    assert seen.flow.abs().max() < 1e-4
    assert seen.rise.abs().max() < 1e-5
    assert seen.inside.float().mean() > 0.8


def test_a_pivot_stays_where_it_is_when_its_object_turns():
    pivot, R = drawn(4, 3), so3_exp(drawn(4, 3))
    T = about(R, torch.zeros(4, 3), pivot)
    torch.testing.assert_close((T[:, :3, :3] @ pivot[..., None])[..., 0] + T[:, :3, 3], pivot)


def test_without_masks_flow_is_the_cameras():
    depth, camera = 3 + drawn(1, 1, H, W).abs(), se3_exp(0.1 * drawn(6))
    seen = explained(depth, motions(camera, se3_exp(drawn(3, 6)), torch.zeros(3, H, W)), K[None], K[None])
    flow, _ = rigid_flow(depth, camera[None], K[None], K[None])
    torch.testing.assert_close(seen.flow, flow, atol=1e-4, rtol=1e-4)


def test_objects_that_overlap_add_up_before_the_camera_moves():
    depth = torch.full((1, 1, H, W), 4.0)
    shifts = torch.tensor([[0.1, 0.0, 0.0], [0.3, 0.2, -0.4]])
    objects, camera = se3(torch.eye(3).expand(2, 3, 3), shifts), se3_exp(torch.tensor([0, 0, 0.2, 0, 0, 0.3]))
    masks = torch.zeros(2, H, W)
    masks[0, :20], masks[1, 10:] = 1, 0.5
    seen = explained(depth, motions(camera, objects, masks), K[None], K[None])
    v, u = 15, 30
    X = torch.tensor([(u - 23.5) / 10, (v - 17.5) / 10, 4.0]) + shifts[0] + 0.5 * shifts[1]
    X = camera[:3, :3] @ X + camera[:3, 3]
    expected = torch.tensor([40 * X[0] / X[2] + 23.5 - u, 40 * X[1] / X[2] + 17.5 - v])
    torch.testing.assert_close(seen.flow[0, :, v, u], expected, atol=1e-4, rtol=1e-4)
    assert float(seen.rise[0, 0, v, u]) == pytest.approx(float(X[2]) - 4, abs=1e-5)


def square_that_moves() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two images of a still camera, a bright square moved 4 px to the right between them, and where it was."""
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    still = 0.3 + 0.1 * torch.stack([torch.sin(x / 3.0), torch.sin(y / 3.0), torch.sin((x + y) / 4.0)])
    thing = 0.7 + 0.2 * torch.stack([torch.sin(x / 4.0), torch.sin(y / 4.0 + 1), torch.sin((x - y) / 4.0)])
    where = ((x - 20).abs() <= 8) & ((y - 18).abs() <= 8)
    return torch.where(where, thing, still), torch.where(where.roll(4, 1), thing.roll(4, -1), still), where


def test_a_mask_finds_the_square_that_moves():
    """Masks and the objects' motions are fitted to a pair; depth is known, and that the camera stands still."""
    first, second, where = square_that_moves()
    depth, learner = torch.full((1, 1, H, W), 4.0), system()
    logits = (0.1 * drawn(3, H, W)).requires_grad_()
    shift, still = (0.02 * drawn(3, 3)).requires_grad_(), torch.eye(4)
    optimiser = torch.optim.Adam([{"params": [logits], "lr": 0.2}, {"params": [shift], "lr": 0.01}])
    for _ in range(150):
        optimiser.zero_grad()
        objects = se3(torch.eye(3).expand(3, 3, 3), shift)
        seen = explained(depth, motions(still, objects, logits.sigmoid()), K[None], K[None])
        sum(learner.one_way(first[None], second[None], depth, seen).values()).backward()
        optimiser.step()
    effect = 10 * logits.detach().sigmoid() * shift.detach()[:, :2].norm(dim=-1)[:, None, None]  # px
    iou = [float(((m > 2) & where).sum() / ((m > 2) | where).sum()) for m in effect]
    assert max(iou) > 0.7
    assert effect[:, ~where].mean(1).max() < 0.2  # several may share the square, none moves anything else
    assert float(seen.flow[0, 0][where].mean()) == pytest.approx(4, abs=0.6)
    assert seen.flow[0][:, ~where].abs().mean() < 0.2


def rendered() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """image [1 2 3 h w], depth [1 2 1 h w], T_next_this."""
    poses = se3_exp(torch.tensor([[0.0] * 6, [-0.2, 0.05, 0.3, 0.0, -0.05, 0.02]], dtype=torch.float64))
    image, depth = render(poses, K.double(), H, W, SLANTED)
    return image.float()[None], depth.float()[None], relative(poses, 1, 0).float()


def costs(T: torch.Tensor, depths: float = 1.0) -> dict[str, torch.Tensor]:
    """The terms for a moving camera and no objects."""
    image, depth, _ = rendered()
    none = [torch.eye(4).expand(3, 4, 4), torch.zeros(3, H, W)]
    there, back = motions(T, *none), motions(se3_inverse(T), *none)
    return system().objective(image, K.expand(1, 2, 3, 3), depths * depth, [there], [back])


def test_truth_beats_no_motion_and_depths_agree_forward_and_backward():
    right, wrong, far = costs(rendered()[2]), costs(torch.eye(4)), costs(rendered()[2], 1.3)
    assert right["photometric"] < 0.15 * wrong["photometric"]
    assert right["consistency"] < 0.1 * wrong["consistency"]
    assert right["photometric"] < 0.5 * far["photometric"]


def test_depth_teaches_where_it_is_known():
    image, depth, _ = rendered()
    valid = torch.ones_like(depth, dtype=torch.bool)
    valid[..., :10] = False
    views = Views(image=image, K=K.expand(1, 2, 3, 3), depth=torch.where(valid, depth, torch.nan), depth_valid=valid)
    learner = system(SfmNetDepth)
    assert learner.supervision(views, torch.where(valid, depth, 99), [], [])["depth"] == 0
    assert float(learner.supervision(views, depth + 0.5, [], [])["depth"]) == pytest.approx(0.05, rel=1e-4)


def test_the_cameras_motion_teaches_both_ways():
    T = rendered()[2]
    views = Views(image=rendered()[0], T_world_camera=torch.stack([torch.eye(4), se3_inverse(T)])[None])
    learner, none = system(SfmNetCamera), [torch.eye(4).expand(3, 4, 4), torch.zeros(3, H, W)]

    def cost(there: torch.Tensor, back: torch.Tensor) -> float:
        taught = learner.supervision(views, torch.ones(1, 2, 1, H, W), [motions(there, *none)], [motions(back, *none)])
        return float(taught["camera"])

    assert cost(T, se3_inverse(T)) < 1e-6
    turned = se3(so3_exp(torch.tensor([0.0, 0.1, 0.0])), torch.zeros(3))
    assert cost(T @ turned, se3_inverse(T)) == pytest.approx(0.1, rel=1e-3)
    moved = se3(torch.eye(3), torch.tensor([0.0, 0.3, 0.4]))
    assert cost(T, se3_inverse(T) @ moved) == pytest.approx(0.25, rel=1e-3)
    assert cost(se3_inverse(T), T) > 0.1


def test_masks_sharpen_with_the_steps_and_angles_have_these_sines():
    learner = system()
    sines = torch.tensor([[[0.3, -0.2, 0.1], [0.0, 0, 0], [0, 0, 0], [0, 0, 0]]])
    raw = RawMotions(torch.full((1, 3, H, W), 0.5), sines, torch.zeros(1, 4, 3), torch.full((1, 4, 2), 0.5))
    learner.motion_net = torch.nn.Module()
    learner.motion_net.forward = lambda _: raw
    image = torch.rand(1, 3, H, W)
    soft = learner.motions(image, image, K[None])
    torch.testing.assert_close(soft.camera[:, :3, :3], euler_to_rotation(torch.asin(0.99 * sines[:, 0])))
    assert torch.equal(soft.objects, torch.eye(4).expand(1, 3, 4, 4))
    torch.testing.assert_close(soft.masks, torch.full_like(soft.masks, 0.5).sigmoid())
    learner.steps += learner.config.sharpen
    torch.testing.assert_close(learner.motions(image, image, K[None]).masks, torch.ones_like(soft.masks).sigmoid())
    learner.steps *= 1000
    assert learner.motions(image, image, K[None]).masks.max() < 0.994  # no steeper than 10


def test_the_path_and_what_is_explained_follow_from_the_motions():
    image, _, T = rendered()
    learner = system().eval()
    answer = motions(T, torch.eye(4).expand(3, 4, 4), torch.zeros(3, H, W))
    learner.motions = lambda first, second, K: answer
    views = Views(image=image, K=K.expand(1, 2, 3, 3))
    with torch.no_grad():
        torch.testing.assert_close(learner(views).T_first_camera[:, 1] @ T, torch.eye(4)[None], atol=1e-5, rtol=0)
        assert "T_first_camera" not in learner(views.map(lambda x: x[:, :1]))
        (seen,) = learner.explain(views)
        torch.testing.assert_close(seen.flow, rigid_flow(learner(views).depth[:, 0], T[None], K[None], K[None])[0],
                                   atol=1e-3, rtol=1e-3)


def test_without_objects_the_camera_alone_moves_and_the_rest_learns():
    learner = system(objects=0)
    views = Views(image=torch.rand(1, 2, 3, H, W), K=K.expand(1, 2, 3, 3))
    (seen,) = learner.explain(views)
    assert seen.motions.masks.shape == (1, 0, H, W)
    assert seen.motions.objects.shape == (1, 0, 4, 4)
    torch.testing.assert_close(
        seen.flow, rigid_flow(seen.depth, seen.motions.camera, K[None], K[None])[0], atol=1e-3, rtol=1e-3)
    terms = learner.loss(views)
    assert "mask_smoothness" not in terms
    sum(terms.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learner.parameters())


def test_single_views_are_refused_in_words():
    with pytest.raises(InputError, match="two views"):
        system().loss(Views(image=torch.rand(1, 1, 3, H, W), K=K.expand(1, 1, 3, 3)))
