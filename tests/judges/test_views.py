"""Image scores against scikit-image."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from epipole.judges.views import ViewFrame, ViewProtocol, judge_views
from epipole.types.errors import InputError


def values(frames, *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_views(frames, *arguments)}


def images(seed: int = 0, size=(24, 30)) -> ViewFrame:
    r = np.random.default_rng(seed)
    truth = r.random((3, *size))
    return ViewFrame(np.clip(truth + r.normal(0, 0.2, truth.shape), 0, 1), truth)


def skimage_ssim(a, b, full=False):
    return structural_similarity(a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                 channel_axis=0, full=full)


def test_scores_are_scikit_images():
    frames = [images(0), images(1)]
    scores = values(frames)
    assert scores["l1"] == pytest.approx(np.mean([np.abs(f.prediction - f.truth).mean() for f in frames]))
    assert scores["psnr"] == pytest.approx(
        np.mean([peak_signal_noise_ratio(f.truth, f.prediction, data_range=1.0) for f in frames]))
    assert scores["ssim"] == pytest.approx(np.mean([skimage_ssim(f.truth, f.prediction) for f in frames]), rel=1e-9)


def test_equal_images_have_the_highest_scores_and_no_infinity():
    truth = images().truth
    assert values([ViewFrame(truth, truth)]) == pytest.approx({"l1": 0, "psnr": 100, "ssim": 1})
    assert values([ViewFrame(truth, truth)], ViewProtocol(ceiling=60.0))["psnr"] == pytest.approx(60)


def test_only_known_pixels_and_whole_windows_count():
    frame = images()
    valid = np.ones(frame.truth.shape[1:], bool)
    valid[:, :9] = False
    prediction = frame.prediction.copy()
    prediction[:, :, :9] = np.nan
    scores = values([ViewFrame(prediction, frame.truth, valid)])
    error = (frame.prediction - frame.truth)[:, :, 9:]
    assert scores["l1"] == pytest.approx(np.abs(error).mean())
    assert scores["psnr"] == pytest.approx(-10 * np.log10((error**2).mean()))
    full = skimage_ssim(frame.truth, frame.prediction, full=True)[1]
    assert scores["ssim"] == pytest.approx(full[:, 5:-5, 14:-5].mean())


def test_small_images_have_no_ssim():
    assert set(values([images(size=(8, 40))])) == {"l1", "psnr"}
    assert set(values([images(size=(8, 40)), images()])) == {"l1", "psnr", "ssim"}


def test_values_beyond_white_are_clipped():
    truth = np.ones((3, 12, 12))
    assert values([ViewFrame(truth * 1.5, truth)])["l1"] == 0


def test_the_nearest_view_and_the_mean_colour_stand_beside():
    frame = images()
    score = judge_views([frame._replace(nearest=frame.truth)])[0]
    assert score.baselines["nearest view"] == 0
    expected = np.abs(frame.truth - frame.truth.mean((1, 2), keepdims=True)).mean()
    assert score.baselines["mean colour"] == pytest.approx(expected)
    assert "nearest view" not in judge_views([frame, frame._replace(nearest=frame.truth)])[0].baselines


def test_what_cannot_be_judged_is_refused_in_words():
    frame = images()
    nothing = np.zeros(frame.truth.shape[1:], bool)
    for frames, why in (([], "no pixel"), ([frame._replace(valid=nothing)], "no pixel"),
                        ([frame._replace(prediction=frame.prediction * np.nan)], "2160 values"),
                        ([frame._replace(prediction=frame.prediction[:, 1:])], "3x23x30")):
        with pytest.raises(InputError, match=why):
            judge_views(frames)
