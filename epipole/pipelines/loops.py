"""Loops: pairs of key frames far apart in time that see the same place, proved by geometry, as links of a pose graph
over Sim(3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import poselib
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..geometry.anchors import rays
from ..geometry.motion import move, se3, se3_inverse
from .odometry import poselib_camera
from .places import FeatureMethod, Features, Gray, candidates, describe, learn_vocabulary, matched, root_sift
from .pose_graph import Link, rescaled

TAUGHT_BY = 100     # images, evenly spread, that a vocabulary is learned from: as many descriptors as it takes


@dataclass(frozen=True)
class Config:
    """Pixels are those of the images."""

    apart: int = 30
    """Images between the two of a loop: those nearer in time are neighbours anyway."""
    most: int = 3
    """Candidates of an image, the most alike."""
    threshold: float = 1.5
    """Distance (px) of a match from its epipolar line, and half that of a point from where a pose puts it: a point's
    depth is known less well than its pixel."""
    inliers: int = 25
    """Matches that must agree with one geometry."""
    share: float = 0.4
    """Share of all matches that must."""
    scale_spread: float = 0.3
    """Median deviation of the logarithm of the ratio of depths: a false match of places fits in the image, rarely
    also in depth."""
    sigma_rotation: float = 0.01
    sigma_translation: float = 0.02
    """In units of the median depth of the matched points."""
    sigma_scale: float = 0.02
    """Least standard deviations of a loop: depth is wrong in the same way over large parts of an image."""


class Place(NamedTuple):
    """A key frame's features, and depth z at each of them; NaN where it is unknown."""

    features: Features
    depth: Float[Tensor, "n"]


class Agreement(NamedTuple):
    """Numbers of the features of two images that match and agree with one epipolar geometry, and the share of the
    matches that do."""

    first: Int[Tensor, "m"]
    second: Int[Tensor, "m"]
    share: float


def at_features(features: Features, depth: Float[Tensor, "h w"]) -> Place:
    """The depth of the pixel nearest to every feature; what is not positive and finite is unknown."""
    h, w = depth.shape
    u, v = features.points.round().long().unbind(1)
    z = depth[v.clamp(0, h - 1), u.clamp(0, w - 1)]
    return Place(features, torch.where((z > 0) & z.isfinite(), z, torch.nan))


def find_loops(
    images: Sequence[Gray], depth: Sequence[Float[Tensor, "h w"]], K: Float[Tensor, "3 3"],
    config: Config | None = None, method: FeatureMethod = root_sift, seed: int = 0,
) -> list[Link]:
    """The loops of a clip of key frames with known depth (each in a unit of its own), as links that a pose graph may
    doubt. All images have one size and one camera."""
    places = [at_features(method(image), z) for image, z in zip(images, depth, strict=True)]
    pairs = alike(places, config, seed)
    links = [link(places[a], places[b], a, b, K, config) for a, b in pairs]
    return [found for found in links if found is not None]


def alike(places: Sequence[Place], config: Config | None = None, seed: int = 0) -> list[tuple[int, int]]:
    """Pairs of images that look alike by VLAD, with a vocabulary learned from at most `TAUGHT_BY` of these very images;
    best first. Of more, places are asked for one at a time: they may lie on disk."""
    config, taught = config or Config(), range(0, len(places), -(-len(places) // TAUGHT_BY) or 1)
    words = [places[i].features.words for i in taught]
    if sum(map(len, words)) == 0:
        return []
    vocabulary = learn_vocabulary(words, seed=seed)
    return candidates(describe((place.features.words for place in places), vocabulary), config.apart, config.most)


def agreement(
    first: Features, second: Features, K: Float[Tensor, "3 3"], config: Config | None = None
) -> Agreement | None:
    """Matches of two images on one essential matrix (five points in LO-RANSAC, poselib); None where too few are: the
    images show two places."""
    config, numbers = config or Config(), matched(first, second)
    if len(numbers) < max(config.inliers, 5):
        return None
    x, y = first.points[numbers[:, 0]].double(), second.points[numbers[:, 1]].double()
    options = {"max_epipolar_error": config.threshold, "seed": 0, "max_iterations": 2000}
    camera = poselib_camera(K)
    _, found = poselib.estimate_relative_pose(x.numpy(), y.numpy(), camera, camera, options, {})
    inlier = torch.from_numpy(np.array(found["inliers"], bool))
    if int(inlier.sum()) < max(config.inliers, config.share * len(numbers)):
        return None
    return Agreement(numbers[inlier, 0], numbers[inlier, 1], float(inlier.double().mean()))


def link(
    first: Place, second: Place, a: int, b: int, K: Float[Tensor, "3 3"], config: Config | None = None
) -> Link | None:
    """S_a_b of two places; None where they are not the same.

    An essential matrix must explain the matches, then a pose of b, seen from a, the pixels of a's points; the depth
    that these points then have in b tells the scale between the units of both, and must do so consistently.
    """
    config = config or Config()
    agreed = agreement(first.features, second.features, K, config)
    if agreed is None:
        return None
    z_a, z_b = first.depth[agreed.first].double(), second.depth[agreed.second].double()
    known = z_a.isfinite() & z_b.isfinite()
    x = first.features.points[agreed.first[known]].double()
    y = second.features.points[agreed.second[known]].double()
    return seen_again(a, b, x, z_a[known], y, z_b[known], K, config)


def seen_again(
    a: int, b: int, x: Float[Tensor, "m 2"], z_a: Float[Tensor, "m"], y: Float[Tensor, "m 2"], z_b: Float[Tensor, "m"],
    K: Float[Tensor, "3 3"], config: Config,
) -> Link | None:
    """S_a_b by pixels x of a and y of b that show the same points, and their depth in either; None where a pose of b
    and one scale do not explain them."""
    points = z_a.double()[:, None] * rays(x.double(), K.double())
    found = _resection(points, y.double(), K, config)
    if found is None:
        return None
    T_b_a, inlier = found
    z_b = z_b.double()[inlier]
    ratio = (move(T_b_a, points)[inlier, 2] / z_b).log()
    scale = ratio.median()
    spread = float((ratio - scale).abs().median())
    if not spread < config.scale_spread:
        return None
    sigma_scale = math.hypot(config.sigma_scale, spread / math.sqrt(len(ratio)))
    return Link(a, b, rescaled(se3_inverse(T_b_a), scale.exp()), config.sigma_rotation,
                config.sigma_translation * float(z_b.median()), sigma_scale, trusted=False)


def _resection(
    points: Float[Tensor, "m 3"], pixels: Float[Tensor, "m 2"], K: Float[Tensor, "3 3"], config: Config
) -> tuple[Float[Tensor, "4 4"], Bool[Tensor, "m"]] | None:
    """T_b_a by P3P in LO-RANSAC (poselib), and which points agree; None where too few do."""
    if len(points) < config.inliers:
        return None
    options = {"max_reproj_error": 2 * config.threshold, "seed": 0, "max_iterations": 2000}
    pose, found = poselib.estimate_absolute_pose(pixels.numpy(), points.numpy(), poselib_camera(K), options, {})
    inlier = torch.from_numpy(np.array(found["inliers"], bool))
    if int(inlier.sum()) < max(config.inliers, config.share * len(points)):
        return None
    return se3(torch.from_numpy(np.array(pose.R)), torch.from_numpy(np.array(pose.t))), inlier
