"""DeMoN's networks."""

import torch

from epipole.nets.demon import Encoder, FlowBlock, MotionBlock, RefinementNet, separable


def test_a_separable_pair_shares_its_stride_and_has_no_square_kernel():
    layer = separable(5, 7, 9, 2)
    assert layer(torch.rand(1, 5, 31, 40)).shape == (1, 7, 16, 20)
    assert [tuple(p.shape[-2:]) for p in layer.parameters() if p.ndim == 4] == [(9, 1), (1, 9)]


def test_sizes_of_the_paper():
    with torch.device("meta"):
        pair, known = torch.rand(1, 6, 192, 256), torch.rand(1, 7, 48, 64)
        coarse, fine = FlowBlock(7)(pair, known)
        assert (coarse.shape, fine.shape) == ((1, 4, 6, 8), (1, 4, 48, 64))
        maps, motion = MotionBlock(7, 192, 256, 0.1)(pair, known)
        assert (maps.shape, motion.shape) == ((1, 4, 48, 64), (1, 7))
        assert RefinementNet(0.1)(pair[:, :3], pair[:, :1]).shape == (1, 1, 192, 256)
        features = Encoder(7, 5, 1.0)(pair, known)
    assert [tuple(f.shape[1:]) for f in features] == [(64, 48, 64), (128, 24, 32), (256, 12, 16), (512, 6, 8)]


def test_what_is_known_takes_half_of_the_second_layer():
    without, with_ = Encoder(0, 5, 1.0), Encoder(7, 5, 1.0)
    assert without.conv2[0].out_channels == 64
    assert with_.conv2[0].out_channels == with_.extra[0].out_channels == 32


def test_the_first_answer_is_a_plane_and_no_motion_whatever_is_seen():
    torch.manual_seed(0)
    block = MotionBlock(7, 64, 64, 0.2, 0.1)
    with torch.no_grad():
        maps, motion = block(torch.rand(2, 6, 64, 64) - 0.5, torch.rand(2, 7, 16, 16))
        refined = RefinementNet(0.2, 0.1)(torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64))
    start = torch.tensor([0.2, 0, 0, -1])[:, None, None].expand_as(maps)
    torch.testing.assert_close(maps, start, atol=0.05, rtol=0)
    torch.testing.assert_close(motion, torch.tensor([0.0, 0, 0, 0, 0, 0, 1]).expand(2, 7), atol=0.05, rtol=0)
    torch.testing.assert_close(refined, torch.full_like(refined, 0.2), atol=0.05, rtol=0)
    assert maps[:, 0].std() > 1e-6


def test_the_coarse_answer_reaches_the_fine_one():
    torch.manual_seed(0)
    block, pair = FlowBlock(0, 0.1), torch.rand(1, 6, 64, 64)
    with torch.no_grad():
        _, before = block(pair, pair[:, :0, ::4, ::4])
        block.coarse[-1].bias += 1
        _, after = block(pair, pair[:, :0, ::4, ::4])
    assert (after - before).abs().max() > 1e-4
