"""Scores of depth from focus against a naive twin, scikit-image's filters, and cases known by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from skimage.filters import scharr_h, scharr_v

from epipole.judges.focus import FocusFrame, FocusProtocol, bumpiness, judge_focus
from epipole.types.errors import InputError


def values(frames: list[FocusFrame], *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_focus(frames, *arguments)}


def random_frames() -> list[FocusFrame]:
    r, frames = np.random.default_rng(0), []
    for size in ((12, 17), (9, 11)):
        truth = r.uniform(1, 4, size)
        frames.append(FocusFrame(truth + r.normal(0, 0.1, size), truth, r.random(size) < 0.9, r.random(size) < 0.5))
    return frames


def test_every_number_equals_its_naive_twin():
    rows = []
    for p, g, valid, textured in random_frames():
        wrong, true = (p - g)[valid], g[valid]
        rows.append({
            "disparity_mse": np.mean(wrong**2), "disparity_rms": np.sqrt(np.mean(wrong**2)),
            "disparity_abs_rel": np.mean(np.abs(wrong) / true), "disparity_sq_rel": np.mean(wrong**2 / true),
            "bad_pix": 100 * np.mean(np.abs(wrong) > 0.07),
            "rank_correlation": spearmanr(p[valid & textured], g[valid & textured]).statistic})
    found = values(random_frames())
    for name in rows[0]:
        assert found[name] == pytest.approx(np.mean([row[name] for row in rows])), name
    assert found.keys() - rows[0].keys() <= {"bumpiness"}


def test_bumpiness_is_the_hessian_of_the_error():
    error = np.random.default_rng(1).normal(0, 0.01, (20, 30))
    dx, dy = scharr_v(error), scharr_h(error)
    expected = np.sqrt(scharr_v(dx) ** 2 + scharr_h(dx) ** 2 + scharr_v(dy) ** 2 + scharr_h(dy) ** 2)[2:-2, 2:-2]
    known = np.ones((20, 30), bool)
    np.testing.assert_allclose(bumpiness(error, known, 1.0), expected.ravel(), rtol=1e-6)
    assert bumpiness(error, known, 0.01).max() == 0.01
    y, x = np.mgrid[:20, :30]
    assert bumpiness(0.3 * x - 0.2 * y + 5.0, known, 1.0).max() < 1e-12


def test_an_unknown_pixel_makes_no_bump():
    truth, valid = np.full((15, 15), 2.0), np.ones((15, 15), bool)
    truth[7, 7], valid[7, 7] = 99, False
    frame = FocusFrame(np.full((15, 15), 2.3), truth, valid, valid)
    assert values([frame])["bumpiness"] < 1e-6
    assert values([frame])["disparity_mse"] == pytest.approx(0.09)
    assert values([frame], FocusProtocol(bad=0.5))["bad_pix"] == 0


def test_order_is_judged_where_there_is_texture():
    truth = np.arange(40.0).reshape(5, 8) + 1
    textured = truth > 20
    upside_down = np.where(textured, truth**2, -truth)
    frame = FocusFrame(upside_down, truth, np.ones((5, 8), bool), textured)
    assert values([frame])["rank_correlation"] == pytest.approx(1)
    assert "rank_correlation" not in values([frame._replace(textured=np.zeros((5, 8), bool))])


def test_what_cannot_be_judged_is_refused():
    truth = np.ones((6, 7))
    nowhere = np.zeros((6, 7), bool)
    with pytest.raises(InputError, match="known at no pixel"):
        judge_focus([FocusFrame(truth, truth, nowhere, nowhere)])
    with pytest.raises(InputError, match="not finite"):
        judge_focus([FocusFrame(truth * np.nan, truth, ~nowhere, nowhere)])
    with pytest.raises(InputError, match="7x6"):
        judge_focus([FocusFrame(truth.T, truth, ~nowhere, nowhere)])
