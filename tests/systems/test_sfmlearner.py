"""SfMLearner on rendered clips: the tests that a fake would fail."""

import math
from dataclasses import replace

import pytest
import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import pose_vector_to_motion, se3_exp
from epipole.systems.depth.sfmlearner import PRESETS, SfmLearner
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.systems.rendering import disparity_pyramid, relative, render

H, W = 48, 64
K = intrinsics(60.0, 60.0, 31.5, 23.5).float()
TINY = replace(PRESETS["small"], width=0.1)


@pytest.fixture
def clip():
    """image in [-1, 1] [1 3 3 h w], K, true disparities of the target, true T_source_target [1 2 4 4]."""
    twists = torch.tensor([[-0.2, 0.02, -0.1, 0.0, -0.02, 0.01], [0, 0, 0, 0, 0, 0], [0.15, 0.05, 0.1, 0.01, 0.02, 0]])
    poses = se3_exp(twists.double())
    image, depth = render(poses, K.double(), H, W)
    motions = torch.stack([relative(poses, s, 1) for s in (0, 2)])
    disparities = [d.float() for d in disparity_pyramid(depth[1:2])]
    return (2 * image - 1).float()[None], K.expand(1, 3, 3, 3), disparities, motions.float()[None]


def system(**changes) -> SfmLearner:
    torch.manual_seed(0)
    return SfmLearner(replace(TINY, **changes))


def test_weights_of_the_paper():
    count = sum(p.numel() for p in SfmLearner().parameters())
    assert count == 31_596_900 + 1_590_668 + 1_048_512


def test_truth_has_under_one_percent_of_the_error_of_no_motion(clip):
    image, k, disparities, T = clip
    objective, finest = system().objective, disparities[:1]  # coarse levels of a fine texture interpolate badly
    wrong = objective(image, k, finest, torch.eye(4).expand(1, 2, 4, 4), [])["view_synthesis"]
    right = objective(image, k, finest, T, [])["view_synthesis"]
    assert right < 0.01 * wrong


def test_planes_are_perfectly_smooth(clip):
    image, k, disparities, T = clip
    assert system().objective(image, k, disparities, T, [])["smoothness"] < 1e-4


@pytest.mark.parametrize("normalise", [True, False])
def test_the_scale_of_disparity_drifts_unless_it_is_normalised(clip, normalise):
    """A network that doubles what it says of one image: neither loss nor depth follow where the mean is divided out."""
    model, views = system(normalise=normalise).eval(), Views(image=clip[0] / 2 + 0.5, K=clip[1])
    before = model.loss(views), model(views).depth
    model.depth_net.register_forward_hook(lambda net, image, disparities: [2 * d for d in disparities])
    after = model.loss(views), model(views).depth
    assert torch.allclose(after[1], before[1], rtol=1e-4) == normalise
    for name in ("view_synthesis", "smoothness"):
        assert torch.allclose(after[0][name], before[0][name], rtol=1e-5) == normalise


def test_pose_alone_is_found_by_descent_on_true_depth(clip):
    image, k, disparities, T = clip
    vector = torch.zeros(1, 2, 6, requires_grad=True)
    objective = system().objective
    optimiser = torch.optim.Adam([vector], 2e-2)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 2e-2 * (1 - step / 200)
        optimiser.zero_grad()
        objective(image, k, disparities[:2], pose_vector_to_motion(vector), [])["view_synthesis"].backward()
        if step == 0:
            assert (vector.grad != 0).all()
        optimiser.step()
    cosine = torch.nn.functional.cosine_similarity(vector[..., :3].detach(), T[..., :3, 3], dim=-1)
    assert torch.rad2deg(torch.acos(cosine.clamp(max=1))).max() < 1


