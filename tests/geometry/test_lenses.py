from collections.abc import Callable

import cv2
import numpy as np
import pycolmap
import pytest
import torch
from torch.autograd import gradcheck

from epipole.geometry.brown_conrady import BrownConrady
from epipole.geometry.camera import intrinsics, pixel_grid
from epipole.geometry.camera import project as project_pinhole
from epipole.geometry.fisheye import Fisheye
from epipole.geometry.lenses import (
    Camera,
    Pinhole,
    crop,
    jacobians,
    project,
    rays,
    resize,
    undistort_map,
    unproject,
)
from epipole.geometry.motion import so3_exp
from epipole.geometry.sample import sample
from epipole.geometry.unified import ExtendedUnified, Unified

WIDTH, HEIGHT = 64, 48
K = intrinsics(40.0, 42.0, 31.0, 23.7)
BARREL = (-0.28, 0.09, 1e-3, -2e-3, -0.011)
PINCUSHION = (0.21, 0.05, -2e-3, 1e-3, 0.02)
KB4 = (-0.04, 0.01, -0.006, 0.0008)


def scalars(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


CAMERAS: dict[str, Camera] = {
    "pinhole": Pinhole(K),
    "barrel": BrownConrady(K, *scalars(*BARREL)),
    "pincushion": BrownConrady(K, *scalars(*PINCUSHION)),
    "fisheye": Fisheye(K, *scalars(*KB4)),
    "equidistant": Fisheye(K, *scalars(0, 0, 0, 0)),
    "unified": Unified(K, *scalars(0.4)),
    "extended": ExtendedUnified(K, *scalars(0.63, 1.1)),
}
WIDE = ["fisheye", "equidistant", "extended"]
every_camera = pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def to(camera: Camera, dtype: torch.dtype) -> Camera:
    return type(camera)(*(x.to(dtype) for x in camera))


def some_points(generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """In view, one on the axis and one very near to it."""
    points = torch.rand(3, 4, 5, generator=generator, dtype=torch.float64)
    points[:2] = (points[:2] - 0.5) * 2
    points[2] += 1
    points[:, 0, 0] = torch.tensor([0.0, 0, 2])
    points[:, 0, 1] = torch.tensor([1e-8, -1e-8, 2])
    points[:, 0, 2] = torch.tensor([0.04, 0.05, 2])
    return points.to(dtype)


def unit(points: torch.Tensor) -> torch.Tensor:
    return points / points.norm(dim=-3, keepdim=True)


def with_gradients(camera: Camera) -> tuple[torch.Tensor, ...]:
    return tuple(x.clone().requires_grad_() for x in camera)


@every_camera
@both_types
def test_rays_undo_project(camera, dtype, generator):
    points = some_points(generator, dtype)
    pixels, seen = project(points, to(camera, dtype))
    back, known = rays(pixels, to(camera, dtype))
    assert seen.all()
    assert known.all()
    assert torch.allclose(back, unit(points), rtol=0, atol={torch.float32: 2e-6, torch.float64: 1e-13}[dtype])


@every_camera
@both_types
def test_project_undoes_unproject_over_the_image(camera, dtype):
    depth = torch.linspace(1, 9, HEIGHT * WIDTH).view(1, HEIGHT, WIDTH).to(dtype)
    points, front = unproject(depth, to(camera, dtype))
    pixels, seen = project(points, to(camera, dtype))
    assert front.all()
    assert seen.all()
    assert torch.allclose(points[2:], depth)
    atol = {torch.float32: 5e-5, torch.float64: 1e-11}[dtype]
    assert torch.allclose(pixels, pixel_grid(HEIGHT, WIDTH, depth), rtol=0, atol=atol)


@pytest.mark.parametrize("name", WIDE)
def test_wide_lenses_see_behind_the_camera_plane(name):
    angle = torch.tensor([1.0, 1.5, 1.7, 2.0], dtype=torch.float64)
    points = torch.stack([angle.sin() * 0.6, angle.sin() * 0.8, angle.cos()])[:, None]
    pixels, seen = project(points, CAMERAS[name])
    back, known = rays(pixels, CAMERAS[name])
    assert seen.all()
    assert known.all()
    assert torch.allclose(back, points, atol=1e-12)
    sideways = CAMERAS[name]._replace(K=intrinsics(1.0, 1.0, 1.9, 0.0))
    _, front = unproject(torch.ones(1, 1, 1, dtype=torch.float64), sideways)
    assert not front  # behind the plane z = 0 no depth tells where the point is


@every_camera
def test_jacobians_agree_with_autograd(camera, generator):
    points, parameters = some_points(generator), tuple(camera)
    J = jacobians(points, camera)
    for v in range(4):
        for u in range(5):
            def at(X, *parameters):
                return project(X.view(3, 1, 1), type(camera)(*parameters))[0].flatten()
            by_X, by_K, *by_lens = torch.autograd.functional.jacobian(at, (points[:, v, u], *parameters))
            expected_K = torch.stack([by_K[:, 0, 0], by_K[:, 1, 1], by_K[:, 0, 2], by_K[:, 1, 2]], -1)
            assert torch.allclose(J.point[..., v, u], by_X, atol=1e-11)
            assert torch.allclose(J.intrinsics[..., v, u], expected_K, atol=1e-12)
            assert J.lens.shape[-3] == len(by_lens)
            for k, column in enumerate(by_lens):
                assert torch.allclose(J.lens[:, k, v, u], column, atol=1e-11)


@every_camera
def test_gradients(camera, generator):
    points = some_points(generator)[:, :1, :3].clone()
    pixels = project(points, camera)[0]
    parameters = with_gradients(camera)
    assert gradcheck(lambda X, *c: project(X, type(camera)(*c))[0], (points.requires_grad_(), *parameters))
    assert gradcheck(lambda p, *c: rays(p, type(camera)(*c))[0], (pixels.detach().requires_grad_(), *parameters))


@every_camera
@both_types
def test_what_is_not_seen_is_told_and_harmless(camera, dtype):
    points = torch.tensor([[0.0, 0, 0], [0, 0, -1], [1e-9, 0, -1], [1, 0, -1e9], [1e-3, 0, 0], [300, 0, 1],
                           [0, 0, 1e-9]])
    points = points.T[:, None].to(dtype).requires_grad_()
    parameters = tuple(x.to(dtype).clone().requires_grad_() for x in camera)
    pixels, seen = project(points, type(camera)(*parameters))
    assert not seen[..., :3].any()
    assert pixels.isfinite().all()
    J = jacobians(points, type(camera)(*parameters))
    assert all(x.isfinite().all() for x in J)
    far = torch.tensor([[-1e4, 0.0, 900], [0, 500, 7e3]], dtype=dtype)[:, None].requires_grad_()
    back, _ = rays(far, type(camera)(*parameters))
    assert back.isfinite().all()
    assert torch.allclose(back.norm(dim=0), torch.ones(1, 3, dtype=dtype))
    (pixels.sum() + back.sum()).backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in (points, far, *parameters))


def test_beyond_the_fold_of_a_barrel_lens_nothing_is_seen():
    camera = BrownConrady(K, *scalars(-0.3, 0, 0, 0, 0))
    r = torch.tensor([0.5, 1.0, 1.1, 2.0], dtype=torch.float64)  # x - 0.3 x^3 turns back at x = 1.054
    points = torch.stack([r, 0 * r, torch.ones_like(r)])[:, None]
    assert project(points, camera)[1].flatten().tolist() == [True, True, False, False]
    plane = torch.tensor([0.5, 0.70, 0.71, 2.0], dtype=torch.float64)  # its largest value is 0.7027
    pixels = torch.stack([40 * plane + 31, torch.full_like(plane, 23.7)])[:, None]
    assert rays(pixels, camera)[1].flatten().tolist() == [True, True, False, False]


def at_angles(*angles: float) -> torch.Tensor:
    angle = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([angle.sin(), 0 * angle, angle.cos()])[:, None]


def test_beyond_the_fold_of_a_fisheye_nothing_is_seen():
    camera = Fisheye(K, *scalars(-1, 0.2, 0, 0))  # turns back at 0.618; at 1.64 it grows again, on the wrong side
    assert project(at_angles(0.4, 0.61, 0.63, 1.64), camera)[1].flatten().tolist() == [True, True, False, False]


def test_beyond_the_fold_of_a_unified_camera_nothing_is_seen():
    camera = Unified(K, *scalars(0.63))  # cos(angle) = -0.37 / 0.63 is where rays begin to come back
    assert project(at_angles(2.0, 2.19, 2.21, 2.5), camera)[1].flatten().tolist() == [True, True, False, False]


@pytest.mark.parametrize(("name", "coefficients"), [("barrel", BARREL), ("pincushion", PINCUSHION)])
def test_brown_conrady_agrees_with_opencv(name, coefficients, generator):
    points = some_points(generator)
    expected, by = cv2.projectPoints(points.flatten(1).T.numpy(), np.zeros(3), np.zeros(3), K.numpy(),
                                     np.array(coefficients))
    pixels, _ = project(points, CAMERAS[name])
    np.testing.assert_allclose(pixels.flatten(1).T.numpy(), expected[:, 0], atol=1e-11)
    J = jacobians(points, CAMERAS[name])
    ours = torch.cat([J.intrinsics, J.lens], -3).flatten(-2).permute(2, 0, 1).reshape(-1, 9)
    np.testing.assert_allclose(ours.numpy(), by[:, 6:15], atol=1e-9)


def test_fisheye_agrees_with_opencv(generator):
    points = some_points(generator)
    expected, _ = cv2.fisheye.projectPoints(points.flatten(1).T.numpy()[None], np.zeros(3), np.zeros(3), K.numpy(),
                                            np.array(KB4))
    np.testing.assert_allclose(project(points, CAMERAS["fisheye"])[0].flatten(1).T.numpy(), expected[0], atol=1e-7)


@pytest.mark.parametrize(("name", "model", "coefficients"), [
    ("barrel", "FULL_OPENCV", [*BARREL, 0, 0, 0]), ("fisheye", "OPENCV_FISHEYE", [*KB4]),
    ("extended", "EUCM", [0.63, 1.1]),
])
def test_lenses_agree_with_pycolmap(name, model, coefficients, generator):
    points = some_points(generator)
    theirs = pycolmap.Camera(model=model, width=WIDTH, height=HEIGHT,
                             params=[40.0, 42.0, 31.5, 24.2, *coefficients])  # (0, 0) is a corner there
    pixels, _ = project(points, CAMERAS[name])
    expected = np.array([theirs.img_from_cam(X) for X in points.flatten(1).T.numpy()]).reshape(-1, 2)
    np.testing.assert_allclose(pixels.flatten(1).T.numpy() + 0.5, expected, atol=1e-9)


def test_unified_is_the_projection_of_a_sphere(generator):
    points, xi = some_points(generator), torch.tensor(1.3, dtype=torch.float64)
    on_sphere = unit(points)
    expected, _ = project_pinhole(on_sphere + xi * torch.tensor([0.0, 0, 1])[:, None, None], K)
    assert torch.allclose(project(points, Unified.from_mei(K, xi))[0], expected, atol=1e-11)


def test_pinhole_and_lenses_without_bending_are_the_plain_camera(generator):
    points = some_points(generator)
    expected, _ = project_pinhole(points, K)
    for camera in (Pinhole(K), BrownConrady(K, *scalars(0, 0, 0, 0, 0)), Unified(K, *scalars(0)),
                   ExtendedUnified(K, *scalars(0, 2))):
        assert torch.allclose(project(points, camera)[0], expected, atol=1e-13)


OPENCV_MAPS: dict[str, tuple[Camera, Callable[..., tuple[np.ndarray, np.ndarray]], tuple[float, ...]]] = {
    "barrel": (CAMERAS["barrel"], cv2.initUndistortRectifyMap, BARREL),
    "pincushion": (CAMERAS["pincushion"], cv2.initUndistortRectifyMap, PINCUSHION),
    "fisheye": (CAMERAS["fisheye"], cv2.fisheye.initUndistortRectifyMap, KB4),
}


@both_types
@pytest.mark.parametrize(("camera", "oracle", "coefficients"), OPENCV_MAPS.values(), ids=OPENCV_MAPS)
def test_undistort_map_agrees_with_opencv(camera, oracle, coefficients, dtype):
    K_new, R = intrinsics(35.0, 36.0, 30.0, 25.0), so3_exp(torch.tensor([0.05, -0.08, 0.1], dtype=torch.float64))
    expected = oracle(K.numpy(), np.array(coefficients), R.numpy(), K_new.numpy(), (WIDTH, HEIGHT), cv2.CV_32FC1)
    pixels, _ = undistort_map(to(camera, dtype), K_new.to(dtype), HEIGHT, WIDTH, R.to(dtype))
    np.testing.assert_allclose(pixels.numpy(), np.stack(expected), rtol=0, atol=3e-5)  # float32 at some hundred pixels


@every_camera
def test_undistorted_image_is_what_a_pinhole_sees(camera):
    """A smooth scene far away, imaged through the lens, then undistorted."""
    def colour(ray: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.sin(2 * ray[0]), torch.cos(3 * ray[1]), ray[2]])

    grid, K_new = pixel_grid(HEIGHT, WIDTH, K), intrinsics(60.0, 60.0, 31.0, 23.0)
    image = colour(rays(grid, camera)[0])
    at, seen = undistort_map(camera, K_new, HEIGHT, WIDTH, torch.eye(3, dtype=torch.float64))
    undistorted, inside = sample(image[None], at[None])
    expected = colour(rays(grid, Pinhole(K_new))[0])
    known = inside[0] & seen
    assert known.double().mean() > 0.7
    assert ((undistorted[0] - expected).abs() * known).max() < 2e-3  # bilinear look-up


