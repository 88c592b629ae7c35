"""What two gray images of one scene say about the camera's motion between them: how far, and whether it shows depth.

A camera that only turns moves every pixel by the homography K R K^-1, whatever the depth (Hartley & Zisserman,
Multiple View Geometry, 2nd ed., eq. 8.2 ff.); nothing can be learned from it. The test here fits the best
rotation over a range of focal lengths to sampled flow and looks at what it leaves unexplained.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Gray = UInt8[np.ndarray, "h w"]
Points = Float[np.ndarray, "n 2"]

SAMPLE_STRIDE = 8
"""Pixels between flow samples along x and y."""

CONSISTENT = (0.5, 0.05)
"""A flow vector counts when following it forth and back ends within this many pixels plus this share of its length."""

LEAST_SAMPLES = 30
"""With fewer samples nothing is said about the motion."""

FOCALS = (0.5, 0.62, 0.78, 0.97, 1.2, 1.5, 1.9, 2.4, 3.0)
"""Focal lengths tried by the rotation test, as shares of the longer side (90 to 19 degrees of view)."""

ROTATION_SHARE, ROTATION_PIXELS = 0.05, 0.3
"""A pair shows parallax when the best rotation leaves 15 % of its samples more than this share of the median
displacement, and more than this many pixels (the noise of the flow), away. Turning about the centre of the lens
leaves 0.01 to 0.03, walking through a kitchen with the camera in the hand 0.08 (5 % quantile) to 0.3, driving 0.2 to
3."""

FLAT = 0.85
"""A pair that shows parallax, and of whose samples a homography explains this share, sees one plane (or a zoom)."""

LEAST_MATCHES = 20
"""Feature matches on one epipolar geometry that make two images views of one scene."""


@dataclass(frozen=True)
class TwoView:
    """The motion between two frames.

    `displacement` is the median flow as a share of the width; `unexplained` the 85 % quantile of what the best
    rotation leaves, as a share of the median flow; `homography` and `fundamental` the shares of samples within
    1 pixel of the best homography and epipolar geometry (MAGSAC++).
    """

    first: int
    second: int
    displacement: float
    unexplained: float
    homography: float
    fundamental: float
    parallax: bool

    @property
    def flat(self) -> bool:
        """Whether one plane, seen by a moving camera, explains the pair."""
        return self.parallax and self.homography >= FLAT


@dataclass(frozen=True)
class Correspondence:
    """Points of one image and where they are in another, in pixels; `share` of all samples passed the check."""

    points: Points
    moved: Points
    share: float

    @property
    def displacement(self) -> float:
        """Median length in pixels; 0 without samples."""
        return float(np.median(np.linalg.norm(self.moved - self.points, axis=1))) if len(self.points) else 0.0


def sampled_flow(flow: cv2.DenseOpticalFlow, first: Gray, second: Gray) -> Correspondence:
    """Dense flow both ways, sampled on a grid, of it what passes the forward-backward check `CONSISTENT`."""
    there, back = _dense(flow, first, second), _dense(flow, second, first)
    rows, columns = np.mgrid[SAMPLE_STRIDE // 2 : first.shape[0] : SAMPLE_STRIDE,
                             SAMPLE_STRIDE // 2 : first.shape[1] : SAMPLE_STRIDE].reshape(2, -1)  # fmt: skip
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    vectors = there[rows, columns]
    moved = points + vectors
    outside = (1e6, 1e6, 0.0, 0.0)
    returned = cv2.remap(back, moved[:, :1], moved[:, 1:], cv2.INTER_LINEAR, borderValue=outside)[:, 0]
    allowed = CONSISTENT[0] + CONSISTENT[1] * np.linalg.norm(vectors, axis=1)
    keep = np.linalg.norm(vectors + returned, axis=1) < allowed
    return Correspondence(points[keep].astype(float), moved[keep].astype(float), float(keep.mean()))


def median_motion(flow: cv2.DenseOpticalFlow, first: Gray, second: Gray) -> float:
    """Median length in pixels of the flow from `first` to `second`, unchecked."""
    return float(np.median(np.linalg.norm(_dense(flow, first, second)[::4, ::4], axis=2)))


def _dense(flow: Any, first: Gray, second: Gray) -> Float[np.ndarray, "h w 2"]:
    """OpenCV's own type hints do not know that the third argument, a first guess, may be None."""
    return flow.calc(first, second, None)


