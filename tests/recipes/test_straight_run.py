"""The main job on footage of a lens that bends: what is straight in its folder, and what belongs to the lens."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pycolmap
import pytest
import torch

import epipole
from epipole.formats import colmap, nerfstudio, opencv_yaml
from epipole.formats.calibration import Calibration, as_words
from epipole.formats.run import RunFiles
from epipole.geometry.camera import project, transform
from epipole.geometry.motion import se3_inverse
from epipole.recipes.find_scale import find_scale
from epipole.recipes.judge_run import straight
from epipole.recipes.reconstruction import observed
from epipole.recipes.scale_run import apply_scale
from epipole.recipes.slam import Model
from epipole.recipes.slam import _camera as camera_of
from epipole.sources.footage import Footage
from epipole.sources.plain import KnownDepth
from epipole.sources.straight import Straight, pinhole_for
from epipole.sources.worlds import RoomWorld, Spec, write_world
from epipole.sources.worlds.camera import Camera
from epipole.sources.worlds.render import cast as cast_rays
from epipole.sources.worlds.truth import view_truth
from epipole.types.errors import InputError
from epipole.types.known import Known
from tests.sources.test_straight import lens_of
from tests.viewer.synthetic_run import load_about, save_about, write_run

SPEC = Spec(seed=3, frames=40, width=96, height=72, speed=5.0, fov=75.0, distortion=(-0.22, 0.04, 0.0, 0.0, 0.0))


class Flat(Footage):
    """Footage that nobody reads."""

    def count(self) -> int:
        raise NotImplementedError

    sha256 = read = count  # type: ignore[assignment]


def of_the_run(folder: Path, K: np.ndarray, lens: Calibration | None) -> RunFiles:
    run = write_run(folder, 2)
    names = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "width": SPEC.width, "height": SPEC.height}
    camera = {name: float(value) for name, value in names.items()}
    save_about(run, load_about(run) | {"intrinsics": camera, "lens": None if lens is None else as_words(lens)})
    return RunFiles(run)


def test_true_depth_of_the_footage_is_judged_where_the_straightened_picture_has_it(tmp_path):
    lens, world = lens_of(SPEC), RoomWorld(SPEC)
    K = pinhole_for(lens)
    eye = Camera(K, world.poses[0].numpy(), SPEC.width, SPEC.height)
    view = cast_rays(world.moment(0), eye)
    flat = view_truth(world.scene, world.moment(0), eye, view, {"depth"})["depth"][0, 0].numpy()
    v, u = np.mgrid[:SPEC.height, :SPEC.width]
    bent = KnownDepth(np.stack([u.ravel(), v.ravel()], 1).astype(float), world[0].depth.numpy().ravel(),
                      SPEC.width, SPEC.height)

    def error(known: KnownDepth) -> float:
        x, y = np.rint(known.pixels).astype(int).T
        return float(np.median(np.abs(flat[y, x] / known.z - 1)))

    known = straight(of_the_run(tmp_path / "bent", K, lens), bent)
    assert 0.6 * len(bent.z) < len(known.z) < len(bent.z)
    assert error(known) < min(0.004, error(bent) / 3)
    assert straight(of_the_run(tmp_path / "flat", K, None), bent) is bent


def test_pixels_of_the_footage_are_found_in_the_straightened_picture(tmp_path):
    lens = lens_of(SPEC)
    K = pinhole_for(lens)
    run = of_the_run(tmp_path / "run", K, lens)
    pixels = np.array([[10.0, 12.0], [47.5, 35.5], [80.0, 60.0], [0.0, 0.0]])
    at, shown = run.straight_pixels(pixels)
    assert shown.tolist() == [True, True, True, False]
    flat = (at - K[:2, 2]) / K[[0, 1], [0, 1]]
    plane, _ = lens.camera.bend(torch.from_numpy(np.column_stack([flat, np.ones(4)]).T[:, None].copy()))
    back = plane[:, 0].T.numpy() * lens.K[[0, 1], [0, 1]] + lens.K[:2, 2]
    np.testing.assert_allclose(back[shown], pixels[shown], atol=1e-6)
    with pytest.raises(InputError, match="straightened picture ends"):
        find_scale(run, Known(distance=(0.0, 0.0, 0.0, 40.0, 30.0, 1.0)))
    same, shown = of_the_run(tmp_path / "flat", K, None).straight_pixels(pixels)
    np.testing.assert_array_equal(same, pixels)
    assert shown.all()


def test_slam_straightens_by_the_lens_of_the_run_or_by_a_file(tmp_path):
    lens = lens_of(SPEC)
    K = pinhole_for(lens)
    footage = Flat(Path("clip"), SPEC.width, SPEC.height, None, None)
    run = RunFiles(of_the_run(tmp_path / "run", K, lens).folder)
    learned = Model(cast(Any, None), (96, 64), run.intrinsics, run.image_size, run.lens)
    straight, found = camera_of(None, learned, footage)
    assert isinstance(straight, Straight)
    np.testing.assert_allclose(found, K)
    opencv_yaml.write_calibration(tmp_path / "camera.yaml", lens)
    straight, found = camera_of(tmp_path / "camera.yaml", Model(cast(Any, None)), footage)
    assert as_words(cast(Calibration, straight.lens)) == pytest.approx(as_words(lens))
    np.testing.assert_allclose(found, K)
    straight, found = camera_of(None, learned._replace(lens=None), footage)
    assert straight is footage
    with pytest.raises(InputError, match="nobody knows the camera"):
        camera_of(None, Model(cast(Any, None)), footage)


def test_tracks_of_the_map_are_in_pixels_of_the_lens(tmp_path):
    run = write_run(tmp_path / "run", 5)
    w, h = RunFiles(run).image_size
    lens = lens_of(replace(SPEC, width=w, height=h))
    save_about(run, load_about(run) | {"lens": as_words(lens)})
    files = RunFiles(run)
    depth, K = files.depth[0], torch.from_numpy(files.depth_intrinsics)
    y, x = depth.shape[0] // 3, depth.shape[1] // 3
    point = (float(depth[y, x]) * torch.linalg.solve(K, torch.tensor([x, y, 1.0]).double()))[None]
    seen = observed(files, point, cast(Calibration, files.lens))
    assert len(seen.image)
    for image, pixel in zip(seen.image, seen.pixel, strict=True):
        there = transform(se3_inverse(torch.from_numpy(files.path[image])), point.T[:, None])
        plane, _ = lens.camera.bend(there)
        expected = plane[:, 0, 0].numpy() * lens.K[[0, 1], [0, 1]] + lens.K[:2, 2]
        np.testing.assert_allclose(pixel, expected, atol=1e-4)


@pytest.mark.slow
def test_a_world_filmed_through_a_lens_is_learned(tmp_path):
    room = write_world(SPEC, tmp_path / "room")
    lens = lens_of(SPEC)
    opencv_yaml.write_calibration(tmp_path / "camera.yaml", lens)
    known: dict[str, Any] = {"steps": 30, "device": "cpu", "quiet": True, "truth": room}
    run = epipole.learn(room, tmp_path / "run", intrinsics=tmp_path / "camera.yaml", **known)
    scores = {score.name: score.value for score in run.scores}
    assert scores["ate_percent"] < 2
    assert scores["focal_error"] == pytest.approx(0, abs=1e-6)
    assert any("straightened" in sentence for sentence in run.about["found"])
    np.testing.assert_allclose(run.intrinsics, pinhole_for(lens))
    the_lens_is_in_the_exports(run.folder, lens)
    apply_scale(RunFiles(run.folder), 2.0, {"factor": 2.0, "spread_percent": 1.0, "frames": 9, "by": "eye"})
    the_lens_is_in_the_exports(run.folder, lens)
    depth_agrees_between_frames(RunFiles(run.folder))


def the_lens_is_in_the_exports(folder: Path, lens: Calibration) -> None:
    assert as_words(cast(Calibration, RunFiles(folder).lens)) == as_words(lens)
    assert as_words(colmap.read_model(folder / "colmap").calibration) == pytest.approx(as_words(lens))
    assert as_words(nerfstudio.read_transforms(folder / "transforms.json").calibration) == pytest.approx(as_words(lens))
    camera = pycolmap.Reconstruction(str(folder / "colmap")).cameras[1]
    assert camera.model.name == "OPENCV"
    pixel = camera.img_from_cam(np.array([[0.3, 0.2, 1.0]]))[0] - 0.5
    plane, _ = lens.camera.bend(torch.tensor([0.3, 0.2, 1.0], dtype=torch.float64)[:, None, None])
    np.testing.assert_allclose(pixel, plane[:, 0, 0].numpy() * lens.K[[0, 1], [0, 1]] + lens.K[:2, 2], atol=1e-6)


def depth_agrees_between_frames(run: RunFiles) -> None:
    """Path and depth fit each other through the pinhole of the run: points of one frame lie at another's depth."""
    K, path = torch.from_numpy(run.depth_intrinsics), torch.from_numpy(run.path.copy())
    a, b = run.about["key_frames"][3], run.about["key_frames"][4]
    z = torch.from_numpy(run.depth[a]).double()[None]
    grid = torch.stack([*torch.meshgrid(torch.arange(z.shape[1]), torch.arange(z.shape[2]), indexing="ij")])[[1, 0]]
    rays = torch.linalg.solve(K, torch.cat([grid.double(), torch.ones_like(z)]).reshape(3, -1)).reshape(3, *z.shape[1:])
    there = transform(se3_inverse(path[b]) @ path[a], z * rays)
    (x, y), _ = project(there, K)
    inside = (x >= 0) & (y >= 0) & (x < z.shape[2] - 1) & (y < z.shape[1] - 1)
    found = torch.from_numpy(run.depth[b]).double()[y[inside].round().long(), x[inside].round().long()]
    assert float((found / there[2][inside] - 1).abs().median()) < 0.05
