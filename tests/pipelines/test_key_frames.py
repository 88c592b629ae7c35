"""What a key frame inherits from the one before, on a plane whose depth is exact."""

import pytest
import torch

from epipole.geometry.motion import se3_exp, se3_inverse
from epipole.pipelines.key_frames import (
    Config,
    KeyFrame,
    inherit,
    initial_variance,
    matched_scale,
    propagated,
    relative_scale,
    seen_in,
)
from epipole.pipelines.narrow_stereo import LogDepth
from tests.scene import plane_views

H, W = 48, 64
CONFIG = Config()


@pytest.fixture
def pair() -> tuple[KeyFrame, KeyFrame, torch.Tensor]:
    """A new key frame, the one before, and T_key_new."""
    T = se3_exp(torch.tensor([[0.0] * 6, [0.2, 0.05, 0.15, 0.02, -0.03, 0.02]]))
    views = plane_views(T[None], H, W)
    key, new = (KeyFrame(views.image[0, k].mean(0)[None, None], views.K[0, k],
                         LogDepth(views.depth[0, k : k + 1].log(), torch.full((1, 1, H, W), 0.04))) for k in range(2))
    return new, key, se3_inverse(T[0]) @ T[1]


def scaled(key: KeyFrame, factor: float) -> KeyFrame:
    return key._replace(depth=key.depth._replace(log=key.depth.log + torch.tensor(factor).log()))


def test_frames_of_one_scene_agree(pair):
    new, key, T = pair
    seen = seen_in(key, new, T)
    assert seen.inside.float().mean() > 0.7
    assert float(seen.farther[seen.inside].abs().max()) < 2e-3


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.5])
def test_the_scale_is_found_and_matched(pair, factor):
    new, key, T = pair
    assert relative_scale(scaled(new, factor), key, T) == pytest.approx(1 / factor, rel=0.01)
    matched = matched_scale(scaled(new, factor), key, T)
    torch.testing.assert_close(matched.depth.log, new.depth.log, atol=0.01, rtol=0)


def test_variance_is_how_far_both_disagree(pair):
    new, key, T = pair
    right = torch.arange(W).expand(1, 1, H, W) >= W // 2
    off = new._replace(depth=new.depth._replace(log=new.depth.log - 0.2 * right))  # nearer: not hidden
    off = off._replace(depth=off.depth._replace(variance=torch.full((1, 1, H, W), 0.02**2)))
    found = initial_variance(off, key, T, CONFIG).depth.variance
    seen = seen_in(key, off, T).inside
    torch.testing.assert_close(found[seen & right], torch.full_like(found[seen & right], 0.04), rtol=0.25, atol=0)
    torch.testing.assert_close(found[seen & ~right], torch.full_like(found[seen & ~right], CONFIG.least**2))
    assert (found[~seen] == off.depth.variance[~seen]).all()


def test_agreement_makes_a_network_no_surer_than_it_says(pair):
    """One that errs in the same way in both frames agrees with itself."""
    new, key, T = pair
    said = torch.linspace(CONFIG.least, 0.2, W).square().expand(1, 1, H, W)
    new = new._replace(depth=new.depth._replace(variance=said))
    torch.testing.assert_close(initial_variance(new, key, T, CONFIG).depth.variance, said)
    chain = new
    for _ in range(5):
        chain = inherit(new, chain, torch.eye(4), CONFIG)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(chain.depth.variance[inner], said[inner])


def test_what_was_measured_is_surer_than_the_networks_word(pair):
    _, key, _ = pair
    sure = key._replace(depth=key.depth._replace(variance=torch.full((1, 1, H, W), 0.01**2)))
    inner = (..., slice(1, -1), slice(1, -1))
    found = propagated(key, sure, torch.eye(4), CONFIG).depth.variance[inner]
    torch.testing.assert_close(found, torch.full_like(found, 0.01**2 + CONFIG.propagation**2))


def test_what_is_hidden_inherits_nothing(pair):
    new, key, T = pair
    behind = scaled(new, 1.5)
    torch.testing.assert_close(propagated(behind, key, T, CONFIG).depth.log, behind.depth.log)
    torch.testing.assert_close(initial_variance(behind, key, T, CONFIG).depth.variance, behind.depth.variance)


def test_depth_is_carried_by_inverse_variance(pair):
    _, key, _ = pair
    new = scaled(key, 0.8)
    still = propagated(new, key, torch.eye(4), CONFIG)
    share = 0.04 / (0.04 + 0.04 + CONFIG.propagation**2)  # of what is carried
    inner = (..., slice(1, -1), slice(1, -1))  # rounding puts some of the border outside
    log, variance = still.depth.log[inner], still.depth.variance[inner]
    torch.testing.assert_close(log, new.depth.log[inner] + share * torch.tensor(1 / 0.8).log())
    torch.testing.assert_close(variance, torch.full_like(variance, 0.04))


def test_a_sure_key_frame_mends_a_wrong_new_one(pair):
    new, key, T = pair
    sure = key._replace(depth=key.depth._replace(variance=torch.full_like(key.depth.variance, 0.01**2)))
    tilt = 0.2 * torch.linspace(-1, 1, W).expand(1, 1, H, W)
    wrong = new._replace(depth=new.depth._replace(log=new.depth.log + 0.3 + tilt))
    seen = seen_in(key, new, T).inside
    found = inherit(wrong, sure, T, CONFIG)
    before = (tilt[seen] - tilt[seen].median()).abs().mean()
    after = (found.depth.log - new.depth.log)[seen].abs().mean()
    assert after < before / 2


def test_frames_that_see_nothing_of_each_other_keep_their_scale(pair):
    new, key, _ = pair
    away = se3_exp(torch.tensor([0.0, 0, 0, 0, torch.pi, 0]))
    assert relative_scale(new, key, away) == 1
    torch.testing.assert_close(inherit(new, key, away, CONFIG).depth, new.depth)
