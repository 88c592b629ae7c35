"""Synthetic Shapes: corners are where the picture has them, by other computations than those that drew it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from epipole.sources.worlds import Spec
from epipole.sources.worlds.drawn import primitives
from epipole.sources.worlds.drawn.canvas import LEAST_CONTRAST, Canvas
from epipole.sources.worlds.drawn.noise import smear, spoil
from epipole.sources.worlds.drawn.shapes import KINDS, MOST, PRIMITIVES, Shapes, homography, tilt
from epipole.types.errors import InputError

CLEAN = Spec("shapes", 0, width=160, height=120, frames=400)
WITH_CORNERS = ("lines", "polygon", "polygons", "star", "checkerboard", "cube", "stripes")


def draw(kind: str, seed: int, amount: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    canvas = Canvas(160, 120, tilt(160, 120, amount, rng), np.random.default_rng(seed + 100))
    corners = canvas.seen(PRIMITIVES[kind][0](canvas, rng))
    return canvas.image(), corners[((corners > 8) & (corners < [151, 111])).all(1)]


def blank(H: np.ndarray | None = None) -> Canvas:
    canvas = Canvas(40, 30, np.eye(3) if H is None else H, np.random.default_rng(0))
    canvas.fine[:] = 0
    return canvas


def test_a_polygon_covers_pixels_as_a_twin_says() -> None:
    """Sixteen places of every pixel, at sixteen different u and v, each tested by the sum of angles under which it sees
    the rim."""
    H = tilt(40, 30, 0.5, np.random.default_rng(3))
    points, canvas = np.array([[8.3, 4.1], [30.2, 6.7], [27.9, 21.4], [11.6, 24.8]]), blank(H)
    canvas.polygon(points, 255.0)
    corners = cv2.perspectiveTransform(points[None], H)[0]
    expected = np.zeros((30, 40))
    for v in range(30):
        for u in range(40):
            for j in range(4):
                for i in range(4):
                    away = corners - [u - 0.5 + (4 * i + j + 0.5) / 16, v - 0.5 + (4 * j + i + 0.5) / 16]
                    z = away[:, 0] + 1j * away[:, 1]
                    expected[v, u] += abs(np.angle(np.roll(z, -1) / z).sum()) > np.pi
    np.testing.assert_allclose(canvas.image(), expected / 16 * 255, atol=1e-3)


def test_an_ellipse_and_a_bar_have_their_areas_and_places() -> None:
    canvas = blank()
    canvas.ellipse(np.array([19.3, 14.6]), np.array([11.0, 5.0]), 0.7, 255.0)
    share = canvas.image() / 255
    v, u = np.mgrid[:30, :40]
    assert share.sum() == pytest.approx(np.pi * 55, rel=0.01)
    assert (share * u).sum() / share.sum() == pytest.approx(19.3, abs=0.03)
    assert (share * v).sum() / share.sum() == pytest.approx(14.6, abs=0.03)
    along = np.linalg.eigh(np.cov(np.stack([u.ravel(), v.ravel()]), aweights=share.ravel()))[1][:, 1]
    assert abs(along @ [np.cos(0.7), np.sin(0.7)]) > 0.999
    canvas = blank()
    canvas.line(np.array([5.0, 7.0]), np.array([25.0, 22.0]), 3.0, 255.0)
    assert (canvas.image() / 255).sum() == pytest.approx(75, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_crossings_of_a_checkerboard_are_where_opencv_finds_them(seed: int) -> None:
    """Saddle points of the picture, found to a fraction of a pixel, at the inner crossings."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(160, 120, tilt(160, 120, 0.3, rng), np.random.default_rng(seed))
    plane = primitives.checkerboard(canvas, rng)
    inner = np.all([(plane[:, k] > plane[:, k].min()) & (plane[:, k] < plane[:, k].max()) for k in (0, 1)], axis=0)
    true = canvas.seen(plane[inner])
    true = true[((true > 6) & (true < [153, 113])).all(1)].astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-4)
    start = np.ascontiguousarray(true + rng.uniform(-0.8, 0.8, true.shape), np.float32)[:, None].copy()
    soft = cv2.GaussianBlur(canvas.image(), (0, 0), 1.0)  # the method asks for smooth edges
    found = cv2.cornerSubPix(soft.round().astype(np.uint8), start, (4, 4), (-1, -1), stop)[:, 0]
    assert len(true) >= 2
    assert np.linalg.norm(found - true, axis=1).max() < 0.15
    assert np.abs((found - true).mean(0)).max() < 0.04


@pytest.mark.parametrize("kind", WITH_CORNERS)
def test_pictures_have_corners_at_their_keypoints(kind: str) -> None:
    """The weaker gradient around a keypoint (Shi and Tomasi 1994) is far above that of any other place."""
    at, elsewhere = [], []
    for seed in range(4):
        image, corners = draw(kind, seed)
        strength = cv2.dilate(cv2.cornerMinEigenVal(image.astype(np.float32), 5, 3), np.ones((3, 3)))
        u, v = np.rint(corners).astype(int).T
        at += strength[v, u].tolist()
        elsewhere.append(np.median(strength))
    assert len(at) >= 4
    assert np.quantile(at, 0.1) > 4 * np.median(elsewhere) + 1e-9


@pytest.mark.parametrize("kind", ["star", "cube", "checkerboard", "stripes"])
def test_strong_corners_are_keypoints(kind: str) -> None:
    """Nothing that OpenCV thinks is among the best corners is missing from the truth."""
    for seed in range(3):
        image, _ = draw(kind, seed, 0.3)
        rng = np.random.default_rng(seed)
        canvas = Canvas(160, 120, tilt(160, 120, 0.3, rng), np.random.default_rng(seed + 100))
        corners = canvas.seen(PRIMITIVES[kind][0](canvas, rng))
        found = cv2.goodFeaturesToTrack(image.astype(np.float32), 6, 0.3, 6)[:, 0]
        apart = np.linalg.norm(found[:, None] - corners, axis=-1).min(1)
        assert np.median(apart) < 2.5


