"""vid2depth on rendered clips: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import pose_vector_to_motion, se3, se3_exp, se3_inverse
from epipole.systems.depth.vid2depth import PRESETS, Config, Vid2Depth, ordered_pairs, some_points
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.systems.rendering import BOXES, disparity_pyramid, relative, render

H, W = 48, 64
K = intrinsics(60.0, 60.0, 31.5, 23.5)
TINY = replace(PRESETS["small"], width=0.1)
ICP_ONLY = Config(width=0.1, reconstruction=0.0, ssim=0.0, smoothness=0.0, icp=1.0)
GRADIENTS = pytest.mark.parametrize("rule", ["paper", "exact"])


@pytest.fixture
def clip():
    """image [1 3 3 h w], K, true disparities [1 3 1 _ _] at four scales, true T_next_this [1 2 4 4]; boxes, float64."""
    twists = [[-0.1, 0.02, -0.2, 0.0, -0.02, 0.01], [0, 0, 0, 0, 0, 0], [0.1, 0.05, 0.2, 0.01, 0.02, 0]]
    poses = se3_exp(torch.tensor(twists, dtype=torch.float64))
    image, depth = render(poses, K, H, W, BOXES)
    motions = torch.stack([relative(poses, i + 1, i) for i in range(2)])
    return image[None], K.expand(1, 3, 3, 3), disparity_pyramid(depth[None]), motions[None]


def system(config: Config = TINY) -> Vid2Depth:
    torch.manual_seed(0)
    return Vid2Depth(config)


def test_weights_of_the_paper():
    """Batch-norm has a scale and a shift for every bias that it replaces."""
    learner = Vid2Depth()
    norms = [m for m in learner.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    scales = sum(m.weight.numel() for m in norms)
    assert sum(p.numel() for p in learner.parameters()) == 31_596_900 + 1_590_668 + scales


def test_every_frame_is_a_target_of_each_of_its_neighbours(clip):
    *_, T = clip
    pairs = ordered_pairs(T)
    assert [(i, j) for i, j, _, _ in pairs] == [(0, 1), (1, 0), (1, 2), (2, 1)]
    for i, j, T_j_i, T_i_j in pairs:
        torch.testing.assert_close(T_j_i, T[:, 0 if {i, j} == {0, 1} else 1] if i < j else T_j_i)
        torch.testing.assert_close(T_j_i @ T_i_j, torch.eye(4, dtype=T.dtype)[None])


def test_the_way_back_is_the_inverse_motion_not_the_negated_vector():
    vector = torch.tensor([[[0.5, 0, 0, 0, 0.3, 0]]], dtype=torch.float64)
    (_, _, _, back), _ = ordered_pairs(pose_vector_to_motion(vector))
    assert (back - pose_vector_to_motion(-vector)[:, 0]).abs().max() > 0.1


@GRADIENTS
def test_truth_beats_no_motion_in_every_term_that_sees_motion(clip, rule):
    image, k, disparities, T = clip
    objective = system(replace(TINY, icp_gradient=rule, icp_target_points=0)).objective
    right = objective(image, k, disparities[:1], T)
    wrong = objective(image, k, disparities[:1], torch.eye(4, dtype=T.dtype).expand(1, 2, 4, 4))
    assert right["reconstruction"] < 0.2 * wrong["reconstruction"]
    assert right["ssim"] < 0.4 * wrong["ssim"]
    assert right["icp"] < 0.7 * wrong["icp"]
    assert right["smoothness"] == wrong["smoothness"]


def test_what_no_neighbour_sees_does_not_count(clip):
    """A plane at depth 2 moves 15 px to the left: the first 14 columns of frame 0 have no partner in frame 1."""
    image, k, disparities, _ = clip
    left = se3(torch.eye(3), torch.tensor([-0.5, 0, 0])).double().expand(1, 1, 4, 4)
    flat = [torch.full_like(disparities[0][:, :2], 0.5)]
    spoiled = image.clone()
    spoiled[:, 0, :, :, :14] = 1 - spoiled[:, 0, :, :, :14]

    def terms(images, mask):
        objective = system(replace(TINY, icp=0.0, principled_mask=mask)).objective
        return objective(images[:, :2], k[:, :2], flat, left)

    for name in ("reconstruction", "ssim"):
        assert terms(spoiled, True)[name] == terms(image, True)[name]
        assert abs(terms(spoiled, False)[name] - terms(image, False)[name]) > 1e-3


def test_leaving_the_picture_does_not_pay(clip):
    image, k, disparities, T = clip
    sideways = se3(torch.eye(3), torch.tensor([1.0, 0, 0])).double().expand(1, 2, 4, 4)
    objective = system(replace(TINY, icp=0.0)).objective
    assert objective(image, k, disparities, sideways)["reconstruction"] > objective(
        image, k, disparities, T)["reconstruction"]


def forward_error(vector: torch.Tensor, T: torch.Tensor) -> float:
    """Mean error of the forward component of the two motions."""
    return float((pose_vector_to_motion(vector.detach())[..., 2, 3] - T[..., 2, 3]).abs().mean())


@GRADIENTS
def test_icp_alone_mends_a_disturbed_forward_motion(clip, rule):
    """Boxes at several depths, true depth, the forward component 5 % off, no photometric term."""
    _, k, *_ = clip
    poses = se3(torch.eye(3).expand(3, 3, 3), torch.tensor([[0, 0, 0], [0, 0, 0.3], [0, 0, 0.6]])).double()
    image, depth = render(poses, K, H, W, BOXES)
    T = torch.stack([relative(poses, i + 1, i) for i in range(2)])[None]
    vector = torch.zeros(1, 2, 6, dtype=torch.float64)
    vector[..., 2] = 1.05 * T[..., 2, 3]
    vector.requires_grad_()
    config = replace(ICP_ONLY, icp_gradient=rule, icp_points=256, icp_target_points=0)
    learner, disparity = system(config), disparity_pyramid(depth[None])[:1]
    before = forward_error(vector, T)
    optimiser = torch.optim.Adam([vector], 1e-3)
    for step in range(25):
        optimiser.param_groups[0]["lr"] = 1e-3 * (1 - step / 25)
        optimiser.zero_grad()
        learner.objective(image[None], k, disparity, pose_vector_to_motion(vector))["icp"].backward()
        optimiser.step()
    assert forward_error(vector, T) < 0.6 * before


@GRADIENTS
def test_the_icp_term_reaches_both_networks(clip, rule):
    image, k, *_ = clip
    learner = system(replace(ICP_ONLY, icp_gradient=rule, icp_points=64, icp_target_points=256))
    learner.loss(Views(image=image.float(), K=k.float()))["icp"].backward()
    for net in (learner.depth_net, learner.pose_net):
        assert all(torch.isfinite(p.grad).all() for p in net.parameters())
        assert any(p.grad.abs().sum() > 0 for p in net.parameters())


def test_no_icp_term_no_icp(clip):
    image, k, disparities, T = clip
    assert "icp" not in system(replace(TINY, icp=0.0)).objective(image, k, disparities, T)


def test_some_points_are_points_of_the_cloud_at_the_same_pixels_in_the_batch():
    cloud = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    few = some_points(cloud, 6)
    assert few.shape == (2, 6, 3)
    assert torch.equal(few[1] - few[0], torch.full((6, 3), 60.0))
    assert len(few[0, :, 0].unique()) == 6
    assert torch.equal(some_points(cloud, 0), cloud.flatten(2).mT)


def test_the_path_follows_from_the_motions(clip):
    image, *_, T = clip
    learner = system().eval()
    learner.motion = lambda _: T.float()
    with torch.no_grad():
        path = learner(Views(image=image.float())).T_first_camera
    torch.testing.assert_close(path[:, 1], se3_inverse(T[:, 0]).float())
    torch.testing.assert_close(path[:, 2], se3_inverse(T[:, 1] @ T[:, 0]).float(), atol=1e-5, rtol=0)


def test_predictions_do_not_depend_on_the_rest_of_the_batch(clip):
    """Batch-norm uses its running moments at inference."""
    image = clip[0].float()
    learner = system().eval()
    with torch.no_grad():
        alone = learner(Views(image=image))
        crowd = learner(Views(image=torch.cat([image, torch.rand(2, *image.shape[1:])])))
    torch.testing.assert_close(crowd.depth[:1], alone.depth)
    torch.testing.assert_close(crowd.T_first_camera[:1], alone.T_first_camera)


def test_clips_of_another_length_are_refused_in_words_and_single_views_have_depth(clip):
    image = clip[0].float()
    learner = system().eval()
    with torch.no_grad():
        assert "T_first_camera" not in learner(Views(image=image[:, :1]))
        with pytest.raises(InputError):
            learner(Views(image=image[:, :2]))


def test_the_smallest_images_learn_and_smaller_ones_are_refused_in_words():
    views = Views(image=torch.rand(1, 3, 3, 17, 20), K=K.float().expand(1, 3, 3, 3))
    assert all(torch.isfinite(term) for term in system().loss(views).values())
    with pytest.raises(InputError):
        system().loss(Views(image=views.image[..., :16, :], K=views.K))


@GRADIENTS
def test_it_learns_a_clip(clip, rule):
    image, k, *_ = clip
    config = replace(TINY, icp_gradient=rule, icp_points=64, icp_target_points=256, icp_iterations=3)
    learner = system(config).train()
    views = Views(image=image.float(), K=k.float())
    optimiser = torch.optim.Adam(learner.parameters(), 1e-3)
    losses = []
    for _ in range(15):
        loss = sum(learner.loss(views).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
