"""Depth from Videos in the Wild: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3, se3_exp, se3_inverse, so3_exp
from epipole.geometry.pyramid import area_means, halvings
from epipole.geometry.sample import sample
from epipole.losses.cycles import rotation_cycle, translation_cycle
from epipole.losses.photometric import masked_mean
from epipole.nets.gordon import PixelMotion
from epipole.systems.depth.gordon import (
    PRESETS,
    SMALLEST,
    Gordon,
    GordonMasked,
    Movement,
    Pair,
    camera,
    movement,
    warped,
)
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.systems.rendering import BOXES, relative, render

H, W = 36, 48
K = intrinsics(0.6 * W, 0.6 * W, 23.5, 17.5)
TINY = replace(PRESETS["small"], width=0.06, scales=1)
TURNING = [-0.15, 0.05, 0.1, 0.02, -0.12, 0.03]
STRAIGHT = [-0.25, 0.08, 0.2, 0.0, 0.0, 0.0]


def system(**changes) -> Gordon:
    torch.manual_seed(0)
    return Gordon(replace(TINY, **changes))


def pair(twist: list[float], scene=BOXES) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """image [1 2 3 h w], depth [1 2 1 h w], T_next_this; float64."""
    poses = se3_exp(torch.tensor([[0.0] * 6, twist], dtype=torch.float64))
    image, depth = render(poses, K, H, W, scene)
    return image[None], depth[None], relative(poses, 1, 0)[None]


def constant(T: torch.Tensor) -> Movement:
    return Movement(T[:, :3, :3], T[:, :3, 3, None, None].expand(-1, -1, H, W))


def known_pair(T_next_this: torch.Tensor, K: torch.Tensor) -> Pair:
    return Pair(constant(T_next_this), constant(se3_inverse(T_next_this)), K[None])


def found_focal(twist: list[float], first: float, steps: int, rate: float) -> float:
    """Focal length over the width after descent on it and on the motion, with true depth."""
    image, depth, _ = pair(twist)
    f = torch.tensor(first, dtype=torch.float64).log().requires_grad_()
    xi = torch.full((6,), 1e-3, dtype=torch.float64, requires_grad=True)
    learner, optimiser = system(), torch.optim.Adam([f, xi], rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimiser.zero_grad()
        side = W * f.exp()
        guess = torch.stack([side, side, side * 0 + 1]).diag() + torch.tensor([[0, 0, 23.5], [0, 0, 17.5], [0, 0, 0]])
        T = se3(so3_exp(xi[3:]), xi[:3])[None]
        sum(learner.objective(image, depth, [known_pair(T, guess)]).values()).backward()
        optimiser.step()
    return float(f.detach().exp())


def test_weights_of_the_reference():
    with torch.device("meta"):
        paper = Gordon()
    assert sum(p.numel() for p in paper.motion_net.parameters()) == 44_178_858
    assert sum(p.numel() for p in paper.depth_net.encoder.parameters()) == 11_176_512


def test_a_turning_camera_tells_its_focal_length():
    assert found_focal(TURNING, 1.0, 110, 0.05) == pytest.approx(0.6, rel=0.05)


def test_a_camera_that_does_not_turn_does_not():
    one, other = (found_focal(STRAIGHT, first, 60, 0.02) for first in (0.6, 1.0))
    assert other > 1.2 * one


def test_truth_beats_no_motion():
    image, depth, T = pair(TURNING)
    objective = system().objective
    right, wrong = (objective(image, depth, [known_pair(t, K)]) for t in (T, se3_exp(1e-6 * torch.ones(1, 6).to(T))))
    for term in ("rgb", "ssim", "consistency"):
        assert right[term] < 0.3 * wrong[term]


def test_truth_beats_no_motion_at_every_size():
    image, depth, T = pair([1.5 * v for v in STRAIGHT])
    lens = {"focal": torch.tensor([[0.6, 0.6 * W / H]]).to(T), "centre": torch.full((1, 2), 0.5).to(T)}
    mobile, no_turn, nothing = torch.zeros_like(depth), torch.zeros(1, 3).to(T), torch.zeros(1, 3, H, W).to(T)
    for size in ((H, W), (H // 2, W // 2)):
        small = [area_means(x, size) for x in (image, depth, mobile)]
        right, wrong = (
            system().at_size([tuple(PixelMotion(no_turn, t, nothing, **lens) for t in (-move, move))], *small)["rgb"]
            for move in (T[:, :3, 3], 1e-6 * torch.ones(1, 3).to(T))
        )
        assert right < 0.4 * wrong


def test_the_loss_is_the_sum_over_sizes_that_have_moments():
    views = Views(image=torch.rand(1, 2, 3, 40, 48))
    full, all_sizes = (float(sum(system(augment=False, scales=n).loss(views).values()).detach()) for n in (1, 4))
    assert halvings((40, 48), 4, SMALLEST) == [(40, 48), (20, 24)]
    learner = system(augment=False)
    small = area_means(views.image, (20, 24))
    depth = learner.depth_net(views.image[0]).unflatten(0, (1, 2))
    motions = [tuple(learner.motion(*ab) for ab in (views.image.unbind(1), views.image.flip(1).unbind(1)))]
    rest = learner.at_size(motions, small, area_means(depth, (20, 24)), torch.ones(1, 2, 1, 20, 24))
    assert full + float(sum(rest.values()).detach()) == pytest.approx(all_sizes, rel=1e-5)


def test_what_is_hidden_does_not_count():
    """A pixel counts where the loss of its colours has a gradient in them."""
    image, depth, T = pair([-0.5, 0.1, 0.0, 0.0, 0.0, 0.0])
    there, back = constant(T), constant(se3_inverse(T))
    a, b = (torch.cat([image[:, k], depth[:, k]], 1) for k in (0, 1))
    a.requires_grad_()
    rgb = system().one_way(a, b, there, back, K[None])["rgb"]
    rgb.backward()
    counted = (a.grad[:, :3] != 0).any(1, keepdim=True)
    pixels, Z, _ = warped(depth[:, 0], there, K[None])
    surface, inside = sample(depth[:, 1], pixels, "nearest")
    hidden = inside & (surface < 0.9 * Z)
    assert hidden.float().mean() > 0.03
    assert counted[hidden].float().mean() < 0.05
    assert counted[inside & ~hidden].float().mean() > 0.3
    everything = masked_mean((sample(b[:, :3], pixels)[0] - image[:, 0]).abs(), inside)
    assert rgb < 0.5 * 0.85 * everything


def test_a_thing_that_moves_is_explained_by_its_own_motion_alone():
    """A still camera; all of the left half moves by one pixel."""
    image, depth, _ = pair([0.0] * 6, BOXES[:1])
    image[:, 1, :, :, : W // 2] = image[:, 0].roll(1, -1)[..., : W // 2]
    moves = depth[:, 0] / (0.6 * W) * (torch.arange(W) < W // 2)
    t = torch.cat([moves, torch.zeros_like(moves).expand(-1, 2, -1, -1)], 1)
    eye = torch.eye(3, dtype=torch.float64)[None]
    nearer = torch.tensor([0.0, 0.0, -1e-6])[:, None, None].to(t)  # what comes nearer is not hidden
    objective, still = system().objective, torch.zeros_like(t) + nearer
    costs = [objective(image, depth, [Pair(Movement(eye, f + nearer), Movement(eye, nearer - f), K[None])])["rgb"]
             for f in (t, torch.zeros_like(t))]
    assert costs[0] < 0.2 * costs[1]
    assert translation_cycle(eye, still, -still).max() < 1e-6


def test_cycles_are_zero_for_opposite_motions_and_do_not_see_their_size():
    T = se3_exp(torch.tensor([TURNING], dtype=torch.float64))
    back = se3_inverse(T)
    R, t = T[:, :3, :3], T[:, :3, 3, None, None]
    assert rotation_cycle(R, back[:, :3, :3]) < 1e-12
    assert translation_cycle(back[:, :3, :3], t, back[:, :3, 3, None, None]).max() < 1e-12
    small, large = (rotation_cycle(so3_exp(s * torch.tensor([[0.1, 0, 0]])), torch.eye(3)[None]) for s in (0.1, 1))
    torch.testing.assert_close(small, large, rtol=1e-2, atol=0)
    assert translation_cycle(torch.eye(3)[None], t.float(), t.float()).allclose(torch.tensor(2.0))


def test_no_gradient_is_lost_where_nothing_moves():
    image, depth, _ = pair([0.0] * 6)
    given = [torch.zeros(1, 3, requires_grad=True, dtype=torch.float64) for _ in range(4)]
    moves = [Movement(so3_exp(w), t[..., None, None].expand(-1, -1, H, W)) for w, t in zip(given[:2], given[2:],
                                                                                          strict=True)]
    sum(system().objective(image, depth, [Pair(*moves, K[None])]).values()).backward()
    assert all(torch.isfinite(g.grad).all() for g in given)


def test_depth_and_a_lens_shared_by_all_clips_wait_until_the_motion_has_settled():
    learner, views = system(augment=False, one_camera=True, settle=2), Views(image=torch.rand(2, 2, 3, 40, 48))
    learned = (learner.lens.focal, learner.depth_net.predict.weight, learner.motion_net.background.weight)
    slopes = []
    for _ in range(3):
        learner.zero_grad()
        sum(learner.loss(views).values()).backward()
        slopes.append([0.0 if x.grad is None else float(x.grad.abs().max()) for x in learned])
    assert [bool(x) for step in slopes for x in step] == [False, False, True, False, False, True, True, True, True]
    K = learner.intrinsics(views)
    assert torch.equal(K[0], K[1])
    torch.testing.assert_close(K[0, 0, 0], K[0, 1, 1])


def test_learning_is_noisy_once_it_is_under_way_and_prediction_never():
    learner, views = system(augment=False), Views(image=torch.rand(1, 2, 3, 40, 48))
    with torch.no_grad():
        learner.steps += learner.config.ramp
        one, two = (learner.train().loss(views)["rgb"] for _ in range(2))
        assert one != two
        same = [learner.eval()(views) for _ in range(2)]
        assert torch.equal(same[0].depth, same[1].depth)
        quiet = [learner.loss(views)["rgb"] for _ in range(2)]
        assert quiet[0] == quiet[1]


def test_without_things_that_may_move_translation_is_the_cameras():
    torch.manual_seed(0)
    learner = GordonMasked(TINY)
    views = Views(image=torch.rand(1, 2, 3, 40, 48), instance=torch.full((1, 2, 1, 40, 48), -1))
    motion = learner.motion(*views.image.unbind(1))
    t = movement(motion, learner.mobile(views)[:, 0]).t
    assert torch.equal(t, motion.translation[..., None, None].expand_as(t))
    assert movement(motion, torch.ones(1, 1, 40, 48)).t.std((2, 3)).min() > 0


def test_things_are_boxed_and_grown_and_small_ones_dropped():
    instance = torch.full((1, 2, 1, 40, 48), -1)
    instance[0, 0, 0, 10, 12:30] = 7      # an L of 18 + 5 px
    instance[0, 0, 0, 10:15, 12] = 7
    instance[0, 1, 0, 20, 20:38] = 7      # 18 px: too small
    learner = GordonMasked(replace(TINY, dilation=2))
    M = learner.mobile(Views(image=torch.zeros(1, 2, 3, 40, 48), instance=instance))
    expected = torch.zeros(40, 48)
    expected[8:17, 10:32] = 1
    assert torch.equal(M[0, 0, 0], expected)
    assert not M[0, 1].any()


def test_intrinsics_begin_at_the_middle_and_are_in_pixels():
    motion = PixelMotion(*(torch.zeros(1, 3),) * 2, torch.zeros(1, 3, H, W), torch.tensor([[0.6, 0.7]]),
                         torch.full((1, 2), 0.5))
    torch.testing.assert_close(camera(motion, (H, W))[0], intrinsics(0.6 * W, 0.7 * H, 23.5, 17.5).float())
    learner, views = system().eval(), Views(image=torch.rand(2, 3, 3, 40, 48))
    with torch.no_grad():
        both = [camera(learner.motion(*order), (40, 48)) for a, b in ((0, 1), (1, 2))
                for order in ((views.image[:, a], views.image[:, b]), (views.image[:, b], views.image[:, a]))]
        torch.testing.assert_close(learner.intrinsics(views), sum(both) / 4)


def test_a_step_of_the_path_is_half_way_between_forward_and_backward():
    learner = system().eval()
    answers = [PixelMotion(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, z]]), torch.zeros(1, 3, 40, 48),
                           torch.ones(1, 2), torch.ones(1, 2)) for z in (0.4, -0.6)]
    learner.motion = lambda first, second: answers[int(first.mean() > second.mean())]
    image = torch.stack([torch.full((3, 40, 48), v) for v in (0.1, 0.5, 0.9)])[None]
    with torch.no_grad():
        path = learner(Views(image=image)).T_first_camera
        assert "T_first_camera" not in learner(Views(image=image[:, :1]))
    torch.testing.assert_close(path[0, :, 2, 3], torch.tensor([0.0, 0.5, 1.0]))


def test_clips_that_cannot_teach_are_refused_in_words():
    for shape in ((1, 1, 3, 40, 48), (1, 2, 3, 16, 48), (1, 2, 1, 40, 48)):
        with pytest.raises(InputError, match="17 pixels"):
            system().loss(Views(image=torch.rand(shape)))
