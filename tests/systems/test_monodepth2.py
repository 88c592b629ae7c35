"""monodepth2 on rendered clips: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3, se3_exp, se3_inverse
from epipole.losses.ssim import ssim_l1
from epipole.systems.depth.monodepth2 import PRESETS, DepthNet, Monodepth2, PairNet, mirrored
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.systems.rendering import BOXES, disparity_pyramid, relative, render

H, W = 48, 64
K = intrinsics(60.0, 60.0, 31.5, 23.5)
TINY = replace(PRESETS["small"], width=0.06)


@pytest.fixture
def clip():
    """image [1 3 3 h w], K, true inverse depth of the middle frame at four scales, T_source_target; boxes, float64."""
    twists = [[-0.15, 0.02, -0.1, 0.0, -0.02, 0.01], [0, 0, 0, 0, 0, 0], [0.1, 0.05, 0.15, 0.01, 0.02, 0]]
    poses = se3_exp(torch.tensor(twists, dtype=torch.float64))
    image, depth = render(poses, K, H, W, BOXES)
    motions = torch.stack([relative(poses, s, 1) for s in (0, 2)])
    return image[None], K.expand(1, 3, 3, 3), disparity_pyramid(depth[1:2]), motions[None]


def system(**changes) -> Monodepth2:
    torch.manual_seed(0)
    return Monodepth2(replace(TINY, **changes))


def weights(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def moved(frames: list[torch.Tensor], learner: Monodepth2) -> torch.Tensor:
    """The photometric map of the middle frame if the true motion is none."""
    return learner.photometric(torch.stack(frames, 1), [frames[0], frames[2]])


def test_weights_of_the_reference():
    with torch.device("meta"):
        assert weights(DepthNet()) == 11_176_512 + 3_152_724
        assert weights(PairNet()) == 11_185_920 + 1_314_572


def test_truth_beats_no_motion(clip):
    image, k, disparities, T = clip
    objective = system(auto_mask=False).objective
    right = objective(image, k, disparities[:1], T)["photometric"]
    wrong = objective(image, k, disparities[:1], torch.eye(4, dtype=T.dtype).expand(1, 2, 4, 4))["photometric"]
    assert right < 0.2 * wrong


def test_a_clip_that_stands_still_teaches_nothing(clip):
    """Whatever the networks say: the auto-mask removes all pixels, and no gradient reaches depth or motion."""
    image, k, disparities, T = clip
    still = image[:, [1, 1, 1]]

    def loss_and_slopes(auto_mask):
        given = [x.clone().requires_grad_() for x in (*disparities, T)]
        loss = system(auto_mask=auto_mask).objective(still, k, given[:4], given[4])["photometric"]
        return float(loss.detach()), [g.abs().sum() for g in torch.autograd.grad(loss, given)]

    (masked, slopes), (unmasked, others) = loss_and_slopes(True), loss_and_slopes(False)
    assert abs(masked) < 2e-5
    assert unmasked > 1e-2
    assert all(a < 0.01 * b for a, b in zip(slopes, others, strict=True))


def test_what_moves_with_the_camera_is_masked_and_the_background_is_not(clip):
    """A patch at the same place in all frames."""
    image, k, disparities, T = clip
    image = image.clone()
    patch = torch.rand(1, 1, 3, 16, 20, generator=torch.Generator().manual_seed(0), dtype=image.dtype)
    image[..., 16:32, 20:40] = patch
    d = disparities[0].clone().requires_grad_()
    system().objective(image, k, [d], T)["photometric"].backward()
    taught = d.grad[0, 0] != 0
    assert not taught[18:30, 22:38].any()
    outside = torch.ones_like(taught)
    outside[12:36, 14:46] = False
    assert taught[outside].float().mean() > 0.6


def test_a_pixel_hidden_in_one_source_counts_by_the_other():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(1, 3, H, W, generator=generator)
    hidden = target.clone()
    hidden[..., 10:20, 10:20] = torch.rand(1, 3, 10, 10, generator=generator)
    by_minimum = moved([hidden, target, target], system(auto_mask=False))
    by_mean = moved([hidden, target, target], system(auto_mask=False, minimum=False))
    assert by_minimum.max() < 1e-6
    assert by_mean[..., 10:20, 10:20].mean() > 0.1
    torch.testing.assert_close(by_mean, ssim_l1(hidden, target) / 2)


def test_the_unwarped_error_is_an_upper_bound(clip):
    """With the auto-mask no pixel costs more than no motion does, up to the noise that decides ties."""
    image, k, disparities, T = clip
    away = T.clone()
    away[..., 0, 3] += 2
    masked, unmasked = (system(auto_mask=m).objective(image, k, disparities[:1], away)["photometric"]
                        for m in (True, False))
    still = torch.minimum(*(ssim_l1(image[:, j], image[:, 1]) for j in (0, 2))).mean()
    assert masked <= still + 1e-5
    assert unmasked > 1.2 * still


def test_the_scale_of_disparity_does_not_change_smoothness(clip):
    image, k, disparities, T = clip
    one, two = (system().objective(image, k, [f * d for d in disparities], T)["smoothness"] for f in (1, 5))
    torch.testing.assert_close(one, two)


def test_all_scales_are_judged_at_full_resolution(clip):
    """A coarse map of true depth, resized, explains the sharp image; at its own resolution it sees a blurred one."""
    image, k, disparities, T = clip
    sharp = image + 0.2 * (torch.arange(W) % 2)  # stripes of one pixel, which the average over 2 x 2 pixels erases
    coarse = [disparities[1]]
    full, own = (system(auto_mask=False, full_resolution=f).objective(sharp, k, coarse, T)["photometric"]
                 for f in (True, False))
    smooth = [system(auto_mask=False, full_resolution=f).objective(image, k, coarse, T)["photometric"]
              for f in (True, False)]
    assert full > 2 * smooth[0]
    assert own < 1.5 * smooth[1]


def test_pairs_go_in_in_their_order_in_time_and_the_earlier_motion_is_inverted(clip):
    image, *_, T = clip
    learner = system(augment=False)
    T = T.float()
    answers, pairs, given = iter([se3_inverse(T[:, 0]), T[:, 1]]), [], []
    learner.motion = lambda first, second: (pairs.append((first, second)), next(answers))[1]
    learner.objective = lambda *arguments: given.append(arguments) or {}
    views = Views(image=image.float(), K=K.float().expand(1, 3, 3, 3))
    learner.loss(views)
    assert [tuple(int((views.image[0] - x).abs().flatten(1).sum(1).argmin()) for x in pair) for pair in pairs] == [
        (0, 1), (1, 2)]
    torch.testing.assert_close(given[0][3], T, atol=1e-6, rtol=0)


def test_the_path_follows_from_the_motions_for_any_length(clip):
    image = clip[0].float()
    learner = system().eval()
    step = se3(torch.eye(3), torch.tensor([0.0, 0.0, -0.5]))[None]
    learner.motion = lambda first, second: step
    with torch.no_grad():
        path = learner(Views(image=image)).T_first_camera
        assert "T_first_camera" not in learner(Views(image=image[:, :1]))
        assert learner(Views(image=image[:, :2])).T_first_camera.shape == (1, 2, 4, 4)
    torch.testing.assert_close(path[0, :, 2, 3], torch.tensor([0.0, 0.5, 1.0]))


def test_depth_lies_between_nearest_and_farthest():
    sigma = torch.tensor([0.0, 1.0, 0.5]).view(3, 1, 1, 1)
    depth = 1 / system().disparity(sigma).flatten()
    torch.testing.assert_close(depth, torch.tensor([100.0, 0.1, 1 / 5.005]))


def test_a_mirrored_clip_keeps_its_loss_with_the_mirrored_camera(clip):
    image, k, disparities, T = clip
    off_centre = k.clone()
    off_centre[..., 0, 2] += 3
    for _ in range(20):
        flipped, k_flipped = mirrored(image, off_centre)
        if not torch.equal(flipped, image):
            break
    torch.testing.assert_close(k_flipped[..., 0, 2], W - 1 - off_centre[..., 0, 2])
    mirror = torch.diag(torch.tensor([-1.0, 1, 1, 1], dtype=T.dtype))
    objective = system(auto_mask=False).objective
    plain = objective(image, off_centre, disparities[:1], T)["photometric"]
    torch.testing.assert_close(
        objective(flipped, k_flipped, [disparities[0].flip(-1)], mirror @ T @ mirror)["photometric"], plain)


def test_other_clips_and_images_too_small_are_refused_in_words():
    views = Views(image=torch.rand(1, 3, 3, 17, 20), K=K.float().expand(1, 3, 3, 3))
    assert all(torch.isfinite(term) for term in system().loss(views).values())
    with pytest.raises(InputError, match="17 pixels"):
        system().loss(Views(image=views.image[..., :16, :], K=views.K))
    with pytest.raises(InputError, match="3 colour frames"):
        system().loss(views.map(lambda x: x[:, :2]))