@every_camera
def test_resized_and_cropped_cameras_follow_the_image(camera, generator):
    points = some_points(generator)
    pixels, _ = project(points, camera)
    small, _ = project(points, resize(camera, 0.5, 0.25))
    scale = torch.tensor([0.5, 0.25], dtype=torch.float64)[:, None, None]
    assert torch.allclose(small, (pixels + 0.5) * scale - 0.5, atol=1e-12)
    cropped, _ = project(points, crop(camera, 3.0, 5.0))
    assert torch.allclose(cropped, pixels - torch.tensor([3.0, 5.0])[:, None, None], atol=1e-12)


@every_camera
def test_cameras_are_batched(camera, generator):
    points = torch.stack([some_points(generator), some_points(generator)])
    both = type(camera)(*(torch.stack([x, 0.9 * x]) for x in camera))
    pixels, _ = project(points, both)
    J, back = jacobians(points, both), rays(pixels, both)[0]
    for b in range(2):
        one = type(camera)(*(x[b] for x in both))
        assert torch.allclose(pixels[b], project(points[b], one)[0], atol=1e-12)
        assert torch.allclose(back[b], rays(pixels[b], one)[0], atol=1e-12)
        for whole, part in zip(J, jacobians(points[b], one), strict=True):
            assert torch.allclose(whole[b], part, atol=1e-12)
