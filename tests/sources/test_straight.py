"""Worlds filmed through a lens, straightened, beside the same worlds filmed by the pinhole."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from epipole.cli import main
from epipole.formats import kitti, opencv_yaml
from epipole.formats.calibration import Calibration, as_words, build, from_words
from epipole.formats.colmap_cameras import write_cameras
from epipole.geometry.brown_conrady import BrownConrady
from epipole.geometry.camera import pixel_grid, project
from epipole.geometry.fisheye import Fisheye
from epipole.geometry.lenses import Camera, Pinhole, rays
from epipole.geometry.unified import ExtendedUnified
from epipole.sources.folder import FolderFootage
from epipole.sources.footage import Footage, Frame
from epipole.sources.straight import Straight, inner_bounds, pinhole_for, seen_through
from epipole.sources.worlds import RoomWorld, Spec, write_world
from epipole.sources.worlds.camera import Camera as WorldCamera
from epipole.sources.worlds.render import cast, radiance
from epipole.sources.worlds.sensor import develop
from epipole.types.errors import InputError

BARREL = (-0.28, 0.09, 1e-3, -5e-4, 0.0)
SPEC = Spec(seed=3, frames=2, width=136, height=102, fov=80.0, distortion=BARREL)
W, H = 320, 240


def lens_of(spec: Spec) -> Calibration:
    K = spec.intrinsics()
    names = dict(zip(("k1", "k2", "p1", "p2", "k3"), spec.distortion, strict=True))
    return Calibration(build(BrownConrady, (K[0, 0], K[1, 1]), (K[0, 2], K[1, 2]), names, ""), spec.width, spec.height)


def camera(lens: type[Camera], focal: float, size: tuple[int, int] = (W, H), **coefficients: float) -> Calibration:
    centre = (0.49 * size[0], 0.51 * size[1])
    return Calibration(build(lens, (focal, 0.99 * focal), centre, coefficients, ""), *size)


LENSES = {
    "barrel": camera(BrownConrady, 200.0, k1=-0.25, k2=0.06, p1=2e-3),
    "cushion": camera(BrownConrady, 260.0, k1=0.2, k2=0.05),
    "fisheye": camera(Fisheye, 130.0, k1=-0.01, k2=0.002),
    "fisheye that sees behind": camera(Fisheye, 70.0),
    "unified": camera(ExtendedUnified, 160.0, alpha=0.6, beta=1.0),
}


class Ramp(Footage):
    """A single frame whose red and green say where a pixel is."""

    def __init__(self, lens: Calibration) -> None:
        super().__init__(Path("ramp"), lens.width, lens.height, None, 1)

    def count(self) -> int:
        return 1

    def sha256(self) -> str:
        return "ramp"

    def read(
        self, width: int | None = None, height: int | None = None, only: set[int] | None = None
    ) -> Iterator[Frame]:
        x, y = np.meshgrid((np.arange(self.width) + 0.5) / self.width, (np.arange(self.height) + 0.5) / self.height)
        image = cv2.resize(np.stack([255 * x, 255 * y, 0 * x], -1), self.size(width, height),
                           interpolation=cv2.INTER_AREA)
        yield Frame(0, 0.0, image.round().astype(np.uint8))


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    return write_world(SPEC, tmp_path_factory.mktemp("bent") / "room")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(float(((a.astype(float) - b) ** 2).mean()) / 255**2)


def rendered(K: np.ndarray, index: int) -> np.ndarray:
    """The same moment by a pinhole."""
    world = RoomWorld(replace(SPEC, distortion=(0.0,) * 5))
    eye = WorldCamera(K, world.poses[index].numpy(), SPEC.width, SPEC.height)
    view = cast(world.moment(index), eye)
    image = develop(world.spec, index, radiance(world.scene, world.moment(index), world.materials, eye, view))
    return 255 * image


def test_straightened_frames_are_what_a_pinhole_takes(room):
    bent = FolderFootage(room)
    straight = Straight(bent, lens_of(SPEC))
    assert (straight.width, straight.height, straight.count()) == (SPEC.width, SPEC.height, SPEC.frames)
    for frame, before in zip(straight.read(), bent.read(), strict=True):
        true = rendered(straight.K, frame.number)
        assert psnr(frame.image, true) > 27
        assert psnr(before.image, rendered(lens_of(SPEC).K, frame.number)) < 20    # the lens left as it is


@pytest.mark.parametrize("name", LENSES)
def test_every_pixel_shows_what_the_lens_sees_along_its_ray(name):
    lens = LENSES[name]
    straight = Straight(Ramp(lens), lens)
    image = next(straight.read()).image.astype(float)
    ray, _ = rays(pixel_grid(H, W, torch.zeros(1).double()), Pinhole(torch.from_numpy(straight.K)))
    plane, seen = lens.camera.bend(ray)
    fx, fy, cx, cy = (float(lens.camera.K[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x, y = plane[0] * fx + cx, plane[1] * fy + cy
    assert seen.all()
    assert min(x.min(), y.min()) > -0.5
    assert x.max() < W - 0.5
    assert y.max() < H - 0.5
    np.testing.assert_allclose(image[..., 0], 255 * (x + 0.5) / W, atol=1.1)
    np.testing.assert_allclose(image[..., 1], 255 * (y + 0.5) / H, atol=1.1)
    small = next(straight.read(W // 4, H // 3)).image.astype(float)
    np.testing.assert_allclose(small[..., 0], cv2.resize(image, (W // 4, H // 3), interpolation=cv2.INTER_AREA)[..., 0],
                               atol=1.6)


@pytest.mark.parametrize("name", ["barrel", "cushion"])
def test_as_much_is_kept_as_leaves_no_border(name):
    lens = LENSES[name]
    left, top, right, bottom = inner_bounds(lens)
    K = torch.from_numpy(pinhole_for(lens))
    corners = torch.tensor([[left, top, 1.0], [right, bottom, 1.0]], dtype=torch.float64).T[:, None]
    (x, y), _ = project(corners, K)
    assert min(float(x[0, 1] - x[0, 0]) - (W - 1), float(y[0, 1] - y[0, 0]) - (H - 1)) == pytest.approx(0, abs=1e-6)
    edge = torch.tensor([[left], [0.0], [1.0]], dtype=torch.float64)[:, None]
    plane, _ = lens.camera.bend(edge)
    touched = float(plane[0, 0, 0] * lens.camera.K[0, 0] + lens.camera.K[0, 2])
    assert touched == pytest.approx(0, abs=0.6 if name == "barrel" else 12)   # a cushion touches in its corners


def test_a_lens_that_does_not_bend_changes_nothing(room):
    bent = FolderFootage(room)
    K = np.array([[90.0, 0, 68], [0, 90, 51], [0, 0, 1]])
    footage, found = seen_through(bent, (90.0, 90.0, 68.0, 51.0))
    assert footage is bent
    np.testing.assert_array_equal(found, K)
    assert seen_through(bent, None) == (bent, None)


def test_calibrations_are_read_whoever_wrote_them(room, tmp_path):
    lens, bent = lens_of(SPEC), FolderFootage(room)
    opencv_yaml.write_calibration(tmp_path / "camera.yaml", lens)
    write_cameras(tmp_path / "cameras.txt", {1: lens})
    expected = Straight(bent, lens)
    for name in ("camera.yaml", "cameras.txt"):
        footage, K = seen_through(bent, tmp_path / name)
        np.testing.assert_allclose(K, expected.K)
        assert as_words(footage.lens) == pytest.approx(as_words(lens))
        np.testing.assert_array_equal(next(footage.read()).image, next(expected.read()).image)
    again = from_words(as_words(lens), "")
    assert as_words(again) == as_words(lens)


def test_a_calibration_of_the_same_picture_in_another_size_is_resized(room, tmp_path):
    lens = lens_of(SPEC)
    big = replace(SPEC, width=2 * SPEC.width, height=2 * SPEC.height)
    opencv_yaml.write_calibration(tmp_path / "big.yaml", lens_of(big))
    _, K = seen_through(FolderFootage(room), tmp_path / "big.yaml")
    np.testing.assert_allclose(K, pinhole_for(lens), rtol=2e-3)


REFUSED = {
    "of another shape": camera(BrownConrady, 200.0, (SPEC.width, SPEC.width), k1=-0.2),
    "folds the picture": camera(BrownConrady, 90.0, (SPEC.width, SPEC.height), k1=-0.9),
    "all but nothing of it is ahead": camera(Fisheye, 15.0, (SPEC.width, SPEC.height)),
}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("command", ["learn", "inspect"])
def test_wrong_calibrations_are_refused_in_a_sentence(room, tmp_path, capsys, why, command):
    opencv_yaml.write_calibration(tmp_path / "camera.yaml", REFUSED[why])
    more = ["-o", str(tmp_path / "run")] if command == "learn" else []
    assert main([command, str(room), "--intrinsics", str(tmp_path / "camera.yaml"), *more]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("epipole: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "content"), [
    ("camera.yaml", "image_width: 3"), ("camera.json", "{}"), ("cameras.txt", "1 THIN_PRISM 3 3 1 1 1 1"),
    ("two.txt", "1 PINHOLE 136 102 90 90 68 51\n2 PINHOLE 136 102 90 90 68 51"),
    ("unified.txt", "1 EUCM 136 102 90 90 68 51 0.6 1.0"), ("none.txt", None), ("bytes.txt", "\udcff\udcfe")])
def test_files_that_are_no_camera_are_refused(room, tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as said:
        seen_through(FolderFootage(room), tmp_path / name)
    assert "\n" not in str(said.value)


def test_inspect_looks_at_the_straightened_clip(room, tmp_path, capsys):
    opencv_yaml.write_calibration(tmp_path / "camera.yaml", lens_of(SPEC))
    kitti.write_intrinsics(tmp_path / "K.txt", lens_of(SPEC).K)
    assert main(["inspect", str(room), "--intrinsics", str(tmp_path / "camera.yaml")]) == 0
    assert "straightened as a pinhole of " in capsys.readouterr().out
    assert main(["inspect", str(room), "--intrinsics", str(tmp_path / "K.txt")]) == 0
    assert "straightened" not in capsys.readouterr().out
