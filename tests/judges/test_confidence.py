"""Confidence against torch and a naive twin."""

import numpy as np
import pytest
import torch
from torch.nn.functional import nll_loss

from epipole.judges.confidence import ConfidenceFrame, ConfidenceProtocol, judge_confidence
from epipole.types.errors import InputError


def values(frames, *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_confidence(frames, *arguments)}


def calibrated(n: int = 4000, sharpness: float = 1.0, seed: int = 0) -> ConfidenceFrame:
    """Classes drawn by the probabilities; sharpness changes what is said of them."""
    r = np.random.default_rng(seed)
    p = r.dirichlet(np.ones(4), n)
    truth = (p.cumsum(1) > r.random((n, 1))).argmax(1)
    said = p**sharpness
    return ConfidenceFrame(said / said.sum(1, keepdims=True), truth)


def test_every_number_equals_its_twin():
    frames = [calibrated(300), calibrated(200, 2.0, 1)]
    p, truth = (np.concatenate(x) for x in zip(*frames, strict=True))
    ece = 0.0
    for low in np.arange(10) / 10:
        inside = (p.max(1) >= low) & (p.max(1) < low + 0.1)
        if inside.any():
            ece += inside.mean() * abs((p.argmax(1) == truth)[inside].mean() - p.max(1)[inside].mean())
    scores = values(frames, ConfidenceProtocol(bins=10))
    assert scores["ece"] == pytest.approx(100 * ece)
    assert scores["nll"] == pytest.approx(float(nll_loss(torch.from_numpy(p).log(), torch.from_numpy(truth))))
    assert scores["brier"] == pytest.approx(((p - np.eye(4)[truth]) ** 2).sum(1).mean())


def test_calibrated_probabilities_score_better_than_sharpened_ones():
    right, sharp = values([calibrated()]), values([calibrated(sharpness=3.0)])
    assert right["ece"] < 3
    assert sharp["ece"] > 10
    assert right["nll"] < sharp["nll"]


def test_all_classes_alike_stand_beside_and_a_certain_error_is_finite():
    frame = ConfidenceFrame(np.eye(4)[[0, 1]], np.array([0, 2]))
    scores = {s.name: s for s in judge_confidence([frame])}
    assert scores["ece"].value == pytest.approx(50)
    assert scores["nll"].value == pytest.approx(-np.log(1e-12) / 2)
    assert scores["nll"].baselines["all classes alike"] == pytest.approx(np.log(4))
    assert scores["brier"].baselines["all classes alike"] == pytest.approx(0.75)


def test_ignored_labels_do_not_count():
    frame = calibrated(50)
    frame.truth[::2] = 255
    assert "25 predictions" in judge_confidence([frame])[0].protocol


def test_what_cannot_be_judged_is_refused_in_words():
    good = calibrated(4)
    for frames, why in (([], "no prediction"), ([good._replace(truth=np.full(4, 255))], "no prediction"),
                        ([good._replace(probabilities=good.probabilities * 3)], "softmax"),
                        ([good._replace(probabilities=good.probabilities * np.nan)], "16 values"),
                        ([good._replace(truth=np.array([0, 1, 4, -1]))], "2 true labels")):
        with pytest.raises(InputError, match=why):
            judge_confidence(frames)
