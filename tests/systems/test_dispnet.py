"""DispNet and DispNetC: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from epipole.systems.stereo.dispnet import PRESETS, DispNet, DispNetC
from epipole.types.errors import InputError
from epipole.types.views import Views

TINY = replace(PRESETS["small"], width=0.1, correlated=8)
both = pytest.mark.parametrize("cls", [DispNet, DispNetC])


def dots(disparity: int, scenes: int = 2, seed: int = 0, h: int = 64, w: int = 64) -> Views:
    canvas = F.avg_pool2d(torch.rand(scenes, 3, h + 2, w + 34, generator=torch.Generator().manual_seed(seed)), 3, 1)
    image = torch.stack([canvas[..., :w], canvas[..., disparity : disparity + w]], 1)
    valid = (torch.arange(w) >= disparity).expand(scenes, 2, 1, h, w).clone()
    return Views(image=image, disparity=torch.full((scenes, 2, 1, h, w), float(disparity)), disparity_valid=valid)


@pytest.mark.parametrize(("cls", "count"), [(DispNet, 42_321_456), (DispNetC, 42_166_704)])
def test_weights_of_the_paper_s_table_of_layers(cls, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in cls().parameters()) == count


@both
def test_six_scales_from_a_half_on_of_any_size(cls):
    model, views = cls(TINY).eval(), Views(image=torch.rand(1, 2, 3, 70, 100))
    with torch.no_grad():
        assert [tuple(d.shape) for d in model.pyramid(views)] == [(1, 1, 128 >> s, 128 >> s) for s in range(1, 7)]
        assert model(views).disparity.shape == (1, 1, 70, 100)


def test_the_objective_is_the_weighted_mean_error_where_truth_is_known():
    truth, valid = torch.full((1, 1, 64, 64), 7.0), torch.ones(1, 1, 64, 64, dtype=torch.bool)
    valid[..., :32] = False
    pyramid = [torch.full((1, 1, 64 >> s, 64 >> s), 7.0 + s) for s in range(1, 7)]
    weights = [float(s) for s in range(1, 7)]
    terms = DispNet(TINY).objective(pyramid, torch.where(valid, truth, torch.nan), valid, weights)
    assert [float(t) for t in terms.values()] == [1, 4, 9, 16, 25, 36]
    assert list(terms) == [f"epe_{2**s}" for s in range(1, 7)]


def test_training_moves_from_coarse_to_fine():
    model, views = DispNet(TINY), dots(5)
    with torch.no_grad():
        first, last, own = model.about_scale(views, 5), model.about_scale(views, 0), model.loss(views)
    torch.testing.assert_close(first["epe_64"], 32 * last["epe_64"])
    torch.testing.assert_close(last["epe_2"], 32 * first["epe_2"])
    assert own == last


@both
def test_the_left_image_comes_first(cls):
    torch.manual_seed(0)
    model, image = cls(TINY).eval(), dots(5).image
    with torch.no_grad():
        gap = model(Views(image=image)).disparity - model(Views(image=image.flip(1))).disparity
    assert gap.abs().max() > 1e-3


@both
@pytest.mark.parametrize("shape", [(1, 3, 3, 64, 64), (1, 2, 1, 64, 64), (2, 3, 64, 64)])
def test_what_is_no_pair_is_refused(cls, shape):
    with pytest.raises(InputError, match=cls.__name__):
        cls(TINY)(Views(image=torch.rand(shape)))
