"""Untrained two-view baselines."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from epipole.geometry.epipolar import sampson_distance
from epipole.geometry.homography import transfer, transfer_distance
from epipole.geometry.motion import angle
from epipole.geometry.scores import Magsac
from epipole.methods.two_views import (
    FUNDAMENTALS,
    HOMOGRAPHIES,
    EightPoint,
    FundamentalConsensus,
    HomographyConsensus,
    OpenCVFundamental,
    PoselibEssential,
)
from epipole.types.errors import InputError
from epipole.types.predictions import Fundamental, Homography
from epipole.types.views import Views
from tests.geometry.two_views import F64, TwoViews, two_views, with_outliers


def views(share: float, seeds=(0, 1), n: int = 150, flat: bool = False) -> tuple[Views, list[TwoViews]]:
    scenes = [two_views(n=n, seed=seed, flat=flat) for seed in seeds]
    matches = torch.stack([with_outliers(s, share, 0.5, seed=9) for s in scenes])
    K = torch.stack([s.K.expand(2, 3, 3) for s in scenes])
    return Views(matches=matches, K=K), scenes


@pytest.mark.parametrize("name", [name for name in FUNDAMENTALS if name != "eight_point"])
def test_fundamentals_survive_outliers(name):
    batch, scenes = views(0.35)
    found = FUNDAMENTALS[name](batch)
    assert isinstance(found, Fundamental)
    for k, s in enumerate(scenes):
        assert sampson_distance(found.F[k], s.first, s.second).abs().median() < 1.0
        assert found.inlier[k, 60:].double().mean() > 0.6
        assert found.inlier[k, :52].double().mean() < 0.2


@pytest.mark.parametrize("name", [name for name in HOMOGRAPHIES if name != "direct_linear"])
def test_homographies_survive_outliers(name):
    batch, scenes = views(0.35, flat=True)
    found = HOMOGRAPHIES[name](batch)
    assert isinstance(found, Homography)
    for k, s in enumerate(scenes):
        assert transfer_distance(found.H[k], s.first, s.second).median() < 0.6


def test_least_squares_do_not_survive_outliers_but_are_exact_without():
    batch, scenes = views(0.1)
    F = EightPoint()(batch).F
    assert all(sampson_distance(F[k], s.first, s.second).abs().median() > 2 for k, s in enumerate(scenes))
    exact = Views(matches=torch.stack([torch.cat([s.first, s.second], -1) for s in scenes]))
    F = FUNDAMENTALS["eight_point"](exact).F
    assert all(sampson_distance(F[k], s.first, s.second).abs().max() < 1e-6 for k, s in enumerate(scenes))


def test_essential_by_poselib_has_the_planted_motion():
    batch, scenes = views(0.5)
    found = PoselibEssential()(batch)
    for k, s in enumerate(scenes):
        T, true = found.T_second_first[k], s.T_second_first
        assert angle(T[:3, :3].T @ true[:3, :3]) < 0.01
        assert T[:3, 3] @ true[:3, 3] / true[:3, 3].norm() > 0.995
        assert found.inlier[k, 75:].double().mean() > 0.8


def test_a_scene_gets_the_same_alone_beside_others_and_with_filled_rows():
    batch, _ = views(0.3, n=80)
    alone = Views(matches=batch.matches[1])
    filled = torch.cat([batch.matches, torch.full((2, 7, 4), 1e9, dtype=F64)], 1)
    valid = torch.arange(87).expand(2, 87) < 80
    method = FundamentalConsensus(Magsac(), seed=3)
    both, single, padded = method(batch), method(alone), method(Views(matches=filled, matches_valid=valid))
    assert single.F.shape == (3, 3)
    assert torch.equal(both.F[1], single.F)
    assert torch.equal(both.F, padded.F)
    assert torch.equal(padded.inlier[:, :80], both.inlier)
    assert not padded.inlier[:, 80:].any()


def test_too_few_matches_are_refused_in_words():
    for method in (*FUNDAMENTALS.values(), *HOMOGRAPHIES.values()):
        with pytest.raises(InputError, match="matches, got 3"):
            method(Views(matches=torch.rand(2, 3, 4)))


def medians(share: float, n: int = 250) -> tuple[float, float]:
    """Median over pairs of the error on true matches: ours and OpenCV's MAGSAC."""
    ours, theirs = [], []
    for seed in range(8):
        batch, (s,) = views(share, seeds=(seed,), n=n)
        for method, errors in ((FundamentalConsensus(Magsac()), ours), (OpenCVFundamental(), theirs)):
            errors.append(float(sampson_distance(method(batch).F[0], s.first, s.second).abs().median()))
    return float(np.median(ours)), float(np.median(theirs))


@pytest.mark.parametrize("share", [0.3, *(pytest.param(more, marks=pytest.mark.slow) for more in (0.5, 0.7))])
def test_magsac_is_about_as_good_as_that_of_opencv(share):
    ours, theirs = medians(share)
    assert ours < 2 * theirs
    assert ours < 0.5


def sift_matches(first: Path, second: Path) -> torch.Tensor:
    """Lowe's ratio test at 0.9: many matches, many of them wrong."""
    sift = cv2.SIFT.create(2000)
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (first, second)]
    (a, words), (b, others) = (sift.detectAndCompute(image, None) for image in images)
    pairs = cv2.BFMatcher().knnMatch(words, others, k=2)
    good = [m for m, n in pairs if m.distance < 0.9 * n.distance]
    return torch.tensor([[*a[m.queryIdx].pt, *b[m.trainIdx].pt] for m in good], dtype=F64)


def test_homography_of_real_photos(shared_data):
    """Wall painting (graf) from 40 degrees aside: the known homography within a pixel or two."""
    folder = shared_data / "oxford_affine" / "graf"
    if not folder.is_dir():
        pytest.skip("oxford_affine is not there")
    H = torch.tensor(np.loadtxt(folder / "H1to3p.txt"))
    matches = sift_matches(folder / "img1.jpg", folder / "img3.jpg")
    wrong = transfer_distance(H, matches[:, :2], matches[:, 2:]) > 5
    assert wrong.double().mean() > 0.3
    height, width = cv2.imread(str(folder / "img1.jpg")).shape[:2]
    corners = torch.tensor([[0.0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], dtype=F64)
    found = HomographyConsensus(Magsac())(Views(matches=matches))
    assert (transfer(found.H, corners)[0] - transfer(H, corners)[0]).norm(dim=-1).mean() < 3
    assert found.inlier[wrong].double().mean() < 0.05


def test_epipolar_geometry_of_real_photos(shared_data):
    """Two photos of a facade: our MAGSAC and OpenCV's agree about which matches are right."""
    folder = shared_data / "sceaux_castle"
    if not folder.is_dir():
        pytest.skip("sceaux_castle is not there")
    batch = Views(matches=sift_matches(folder / "100_7103.jpg", folder / "100_7105.jpg"))
    ours, theirs = FundamentalConsensus(Magsac())(batch), OpenCVFundamental()(batch)
    x, y = batch.matches[:, :2], batch.matches[:, 2:]
    right = sampson_distance(theirs.F, x, y).abs() < 0.7
    assert right.sum() > 100
    assert sampson_distance(ours.F, x, y).abs()[right].median() < 0.5
    assert (sampson_distance(ours.F, x, y).abs() < 0.7).sum() > 0.9 * right.sum()
