"""GC-Net: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from epipole.systems.stereo.gcnet import PRESETS, GCNet, GCNetByReprojection
from epipole.types.errors import InputError
from epipole.types.views import Views

TINY = replace(PRESETS["small"], disparities=32, channels=4, units=2)
K = 5  # px, the disparity of the pairs here


def system(cls: type[GCNet] = GCNet, **changes: object) -> GCNet:
    torch.manual_seed(0)
    return cls(replace(TINY, **changes))  # type: ignore[arg-type]


def dots(disparity: int = K, scenes: int = 2, seed: int = 0, h: int = 32, w: int = 64) -> Views:
    """Pairs of random dots: what the left view sees at x, the right one sees at x - disparity."""
    canvas = F.avg_pool2d(torch.rand(scenes, 3, h + 2, w + 34, generator=torch.Generator().manual_seed(seed)), 3, 1)
    left, right = canvas[..., :w], canvas[..., disparity : disparity + w]
    truth = torch.full((scenes, 2, 1, h, w), float(disparity))
    valid = (torch.arange(w) >= disparity).expand(scenes, 2, 1, h, w).clone()
    return Views(image=torch.stack([left, right], 1), disparity=truth, disparity_valid=valid,
                 baseline=torch.full((scenes, 2), 0.1))


def test_weights_of_the_paper():
    with torch.device("meta"):
        net = GCNet()
    assert sum(p.numel() for p in net.parameters()) == 2_847_201
    assert sum(p.numel() for p in net.tower.parameters()) == 160_736


def test_what_the_right_image_does_not_show_teaches_too():
    """As on Scene Flow, whose truth is dense: who is judged on hidden pixels has to learn to guess them."""
    pair, model = dots(), system()
    truth = pair.disparity.clone()
    truth[..., 0] = K + 2.0
    assert not pair.disparity_valid[..., 0].any()
    assert model.loss(Views(**pair.fields() | {"disparity": truth}))["disparity"] != model.loss(pair)["disparity"]
    unknown = Views(**pair.fields() | {"disparity": torch.zeros_like(truth)})
    assert model.loss(unknown)["disparity"] == 0


def test_images_of_any_size_have_a_disparity_within_the_candidates():
    model, image = system().eval(), torch.rand(1, 2, 3, 37, 50)
    with torch.no_grad():
        predicted = model(Views(image=image))
        assert model.cost(image[:, 0], image[:, 1]).shape == (1, 32, 37, 50)
    assert predicted.disparity.shape == (1, 1, 37, 50)
    assert predicted.disparity.min() >= 0
    assert predicted.disparity.max() <= 31


def test_a_sure_match_has_little_variance_and_two_equal_ones_have_much():
    model = system()
    cost = torch.zeros(1, 32, 4, 5)
    cost[:, 7] = -100
    model.cost = lambda *_: cost
    sure = model(Views(image=torch.rand(1, 2, 3, 4, 5)))
    torch.testing.assert_close(sure.disparity, torch.full((1, 1, 4, 5), 7.0))
    assert sure.log_variance.exp().max() < 0.1
    cost[:, 17] = -100
    torn = model(Views(image=torch.rand(1, 2, 3, 4, 5)))
    torch.testing.assert_close(torn.disparity, torch.full((1, 1, 4, 5), 12.0))
    assert (torn.log_variance.exp() - 25).abs().max() < 0.1


def test_the_features_of_an_image_moved_by_four_pixels_move_by_two():
    """So that the volume at d + 4 of a pair moved by 4 is that of d, before any learning."""
    model = system().eval()
    right = dots(w=96).image[:, 1]
    with torch.no_grad():  # the tower sees 7 columns to each side
        a, b = (model.tower(x)[..., 10:-10] for x in (right, right.roll(-4, -1)))
    torch.testing.assert_close(b[..., :-2], a[..., 2:])


def test_the_supervised_loss_is_the_mean_error_where_truth_is_known_and_can_be_reached():
    model = system()
    truth = torch.tensor([3.0, 5.0, 31.5, torch.nan]).reshape(1, 1, 1, 4)
    valid = torch.tensor([True, True, True, False]).reshape(1, 1, 1, 4)
    guess = torch.full((1, 1, 1, 4), 4.5, requires_grad=True)
    loss = model.supervised(guess, truth, valid)
    loss.backward()
    assert float(loss.detach()) == pytest.approx((1.5 + 0.5) / 2)
    assert guess.grad.flatten().tolist() == [0.5, -0.5, 0, 0]


def test_the_true_disparity_synthesises_the_left_image():
    model, views = system(GCNetByReprojection), dots()
    left, right = views.image.unbind(1)
    terms = {k: model.unsupervised(left, right, torch.full((2, 1, 32, 64), float(k))) for k in (K - 1, K, K + 1)}
    assert terms[K]["ssim"] + terms[K]["colour"] < 1e-5
    assert all(terms[k]["ssim"] > 0.05 and terms[k]["colour"] > 0.003 for k in (K - 1, K + 1))
    assert all(terms[k]["smoothness"] == 0 for k in terms)


def test_what_leaves_the_image_teaches_nothing():
    left, right = dots().image.unbind(1)
    far = torch.full((2, 1, 32, 64), 100.0, requires_grad=True)
    terms = system(GCNetByReprojection).unsupervised(left, right, far)
    assert terms["ssim"] + terms["colour"] == 0
    sum(terms.values()).backward()
    assert torch.isfinite(far.grad).all()


def test_only_a_multiple_of_32_disparities():
    with pytest.raises(InputError, match="multiple"):
        GCNet(replace(TINY, disparities=48))


@pytest.mark.parametrize("shape", [(1, 3, 3, 32, 32), (1, 2, 1, 32, 32), (2, 3, 32, 32)])
def test_what_is_no_pair_is_refused(shape):
    with pytest.raises(InputError, match="GC-Net"):
        system()(Views(image=torch.rand(shape)))