def explained(clip, explainability: float, steps: int = 60) -> torch.Tensor:
    """E at the finest level after descent on the logits alone."""
    image, k, disparities, T = clip
    logits = [torch.zeros(1, 2, 2, *d.shape[-2:], requires_grad=True) for d in disparities]
    objective = system(explainability=explainability).objective
    optimiser = torch.optim.Adam(logits, 0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        sum(objective(image, k, disparities, T, logits).values()).backward()
        optimiser.step()
    return logits[0].softmax(2)[:, :, 1].detach()


def test_without_its_regulariser_explainability_collapses(clip):
    image, *rest = clip
    noisy = image + 0.2 * torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
    assert explained((noisy, *rest), 0.0)[..., 12:-12, 16:-16].mean() < 0.05


def test_explainability_is_low_where_something_moved(clip):
    image, *rest = clip
    image = image.clone()
    image[:, 0, :, 18:30, 24:40] = -image[:, 0, :, 18:30, 24:40]
    E = explained((image, *rest), 0.2)
    inside = torch.zeros(H, W, dtype=torch.bool)
    inside[20:28, 28:36] = True
    assert E[0, 0][inside].mean() < E[0, 0][~inside].mean() - 0.2
    assert E[0, 1][inside].mean() > 0.9  # the other source shows no patch


def test_sources_motions_and_masks_may_swap_together_but_not_alone(clip):
    image, k, disparities, T = clip
    logits = [torch.randn(1, 2, 2, *d.shape[-2:], generator=torch.Generator().manual_seed(0)) for d in disparities]
    objective = system().objective
    swapped = image[:, [2, 1, 0]]

    def total(images, motions, masks):
        return sum(objective(images, k, disparities, motions, masks).values())

    plain = total(image, T, logits)
    torch.testing.assert_close(total(swapped, T[:, [1, 0]], [l[:, [1, 0]] for l in logits]), plain)
    assert total(swapped, T, logits) > 1.5 * plain


def test_a_plane_that_moves_out_of_view_costs_nothing_and_stays_finite(clip):
    image, k, disparities, T = clip
    away = T.clone()
    away[..., 2, 3] = -100  # everything lies behind the sources
    terms = system().objective(image, k, [d.requires_grad_() for d in disparities], away, [])
    assert terms["view_synthesis"] == 0
    sum(terms.values()).backward()
    assert all(torch.isfinite(d.grad).all() for d in disparities)


def test_the_path_follows_from_the_motions(clip):
    """With a motion network that answers the truth, forward gives the path in the first camera's frame."""
    image, _, _, T = clip
    learner = system()
    learner.motion = lambda _: (T, [])
    path = learner(Views(image=(image + 1) / 2)).T_first_camera
    torch.testing.assert_close(path[:, 0], torch.eye(4)[None])
    torch.testing.assert_close(path[:, 1], T[:, 0])  # T_first_target
    torch.testing.assert_close(path[:, 2] @ T[:, 1], T[:, 0], atol=1e-5, rtol=0)


def test_the_target_is_the_middle_frame_and_comes_first(clip):
    image, *_ = clip
    seen = []
    learner = system()
    learner.pose_net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    learner.motion(image)
    assert torch.equal(seen[0], torch.cat([image[:, 1], image[:, 0], image[:, 2]], 1))


def test_depth_of_single_views_needs_no_clip_and_motion_does(clip):
    image = (clip[0] + 1) / 2
    learner = system().eval()
    with torch.no_grad():
        single = learner(Views(image=image[:, :1]))
        assert "T_first_camera" not in single
        torch.testing.assert_close(single.depth, learner(Views(image=image)).depth[:, :1])
        with pytest.raises(InputError):
            learner(Views(image=image[:, :2]))


def test_the_smallest_images_learn_and_smaller_ones_are_refused_in_words():
    views = Views(image=torch.rand(1, 3, 3, 17, 20), K=K.expand(1, 3, 3, 3))
    assert all(torch.isfinite(term) for term in system().loss(views).values())
    with pytest.raises(InputError):
        system().loss(Views(image=views.image[..., :16, :], K=views.K))


def test_odd_sizes_and_five_frames_learn_without_a_mask():
    torch.manual_seed(0)
    learner = SfmLearner(replace(PRESETS["odometry"], width=0.1, explain=False))
    terms = learner.loss(Views(image=torch.rand(1, 5, 3, 37, 61), K=K.expand(1, 5, 3, 3)))
    assert set(terms) == {"view_synthesis", "smoothness"}
    sum(terms.values()).backward()
    assert all(p.grad.abs().sum() > 0 for p in learner.parameters())
    assert all(math.isfinite(float(t.detach())) for t in terms.values())


def test_it_learns_a_clip(clip):
    image, k, *_ = clip
    learner = system(explain=False).train()
    views = Views(image=(image + 1) / 2, K=k)
    optimiser = torch.optim.Adam(learner.parameters(), 5e-4)
    losses = []
    for _ in range(60):
        loss = sum(learner.loss(views).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
