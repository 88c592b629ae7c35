"""The networks of Depth from Videos in the Wild."""

import torch
import torch.nn.functional as F

from epipole.nets.gordon import LEAST, PACE, MotionFieldNet, PixelMotion, RandomLayerNorm, SharedLens, SoftplusDepthNet


def test_quiet_moments_are_those_of_instance_norm(generator):
    x, norm = torch.randn(2, 5, 6, 7, generator=generator), RandomLayerNorm(5)
    with torch.no_grad():
        norm.weight += torch.arange(5.0)
        norm.bias += 0.3
    expected = F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-3)
    torch.testing.assert_close(norm(x), expected, atol=1e-5, rtol=1e-5)
    norm.sigma = 0.5
    torch.testing.assert_close(norm.eval()(x), expected, atol=1e-5, rtol=1e-5)


def test_noise_multiplies_both_moments_and_never_changes_their_sign(generator):
    torch.manual_seed(0)
    norm = RandomLayerNorm(1)
    norm.sigma = 0.5
    noise = norm.noise(torch.zeros(20_000))
    assert noise.abs().max() <= 1
    assert 0.4 < noise.std() < 0.5
    x = 3 + 2 * torch.randn(400, 1, 8, 8, generator=generator)
    y = norm(x)
    slope = y.std((1, 2, 3)) / x.std((1, 2, 3))         # 1 / sqrt(v')
    middle = x.mean((1, 2, 3)) - y.mean((1, 2, 3)) / slope  # m'
    assert (middle / 3).std() > 0.3
    assert (1 / slope).std() > 0.3


def test_at_first_the_motion_follows_the_pair_and_nothing_else_does():
    torch.manual_seed(0)
    images = F.interpolate(torch.rand(9, 3, 6, 8), (96, 128), mode="bilinear")
    first, second, net = images[:8], images[1:], MotionFieldNet(0.25)
    with torch.no_grad():
        there, back = (net(torch.cat(pair, 1)) for pair in ((first, second), (second, first)))
    for one, other in ((there.rotation, back.rotation), (there.translation, back.translation)):
        assert 1e-3 < one.std() < 0.05
        assert (one - other).std() > 1e-3
    everywhere = there.residual - there.translation[..., None, None]
    assert everywhere.std() < 0.1 * there.translation.std()
    assert there.focal.sub(there.focal.mean()).abs().max() < 0.05
    assert there.centre.sub(0.5).abs().max() < 0.05


def test_motion_scales_stay_positive_and_can_come_back():
    torch.manual_seed(0)
    net = MotionFieldNet(0.05)
    with torch.no_grad():
        plain = net(pair := torch.rand(1, 6, 40, 48))
        net.scales.copy_(torch.tensor([-1.0, 0.02]))
    changed = net(pair)
    torch.testing.assert_close(changed.rotation, plain.rotation * LEAST / 0.01)
    torch.testing.assert_close(changed.translation, 2 * plain.translation)
    changed.rotation.sum().backward()
    assert net.scales.grad[0] != 0


def test_turns_begin_as_much_larger_as_is_asked_for(generator):
    pairs, found = torch.rand(2, 6, 48, 64, generator=generator), []
    for turn in (1.0, 4.0):
        torch.manual_seed(0)
        found.append(MotionFieldNet(0.1, turn=turn)(pairs))
    torch.testing.assert_close(found[1].rotation, 4 * found[0].rotation)
    torch.testing.assert_close(found[1].translation, found[0].translation)


def test_a_shared_lens_is_one_for_all_pairs_and_has_square_pixels():
    lens = SharedLens()
    with torch.no_grad():
        lens.focal += 0.02
    motion = lens(PixelMotion(*MotionFieldNet(0.1)(torch.rand(3, 6, 48, 64))))
    f = float(F.softplus(torch.tensor(0.02 * PACE)))
    torch.testing.assert_close(motion.focal, torch.tensor([f, f * 64 / 48]).expand(3, 2))
    assert motion.centre.unique().tolist() == [0.5]


def test_the_residual_is_as_large_as_the_image_whatever_its_size():
    torch.manual_seed(0)
    motion = MotionFieldNet(0.05)(torch.rand(2, 6, 37, 61))
    assert motion.residual.shape == (2, 3, 37, 61)
    assert (motion.focal > 0).all()


def test_at_first_as_much_goes_through_the_decoder_as_comes_in():
    torch.manual_seed(0)
    images = F.interpolate(torch.rand(4, 3, 12, 16), (96, 128), mode="bilinear")
    net, through = SoftplusDepthNet(0.25), []
    for layer in net.merge:
        layer.register_forward_hook(lambda _, inputs, out: through.append((inputs[0].std(), F.relu(out).std((2, 3)))))
    with torch.no_grad():
        depth = net(images)
    for before, after in through:
        assert 0.3 < after.mean() / before < 3
        assert (after > 1e-3).float().mean() > 0.8  # of the channels tell pixels apart
    assert depth.std((2, 3)).min() > 0.02


def test_depth_is_positive_and_as_large_as_the_image():
    torch.manual_seed(0)
    depth = SoftplusDepthNet(0.1)(torch.rand(2, 3, 37, 61))
    assert depth.shape == (2, 1, 37, 61)
    assert (depth > 0).all()