def feature_matches(first: Gray, second: Gray) -> Correspondence | None:
    """SIFT matches on one epipolar geometry, for images too far apart for flow; None when they share no content."""
    sift = cv2.SIFT.create(1500)
    (points, words), (others, other_words) = (sift.detectAndCompute(image, None) for image in (first, second))
    if words is None or other_words is None or min(len(words), len(other_words)) < LEAST_MATCHES:
        return None
    pairs = [p for p in cv2.BFMatcher().knnMatch(words, other_words, k=2) if len(p) == 2]
    matches = [m for m, runner_up in pairs if m.distance < 0.8 * runner_up.distance]  # Lowe's ratio
    if len(matches) < LEAST_MATCHES:
        return None
    x = np.array([points[m.queryIdx].pt for m in matches])
    y = np.array([others[m.trainIdx].pt for m in matches])
    inside = _on_one_geometry(x, y, 0.999, 2000)
    if inside.sum() < max(LEAST_MATCHES, len(matches) / 3):  # 7 matches always fit; chance adds a few
        return None
    return Correspondence(x[inside], y[inside], float(inside.mean()))


def two_view(matches: Correspondence, first: int, second: int, size: tuple[int, int]) -> TwoView | None:
    """Judges the motion between frames numbered `first` and `second` of `size` = (width, height) from samples."""
    x, y, pixels = matches.points, matches.moved, matches.displacement
    if len(x) < LEAST_SAMPLES or pixels == 0:
        return None
    left = rotation_residual(x, y, size)
    homography = _inliers(cv2.findHomography(x, y, cv2.USAC_MAGSAC, 1.0, maxIters=500)[1], len(x))
    fundamental = _on_one_geometry(x, y, 0.99, 500)
    return TwoView(
        first, second, pixels / size[0], left / pixels, float(homography.mean()), float(fundamental.mean()),
        parallax=left > max(ROTATION_SHARE * pixels, ROTATION_PIXELS),
    )  # fmt: skip


def rotation_residual(x: Points, y: Points, size: tuple[int, int]) -> float:
    """85 % quantile, in pixels, of what the best pure rotation (any of `FOCALS`) leaves between x and y."""
    return min(_residual_at(x, y, size, focal * max(size)) for focal in FOCALS)


def _residual_at(x: Points, y: Points, size: tuple[int, int], focal: float) -> float:
    """Robust Wahba problem: rotation between rays by SVD (Kabsch), re-weighted towards least absolute pixels."""
    centre = (np.array(size) - 1) / 2
    rays, targets = (np.c_[(p - centre) / focal, np.ones(len(p))] for p in (x, y))
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    weights, error = np.ones(len(x)), np.zeros(len(x))
    for _ in range(6):
        u, _, vt = np.linalg.svd((targets * weights[:, None]).T @ rays)
        turned = rays @ (u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt).T
        error = np.linalg.norm(centre + focal * turned[:, :2] / turned[:, 2:] - y, axis=1)
        weights = 1 / np.maximum(error, 0.2)
    return float(np.quantile(error, 0.85))


def _on_one_geometry(x: Points, y: Points, confidence: float, iterations: int) -> np.ndarray:
    """Which correspondences agree with the fundamental matrix that most agree with."""
    try:
        return _inliers(cv2.findFundamentalMat(x, y, cv2.USAC_MAGSAC, 1.0, confidence, iterations)[1], len(x))
    except cv2.error:  # OpenCV's last refinement may find no model at all, and then fails an assertion
        return _inliers(None, len(x))


def _inliers(mask: np.ndarray | None, count: int) -> np.ndarray:
    """OpenCV's inlier mask as bools; none where no model was found."""
    return np.zeros(count, bool) if mask is None else mask.ravel().astype(bool)
