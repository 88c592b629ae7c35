"""Depth refined along the epipolar line, on a plane whose depth is exact."""

import pytest
import torch

from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.pipelines.narrow_stereo import Config, LogDepth, fused, measure, refine
from tests.scene import plane_views

H, W = 64, 96
TWISTS = {"sideways": (0.3, 0, 0, 0, 0, 0), "up": (0, -0.3, 0, 0, 0, 0), "ahead": (0, 0, 0.6, 0, 0, 0),
          "turning": (0.3, 0.1, 0.1, 0.02, -0.03, 0.05)}


EXACT = Config(noise=0.001, off_line=0.02, contrast=0.004)  # contrast is low here, noise and error of the pose nil


class Pair:
    """A key frame and a view of the plane, the view moved by a twist, with the key frame's depth 8 % too large."""

    def __init__(self, *twist: float, noise: float = 0.0) -> None:
        T = se3_exp(torch.tensor([[0.0] * 6, list(twist)]))
        views = plane_views(T[None], H, W)
        grey = views.image[0].mean(1, keepdim=True)
        grey = grey + noise * torch.randn(grey.shape, generator=torch.Generator().manual_seed(0))
        self.key, self.view = grey[:1], grey[1:]
        self.K, self.truth = views.K[0, 0], views.depth[0, :1].log()
        self.T_view_key = se3_inverse(T[1])
        self.known = LogDepth(self.truth + 0.08, torch.full_like(self.truth, 0.1**2))

    def measured(self, config: Config = EXACT) -> LogDepth:
        return measure(self.key, self.known, self.view, self.K, self.T_view_key, config)

    def refined(self) -> LogDepth:
        return refine(self.key, self.known, self.view, self.K, self.T_view_key, EXACT)


@pytest.mark.parametrize("twist", TWISTS.values(), ids=TWISTS)
def test_depth_comes_out_right_where_it_can_be_measured(twist):
    pair = Pair(*twist)
    found = pair.measured()
    seen = found.variance.isfinite()
    assert seen.float().mean() > 0.15
    error = (found.log - pair.truth)[seen].abs()
    assert float(error.median()) < 0.01
    assert float(error.quantile(0.9)) < 0.04


@pytest.mark.parametrize("twist", TWISTS.values(), ids=TWISTS)
def test_the_variance_it_states_covers_the_error(twist):
    pair = Pair(*twist, noise=0.004)
    found = pair.measured(Config(noise=0.004, off_line=0.02, contrast=0.01))
    seen = found.variance.isfinite()
    away = ((found.log - pair.truth).abs() / found.variance.sqrt())[seen]
    assert seen.float().mean() > 0.05
    assert 0.2 < float(away.quantile(0.68)) < 1.5


def test_refinement_keeps_what_it_cannot_measure_and_doubts_never_grow():
    pair = Pair(*TWISTS["turning"])
    pair.key[..., : W // 2] = pair.key[..., : W // 2].mean()  # half of the key frame shows nothing
    refined = pair.refined()
    blank = slice(None, W // 2 - 3)
    torch.testing.assert_close(refined.log[..., blank], pair.known.log[..., blank], rtol=0, atol=0)
    torch.testing.assert_close(refined.variance[..., blank], pair.known.variance[..., blank], rtol=0, atol=0)
    assert (refined.variance <= pair.known.variance).all()
    before, after = ((x.log - pair.truth)[..., W // 2 + 3 :].abs().mean() for x in (pair.known, refined))
    assert after < 0.7 * before


def test_a_camera_that_does_not_move_measures_nothing():
    pair = Pair(0, 0, 0, 0, 0, 0)
    assert pair.measured().variance.isinf().all()
    torch.testing.assert_close(pair.refined().log, pair.known.log, rtol=0, atol=0)


def test_a_rotation_measures_nothing():
    assert Pair(0, 0, 0, 0.02, 0.03, 0.01).measured().variance.isinf().all()


def test_a_view_of_something_else_measures_little():
    pair = Pair(*TWISTS["sideways"])
    pair.view = torch.rand(pair.view.shape, generator=torch.Generator().manual_seed(0))
    assert float(pair.measured().variance.isfinite().float().mean()) < 0.02


def test_fusion_is_the_mean_by_inverse_variance():
    known = LogDepth(torch.tensor([[[[1.0, 1.0, 2.0]]]]), torch.tensor([[[[0.04, 0.01, 0.09]]]]))
    measured = LogDepth(torch.tensor([[[[2.0, 2.0, 7.0]]]]), torch.tensor([[[[0.04, 0.03, torch.inf]]]]))
    log, variance = fused(known, measured)
    torch.testing.assert_close(log.flatten(), torch.tensor([1.5, 1.25, 2.0]))
    torch.testing.assert_close(variance.flatten(), torch.tensor([0.02, 0.0075, 0.09]))
    unsure = LogDepth(measured.log * torch.nan, torch.full_like(measured.variance, torch.inf))
    assert fused(known, unsure).log.isfinite().all()


def test_doubt_has_a_floor():
    pair = Pair(*TWISTS["turning"])
    for _ in range(30):
        pair.known = pair.refined()
    assert float(pair.known.variance.min()) == pytest.approx(EXACT.floor ** 2)