def test_a_cube_shows_seven_corners_of_three_faces() -> None:
    for seed in range(5):
        canvas = Canvas(160, 120, np.eye(3), np.random.default_rng(seed))
        corners = primitives.cube(canvas, np.random.default_rng(seed))
        assert len(corners) == 7
        hull = cv2.convexHull(corners.astype(np.float32))
        assert len(hull) == 6  # the seventh is the near one, within


def test_lines_and_shapes_keep_apart() -> None:
    for seed in range(6):
        canvas = Canvas(160, 120, np.eye(3), np.random.default_rng(seed))
        ends = primitives.lines(canvas, np.random.default_rng(seed)).reshape(-1, 2, 2)
        for i in range(len(ends)):
            for j in range(i):
                t = np.linspace(0, 1, 60)[:, None]
                p, q = (e[0] + t * (e[1] - e[0]) for e in (ends[i], ends[j]))
                assert np.linalg.norm(p[:, None] - q, axis=-1).min() > 5.5
    a, b, c, d = (np.array(x) for x in ([0.0, 0], [4.0, 0], [1.0, 3], [3.0, 1]))
    assert primitives.apart(a, b, c, d) == 1
    assert primitives.apart(a, b, c, np.array([2.0, -1])) == 0


def test_blunt_corners_do_not_count() -> None:
    points = np.array([[0.0, 0], [10, 0], [10, 10], [5, 11.0], [0, 10]])
    assert primitives.sharp(points).tolist() == [True, True, True, False, True]


def test_levels_are_told_from_the_ground() -> None:
    for seed in range(20):
        canvas = Canvas(16, 16, np.eye(3), np.random.default_rng(seed))
        first = canvas.level()
        assert abs(first - canvas.ground) >= LEAST_CONTRAST
        second = canvas.level(first)
        assert min(abs(second - canvas.ground), abs(second - first)) >= 25


def test_homographies_take_four_points_where_they_should() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 100, (2, 4, 2))
    np.testing.assert_allclose(cv2.perspectiveTransform(a[None], homography(a, b))[0], b, atol=1e-6)
    np.testing.assert_allclose(tilt(160, 120, 0.0, rng), np.eye(3), atol=1e-9)


def test_keypoints_lie_within_the_image_and_kinds_come_in_their_shares() -> None:
    source = Shapes(replace(CLEAN, difficulty=2))
    labels = []
    for i in range(40):
        views = source[i]
        assert views.image.shape == (1, 1, 120, 160)
        assert views.keypoints.shape == (1, MOST, 2)
        points = views.keypoints[views.keypoints_valid]
        assert bool(((points >= 0) & (points <= torch.tensor([159.0, 119.0]))).all())
        assert (len(points) == 0) or KINDS[int(views.label)] not in ("ellipses", "noise")
        assert 0 <= float(views.image.min()) <= float(views.image.max()) <= 1
        labels.append(int(views.label))
    assert len(set(labels)) >= 5
    assert sum(KINDS[k] == "noise" for k in labels) <= 4


def test_noise_leaves_corners_where_they_are() -> None:
    """Moved by no more than a part of a pixel by blur, smear and shade, of a bright square."""
    image = np.full((60, 80), 60.0, np.float32)
    image[20:40, 25:55] = 200
    true = np.array([[24.5, 19.5], [54.5, 39.5]], np.float32)
    for seed in range(5):
        spoiled = spoil(image, 0.5, np.random.default_rng(seed))
        middle = [(np.abs(np.diff(spoiled, axis=k)).sum(1 - k) * (np.arange(spoiled.shape[k] - 1) + 0.5)).sum()
                  / np.abs(np.diff(spoiled, axis=k)).sum() for k in (0, 1)]
        assert middle == pytest.approx(true.mean(0)[::-1], abs=2.5)
    assert spoil(image, 0.0, np.random.default_rng(0)) is image


def test_smearing_is_the_mean_along_a_way() -> None:
    image = np.zeros((21, 21), np.float32)
    image[10, 10] = 1
    for angle in (0.0, 0.6, np.pi / 2):
        out = smear(image, 7, angle)
        v, u = np.mgrid[-10:11, -10:11]
        assert out.sum() == pytest.approx(1, abs=1e-5)
        assert (out * u).sum() == pytest.approx(0, abs=1e-4)
        assert (out * v).sum() == pytest.approx(0, abs=1e-4)
        spread = (out * (u * np.cos(angle) + v * np.sin(angle)) ** 2).sum()
        assert spread == pytest.approx(3.0**2 / 3, rel=0.25)
        assert (out * (v * np.cos(angle) - u * np.sin(angle)) ** 2).sum() < 0.4


def test_pictures_follow_from_seed_and_number_alone() -> None:
    source, again = Shapes(replace(CLEAN, difficulty=3)), Shapes(replace(CLEAN, difficulty=3))
    first = source[5]
    _ = again[2]
    assert torch.equal(again[5].image, first.image)
    assert not torch.equal(source[6].image, first.image)
    dressed = Shapes(replace(CLEAN, difficulty=3, textures=1))[5]
    assert torch.equal(dressed.keypoints, first.keypoints)
    assert not torch.equal(dressed.image, first.image)
    with pytest.raises(IndexError):
        source[400]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(InputError, match="room"):
        Shapes(Spec("room"))
    with pytest.raises(InputError, match="hexagon"):
        Shapes(CLEAN, ("hexagon",))
