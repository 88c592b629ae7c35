"""PoseNet and its losses: the tests that a fake would fail."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from epipole.geometry.motion import angle, rotation_to_quaternion, so3_exp
from epipole.systems.motion.posenet import PRESETS, PoseNet, PoseNetGeometric, PoseNetLearned, pose, turned
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.scene import plane_clip, plane_views

TINY = replace(PRESETS["small"], width=0.05, features=16)


def system(kind: type[PoseNet] = PoseNet, **changes) -> PoseNet:
    torch.manual_seed(0)
    return kind(replace(TINY, **changes))


def truth(views: Views) -> Tensor:
    """(x, q) of every view."""
    T = views.T_world_camera.flatten(0, 1)
    return torch.cat([T[:, :3, 3], rotation_to_quaternion(T[:, :3, :3])], 1)


def test_weights_of_the_paper():
    with torch.device("meta"):
        paper = PoseNet()
        outputs = paper.net(torch.rand(1, 3, 224, 224))
    assert [tuple(y.shape) for y in outputs] == [(1, 7)] * 3
    branches = sum((c + 1) * 128 + (16 * 128 + 1) * 1024 + 1025 * 7 for c in (512, 528))
    assert sum(p.numel() for p in paper.parameters()) == 5_973_552 + branches + 1025 * 2048 + 2049 * 7


def test_the_loss_is_metres_and_beta_times_quaternions():
    views, learner = plane_clip(1, 3, 16, 24), system()
    assert sum(learner.objective(truth(views), views).values()) < 1e-3
    off = truth(views) + torch.tensor([0.3, 0, 0.4, 0, 0, 0, 0])
    terms = learner.objective(off, views)
    assert float(terms["position"]) == pytest.approx(0.5, rel=1e-4)
    off = truth(views)
    off[:, 3:] = 1.01 * off[:, 3:]  # too long by a hundredth
    assert float(learner.objective(off, views)["rotation"]) == pytest.approx(500 * 0.01, rel=1e-3)


def test_the_opposite_quaternion_is_the_same_rotation():
    views, learner = plane_clip(1, 3, 16, 24), system()
    flipped = truth(views) * torch.tensor([1, 1, 1, -1, -1, -1, -1])
    assert learner.objective(flipped, views)["rotation"] < 1e-3
    torch.testing.assert_close(pose(flipped), views.T_world_camera[0])


def test_weights_settle_at_the_logarithms_of_the_errors():
    learner = system(PoseNetLearned)
    assert learner.s.tolist() == [0, -3]
    optimiser = torch.optim.Adam([learner.s], 0.05)
    for _ in range(400):
        optimiser.zero_grad()
        sum(learner.weighted(torch.tensor(4.0), torch.tensor(0.01)).values()).backward()
        optimiser.step()
    assert learner.s.tolist() == pytest.approx([math.log(4), math.log(0.01)], abs=1e-2)


def test_the_geometric_loss_is_the_shift_of_the_pixels():
    views, learner = plane_clip(1, 2, 16, 24), system(PoseNetGeometric)
    assert learner.objective(truth(views), views)["reprojection"] < 1e-3
    T = torch.eye(4).expand(1, 2, 4, 4)
    flat = Views(**views.fields() | {"T_world_camera": T, "depth": torch.full_like(views.depth, 2.0)})
    aside = truth(flat) + torch.tensor([0.05, 0, 0, 0, 0, 0, 0])
    shift = float(views.K[0, 0, 0, 0]) * 0.05 / 2.0  # f dx / Z
    assert float(learner.objective(aside, flat)["reprojection"]) == pytest.approx(shift, rel=1e-4)


def test_the_geometric_loss_leads_from_nearby_to_the_pose():
    views, learner = plane_clip(1, 1, 16, 24), system(PoseNetGeometric)
    start = truth(views) + torch.tensor([0.05, -0.04, 0.06, 0.01, -0.02, 0.01, 0])
    vector = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([vector], 5e-3)
    for step in range(300):
        optimiser.param_groups[0]["lr"] = 5e-3 * (1 - step / 300)
        optimiser.zero_grad()
        learner.objective(vector, views)["reprojection"].backward()
        optimiser.step()
    before, after = ((pose(v) - views.T_world_camera[0]).abs().max() for v in (start, vector.detach()))
    assert after < 0.1 * before


def test_points_behind_the_camera_do_not_count():
    views, learner = plane_clip(1, 2, 16, 24), system(PoseNetGeometric)
    about = rotation_to_quaternion(so3_exp(torch.tensor([0.0, math.pi, 0.0])))
    vector = torch.cat([torch.zeros(2, 3), about.expand(2, 4)], 1).requires_grad_()
    loss = learner.objective(vector, views)["reprojection"]
    loss.backward()
    assert loss == 0
    assert vector.grad.isfinite().all()


def test_unknown_depth_may_be_anything():
    views, learner = plane_clip(1, 1, 16, 24), system(PoseNetGeometric)
    half = torch.ones_like(views.depth_valid)
    half[..., :8, :] = False
    losses = []
    for filler in (1.0, torch.nan):
        torch.manual_seed(0)
        depth = torch.where(half, views.depth, filler)
        losses.append(learner.objective(truth(views) + 0.01, Views(**views.fields() | {"depth": depth,
                                                                                         "depth_valid": half})))
    assert torch.equal(losses[0]["reprojection"], losses[1]["reprojection"])


def test_what_one_loss_trained_another_refines():
    learned, geometric = system(PoseNetLearned), system(PoseNetGeometric)
    geometric.net.load_state_dict(learned.net.state_dict())
    views = plane_clip(1, 2, 32, 48)
    with torch.no_grad():
        a, b = (s.eval()(views.keep(s.reads)).T_world_camera for s in (learned, geometric))
    assert torch.equal(a, b)


def test_the_geometric_loss_follows_on_learned_weights_which_it_leaves_as_they_are():
    learned, geometric = system(PoseNetLearned).eval(), system(PoseNetGeometric).eval()
    geometric.load_state_dict(learned.state_dict())
    views, stages = plane_clip(1, 2, 32, 48), geometric.stages()
    first = stages["learned"][1](views)
    assert {n: float(x.detach()) for n, x in first.items()} == {
        n: float(x.detach()) for n, x in learned.loss(views).items()}
    sum(first.values()).backward()
    assert (geometric.s.grad != 0).all()
    geometric.zero_grad()
    terms = stages["geometric"][1](views)
    assert list(terms) == ["reprojection"]
    terms["reprojection"].backward()
    assert geometric.s.grad is None


def test_a_turned_view_is_what_a_turned_camera_sees():
    torch.manual_seed(0)
    views = plane_clip(1, 3, 48, 64)
    found = turned(views, 10.0)
    same, R = views.T_world_camera, found.T_world_camera[..., :3, :3].mT @ views.T_world_camera[..., :3, :3]
    torch.testing.assert_close(found.T_world_camera[..., :3, 3], same[..., :3, 3])
    assert (angle(R) > math.radians(3)).all()
    true = plane_views(found.T_world_camera, 48, 64)
    known = found.depth_valid
    assert known.flatten(2).float().mean(2).min() > 0.3
    torch.testing.assert_close(found.depth[known], true.depth[known], rtol=5e-3, atol=0)
    assert ((found.image - true.image).abs() * known).mean() < 0.01
    assert ((views.image - true.image).abs() * known).mean() > 0.05
    assert (found.image * ~known).max() < 0.01 or not (~known).any()


def test_views_are_turned_in_training_alone_and_by_the_small_preset():
    views, learner = plane_clip(1, 2, 32, 48), system(beta=1.0)
    learner.net.eval()      # the same output for the same image
    assert learner.config.turn > 0
    assert learner.loss(views)["rotation"] != learner.loss(views)["rotation"]
    still = system(beta=1.0, turn=0.0)
    still.net.eval()
    assert still.loss(views)["rotation"] == still.loss(views)["rotation"]
    assert learner.eval().loss(views)["rotation"] == learner.loss(views)["rotation"]


def test_branches_teach_with_a_lower_weight_and_predict_nothing():
    views, learner = plane_clip(1, 2, 32, 48), system().eval()
    fixed = [truth(views) + torch.tensor([d, 0, 0, 0, 0, 0, 0]) for d in (1.0, 2.0, 4.0)]
    learner.net.forward = lambda image: fixed
    assert float(learner.loss(views)["position"]) == pytest.approx(1 + 0.3 * (2 + 4), rel=1e-4)
    torch.testing.assert_close(learner(views).T_world_camera[0, :, 0, 3], fixed[0][:, 0])


def test_grey_images_are_refused_in_words():
    with pytest.raises(InputError):
        system().loss(Views(image=torch.rand(1, 1, 1, 32, 48), T_world_camera=torch.eye(4).expand(1, 1, 4, 4)))
