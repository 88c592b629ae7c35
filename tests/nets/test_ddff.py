"""DDFF's network."""

import pytest
import torch

from epipole.nets.ddff import SliceNet


def test_weights_and_size_of_the_paper():
    with torch.device("meta"):
        net = SliceNet()
        assert net(torch.rand(10, 3, 384, 576)).shape == (10, 1, 384, 576)
    assert sum(p.numel() for p in net.parameters()) == 39_790_338
    assert [p.shape[1] for p in net.decoder[2].parameters() if p.ndim == 4] == [512, 256, 256]  # 256 of them conv3_3's
    assert all(m.eps == 1e-3 for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_features_of_the_stage_are_appended_where_the_decoder_has_their_size(skip):
    torch.manual_seed(0)
    net, image = SliceNet((skip,), 0.05).eval(), torch.rand(1, 3, 32, 64)
    assert net.decoder[5 - skip][0].in_channels == 2 * net.up[5 - skip].in_channels
    with torch.no_grad():
        score = net(image)
        net.up[5 - skip].weight.zero_()  # nothing comes from below
        assert net(image).std() > 0
    assert score.shape == (1, 1, 32, 64)
    assert score.min() >= 0


def test_slices_do_not_see_each_other():
    torch.manual_seed(0)
    net, image = SliceNet((3,), 0.05).eval(), torch.rand(3, 3, 32, 32)
    other = image.clone()
    other[1] = 1 - other[1]
    with torch.no_grad():
        a, b = net(image), net(other)
    torch.testing.assert_close(a[[0, 2]], b[[0, 2]])
    assert (a[1] - b[1]).abs().max() > 1e-3
