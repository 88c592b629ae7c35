"""The geometry of two views from their matches: least squares, the RANSAC family, solvers of OpenCV and poselib.

All read `matches` (and `matches_valid`, where some rows only fill the batch), treat every scene by itself and repeat
themselves exactly. Fewer matches than the model needs are an InputError.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import poselib
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.consensus import FUNDAMENTAL, HOMOGRAPHY, Problem, consensus
from ..geometry.epipolar import essential_from_motion, fundamental
from ..geometry.homography import homography
from ..geometry.motion import se3
from ..geometry.scores import Lmeds, Magsac, Mlesac, Ransac, Score
from ..types.errors import InputError
from ..types.predictions import Essential, Fundamental, Homography
from ..types.views import Views

Solver = Callable[[Float[Tensor, "n 4"]], tuple[Float[Tensor, "3 3"], Bool[Tensor, "n"]]]

OPENCV = {"ransac": cv2.USAC_DEFAULT, "lmeds": cv2.LMEDS, "magsac": cv2.USAC_MAGSAC}


def each_scene(views: Views, least: int, solve: Solver) -> tuple[Float[Tensor, "*B 3 3"], Bool[Tensor, "*B M"]]:
    """The model of every scene from its valid matches, and which rows agree with it; InputError below `least`."""
    matches = views.matches.flatten(0, -3) if views.matches.dim() > 2 else views.matches[None]
    valid = torch.ones_like(matches[..., 0], dtype=torch.bool)
    if "matches_valid" in views:
        valid = views.matches_valid.reshape(valid.shape)
    models, inliers = [], torch.zeros_like(valid)
    for k, keep in enumerate(valid):
        if int(keep.sum()) < least:
            raise InputError(f"this model of two views needs at least {least} matches, got {int(keep.sum())}; "
                             "give images that overlap more, or accept more matches")
        model, inside = solve(matches[k][keep])
        models.append(model)
        inliers[k, keep] = inside
    front = views.matches.shape[:-2]
    return torch.stack(models).reshape(*front, 3, 3), inliers.reshape(*front, -1)


def _by_consensus(problem: Problem, score: Score, seed: int, most: int) -> Solver:
    """Every scene draws from a generator of its own, so that it does not matter which others are beside it."""
    def solve(matches: Tensor) -> tuple[Tensor, Tensor]:
        found = consensus(matches, problem, score, torch.Generator().manual_seed(seed), most=most)
        return found.model, found.inliers

    return solve


@dataclass(frozen=True)
class EightPoint:
    """Least squares over all matches: what a single wrong one spoils."""

    def __call__(self, views: Views) -> Fundamental:
        def solve(matches: Tensor) -> tuple[Tensor, Tensor]:
            every = torch.ones_like(matches[:, 0])
            return fundamental(matches[:, :2], matches[:, 2:], every), every > 0

        F, inlier = each_scene(views, 8, solve)
        return Fundamental(F=F, inlier=inlier)


@dataclass(frozen=True)
class FundamentalConsensus:
    """Seven points at a time, judged by a score of the RANSAC family."""

    score: Score
    seed: int = 0
    most: int = 5000                     # samples drawn at most

    def __call__(self, views: Views) -> Fundamental:
        F, inlier = each_scene(views, 8, _by_consensus(FUNDAMENTAL, self.score, self.seed, self.most))
        return Fundamental(F=F, inlier=inlier)


@dataclass(frozen=True)
class DirectLinear:
    """Homography by least squares over all matches."""

    def __call__(self, views: Views) -> Homography:
        def solve(matches: Tensor) -> tuple[Tensor, Tensor]:
            every = torch.ones_like(matches[:, 0])
            return homography(matches[:, :2], matches[:, 2:], every), every > 0

        H, inlier = each_scene(views, 4, solve)
        return Homography(H=H, inlier=inlier)


@dataclass(frozen=True)
class HomographyConsensus:
    """Four points at a time, judged by a score of the RANSAC family."""

    score: Score
    seed: int = 0
    most: int = 2000                     # samples drawn at most

    def __call__(self, views: Views) -> Homography:
        H, inlier = each_scene(views, 5, _by_consensus(HOMOGRAPHY, self.score, self.seed, self.most))
        return Homography(H=H, inlier=inlier)


def _by_opencv(find: Callable[..., tuple[np.ndarray | None, np.ndarray | None]], options: dict[str, object]) -> Solver:
    """Where OpenCV finds nothing: the zero matrix, and no inliers."""
    def solve(matches: Tensor) -> tuple[Tensor, Tensor]:
        x, y = matches.detach().cpu().double().numpy().reshape(-1, 2, 2).transpose(1, 0, 2)
        model, inside = find(np.ascontiguousarray(x), np.ascontiguousarray(y), **options)
        if model is None or inside is None or model.shape != (3, 3):
            return matches.new_zeros(3, 3), torch.zeros_like(matches[:, 0], dtype=torch.bool)
        return torch.from_numpy(model).to(matches), torch.from_numpy(inside[:, 0] > 0).to(matches.device)

    return solve


@dataclass(frozen=True)
class OpenCVFundamental:
    """`cv2.findFundamentalMat`; OpenCV seeds itself and repeats itself."""

    method: str = "magsac"               # a key of OPENCV
    threshold: float = 1.0               # px
    most: int = 5000

    def __call__(self, views: Views) -> Fundamental:
        options: dict[str, object] = {"method": OPENCV[self.method], "ransacReprojThreshold": self.threshold,
                                      "confidence": 0.999, "maxIters": self.most}
        F, inlier = each_scene(views, 8, _by_opencv(cv2.findFundamentalMat, options))
        return Fundamental(F=F, inlier=inlier)


@dataclass(frozen=True)
class OpenCVHomography:
    """`cv2.findHomography`."""

    method: str = "magsac"               # a key of OPENCV
    threshold: float = 1.0               # px
    most: int = 2000

    def __call__(self, views: Views) -> Homography:
        options: dict[str, object] = {"method": OPENCV[self.method], "ransacReprojThreshold": self.threshold,
                                      "confidence": 0.999, "maxIters": self.most}
        H, inlier = each_scene(views, 4, _by_opencv(cv2.findHomography, options))
        return Homography(H=H, inlier=inlier)


@dataclass(frozen=True)
class PoselibEssential:
    """Essential matrix and motion by five points in LO-RANSAC (poselib); reads `K` too."""

    threshold: float = 1.0               # px
    seed: int = 0
    most: int = 2000

    def __call__(self, views: Views) -> Essential:
        K = views.K.reshape(-1, views.K.shape[-3], 3, 3).double().cpu()
        scene, poses = iter(K), []

        def solve(matches: Tensor) -> tuple[Tensor, Tensor]:
            options = {"max_epipolar_error": self.threshold, "seed": self.seed, "max_iterations": self.most}
            x, y = matches.detach().cpu().double().numpy().reshape(-1, 2, 2).transpose(1, 0, 2)
            cameras = [_poselib_camera(each) for each in next(scene)[:2]]
            pose, info = poselib.estimate_relative_pose(x, y, *cameras, options, {})
            R, t = (torch.from_numpy(np.array(part)).to(matches) for part in (pose.R, pose.t))
            poses.append(se3(R, t))
            inside = torch.from_numpy(np.array(info["inliers"], dtype=bool)).to(matches.device)
            return essential_from_motion(poses[-1]), inside

        E, inlier = each_scene(views, 6, solve)
        return Essential(E=E, T_second_first=torch.stack(poses).reshape(*E.shape[:-2], 4, 4), inlier=inlier)


def _poselib_camera(K: Tensor) -> dict[str, object]:
    """As poselib wants it; it has pixel centres where we have them, and asks for a size without using it."""
    fx, fy, cx, cy = (float(x) for x in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
    return {"model": "PINHOLE", "width": int(2 * cx + 2), "height": int(2 * cy + 2), "params": [fx, fy, cx, cy]}


FUNDAMENTALS: dict[str, Callable[[Views], Fundamental]] = {
    "eight_point": EightPoint(),
    "ransac": FundamentalConsensus(Ransac()),
    "lmeds": FundamentalConsensus(Lmeds()),
    "mlesac": FundamentalConsensus(Mlesac()),
    "magsac": FundamentalConsensus(Magsac()),
    "opencv_ransac": OpenCVFundamental("ransac"),
    "opencv_lmeds": OpenCVFundamental("lmeds"),
    "opencv_magsac": OpenCVFundamental("magsac"),
}
HOMOGRAPHIES: dict[str, Callable[[Views], Homography]] = {
    "direct_linear": DirectLinear(),
    "ransac": HomographyConsensus(Ransac(2.0)),
    "lmeds": HomographyConsensus(Lmeds(4)),
    "mlesac": HomographyConsensus(Mlesac(1.0)),
    "magsac": HomographyConsensus(Magsac()),
    "opencv_ransac": OpenCVHomography("ransac", 2.0),
    "opencv_lmeds": OpenCVHomography("lmeds"),
    "opencv_magsac": OpenCVHomography("magsac", 2.0),
}
