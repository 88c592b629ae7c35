"""A run in metres: every file tells the same scale, once and again, whole or not at all."""

import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import trimesh
import yaml

from epipole.formats import colmap, kitti, mesh, nerfstudio, ply, png16, tum
from epipole.formats.calibration import pinhole
from epipole.formats.run import DOUBTFUL_METRES, SCALING, WITHOUT_METRES, RunFiles, lengths_text
from epipole.pipelines.scale import Scale
from epipole.recipes import scale_run as program
from epipole.recipes.find_scale import find_scale
from epipole.recipes.reconstruction import write_colmap
from epipole.recipes.scale_run import apply_scale, finish_interrupted, give_metres, scale_run
from epipole.sources.worlds.clip_truths import write_imu
from epipole.sources.worlds.spec import Spec
from epipole.sources.worlds.world import World
from epipole.types.errors import InputError
from epipole.types.known import Known
from tests.runs import FRAMES, HEIGHT, WIDTH, K, true_depth, true_path, write_run

UNIT = 0.25
POINTS = np.array([[0.0, 0, 1], [1, 2, 3], [-1, 0.5, 2]], np.float32)


@pytest.fixture
def run(tmp_path) -> Path:
    """A run with every file that has a unit."""
    folder = write_run(tmp_path / "run", UNIT, depth={"png_scale": 8000.0, "typical": 1.0, "model_factor": 2.0})
    path = RunFiles(folder).path
    (folder / "depth").mkdir()
    for i in range(FRAMES):
        png16.write(folder / "depth" / f"{i:06d}.png", UNIT * true_depth(i), 8000.0)
    names, white = [f"{i:06d}.jpg" for i in range(FRAMES)], np.full((3, 3), 255, np.uint8)
    seen = colmap.Observations(np.array([0, 1, 5]), np.array([0, 0, 2]), np.ones((3, 2), np.float32))
    model = colmap.Model(pinhole(K, WIDTH, HEIGHT), names, path, UNIT * POINTS.astype(float), white, seen)
    write_colmap(folder / "colmap", model, "lengths: of old")
    nerfstudio.write_transforms(folder / "transforms.json", pinhole(K, WIDTH, HEIGHT), names, path, "cloud.ply")
    ply.write(folder / "cloud.ply", UNIT * POINTS, white)
    for write, name in ((mesh.write_ply, "mesh.ply"), (mesh.write_glb, "mesh.glb")):
        write(folder / name, UNIT * POINTS, np.array([[0, 1, 2]]), white)
    kitti.write_poses(folder.parent / "gps.txt", true_path())
    return folder


def check_metres(folder: Path) -> None:
    """Every file tells the truth, in m."""
    files, path = RunFiles(folder), true_path()
    for i in (0, 7):
        depth, known = png16.read(folder / "depth" / f"{i:06d}.png")
        assert known.all()
        np.testing.assert_allclose(depth, true_depth(i), rtol=2e-3)
        np.testing.assert_allclose(files.depth[i], true_depth(i), rtol=2e-3)
    check_words(folder)
    model, transforms = colmap.read_model(folder / "colmap"), nerfstudio.read_transforms(folder / "transforms.json")
    for poses in (files.path, tum.read(folder / "path_tum.txt")[1], model.T_world_camera, transforms.T_world_camera):
        np.testing.assert_allclose(poses, path, atol=1e-4)
    np.testing.assert_allclose(files.timestamps, np.arange(FRAMES) / 30)
    for points in (model.points, ply.read(folder / "cloud.ply")[0], mesh.read_ply(folder / "mesh.ply")[0],
                   trimesh.load_mesh(folder / "mesh.glb", process=False).vertices * [1, -1, -1]):
        np.testing.assert_allclose(points, POINTS, atol=1e-4)
    theirs = pycolmap.Reconstruction(folder / "colmap")  # reads the binary
    np.testing.assert_allclose([theirs.points3D[i].xyz for i in (1, 2, 3)], POINTS, atol=1e-4)
    np.testing.assert_allclose(theirs.images[6].cam_from_world().matrix(), np.linalg.inv(path[5])[:3], atol=1e-4)
    assert [[(e.image_id, e.point2D_idx) for e in theirs.points3D[i].track.elements] for i in (1, 2, 3)] == [
        [(1, 0), (2, 0)], [], [(6, 0)]]
    about = files.about
    assert about["scale"] == "metres"
    assert about["scaling"]["factor"] == pytest.approx(1 / UNIT, rel=1e-3)
    assert about["depth"]["png_scale"] == pytest.approx(8000 * UNIT, rel=1e-3)
    assert about["depth"]["typical"] == pytest.approx(1 / UNIT, rel=1e-3)
    assert about["depth"]["model_factor"] == pytest.approx(2 / UNIT, rel=1e-3)
    assert not (folder / SCALING).exists()


def check_words(folder: Path) -> None:
    """Every file with room for words says what its lengths are now, and nothing else."""
    words = lengths_text(RunFiles(folder).about)
    assert words.startswith("lengths: metres; ")
    for name in ("path_tum.txt", "colmap/cameras.txt", "colmap/images.txt", "colmap/points3D.txt", "transforms.json",
                 "cloud.ply", "mesh.ply", "mesh.glb"):
        data = (folder / name).read_bytes()
        assert (data.count(b"lengths: "), data.count(words.encode())) == (1, 1), name


def test_every_file_is_in_metres_and_again_replaces(run):
    found = scale_run(run, Known(poses=run.parent / "gps.txt"))
    assert found.factor == pytest.approx(1 / UNIT, rel=1e-6)
    assert found.spread_percent < 0.1
    check_metres(run)
    assert scale_run(run, Known(poses=run.parent / "gps.txt")).factor == pytest.approx(1 / UNIT, rel=1e-6)
    check_metres(run)
    twice = true_path()
    twice[:, :3, 3] *= 2
    kitti.write_poses(run.parent / "gps.txt", twice)
    assert scale_run(run, Known(poses=run.parent / "gps.txt")).factor == pytest.approx(2 / UNIT, rel=1e-6)
    np.testing.assert_allclose(RunFiles(run).path, twice, atol=1e-6)
    check_words(run)


def test_a_measured_distance(run):
    """Pixels (10, 30) and (50, 30) of frame 0, whose floor there is z m deep."""
    z = float(true_depth(0)[30, 10])
    found = scale_run(run, Known(distance=(0.0, 10.0, 30.0, 50.0, 30.0, z * 40 / 50)))
    assert found.factor == pytest.approx(1 / UNIT, rel=2e-2)
    with pytest.raises(InputError):
        scale_run(run, Known(distance=(float(FRAMES), 10.0, 30.0, 50.0, 30.0, 1.0)))
    with pytest.raises(InputError):
        scale_run(run, Known(distance=(0.0, 10.0, 30.0, 500.0, 30.0, 1.0)))


def test_speed_needs_times(run):
    speed = np.linalg.norm(np.diff(true_path()[:, :3, 3], axis=0), axis=1)
    np.savetxt(run.parent / "speed.txt", np.c_[np.arange(FRAMES) - 0.5, [speed[0], *speed]])
    found = scale_run(run, Known(speed=run.parent / "speed.txt", fps=1.0))
    assert found.factor == pytest.approx(1 / UNIT, rel=0.1)
    about = yaml.safe_load((run / "run.yaml").read_text())
    (run / "run.yaml").write_text(yaml.safe_dump(about | {"footage": {"fps": None}}))
    with pytest.raises(InputError, match="--fps"):
        scale_run(run, Known(speed=1.0))


def test_fixes_of_a_receiver(run):
    metres = 100 * true_path()[:, [0, 2], 3]
    fix = np.c_[np.arange(FRAMES), 47.37 + metres[:, 1] / 111_182, 8.54 + metres[:, 0] / 75_500, np.full(FRAMES, 400)]
    np.savetxt(run.parent / "fixes.txt", fix, fmt="%.12g")
    found = scale_run(run, Known(gps=run.parent / "fixes.txt"))
    assert found.factor == pytest.approx(100 / UNIT, rel=5e-3)
    assert "GPS" in RunFiles(run).about["scaling"]["by"]


def test_readings_of_an_imu(tmp_path):
    """As a world writes them, beside its exact path."""
    world = World(Spec("room", difficulty=0, frames=360, width=16, height=16), {"image"})
    path = world.poses.numpy().copy()
    path[:, :3, 3] *= UNIT
    folder = write_run(tmp_path / "run", UNIT)
    tum.write(folder / "path_tum.txt", np.arange(360) / 30, path)
    kitti.write_poses(folder / "path_kitti.txt", path)
    write_imu(world, tmp_path)
    found = find_scale(RunFiles(folder), Known(imu=tmp_path / "imu.csv"))
    assert found.factor == pytest.approx(1 / UNIT, rel=0.01)
    assert found.spread_percent < 2


def test_what_is_impossible_leaves_the_folder_as_it_was(run, monkeypatch):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    np.savetxt(run.parent / "elsewhere.txt", np.random.default_rng(0).normal(size=(FRAMES, 3)))
    for known in (Known(poses=run.parent / "elsewhere.txt"), Known(poses=run.parent / "none.txt")):
        with pytest.raises(InputError):
            scale_run(run, known)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(program.WRITERS, "cloud.ply", full)
    with pytest.raises(InputError, match="full"):
        scale_run(run, Known(poses=run.parent / "gps.txt"))
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    with pytest.raises(TypeError):
        scale_run(run, Known())


def test_what_is_interrupted_between_files_is_refused_and_finished(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(program, "finish_interrupted", lambda folder: None)
        apply_scale(RunFiles(run), 1 / UNIT, {"factor": 1 / UNIT, "spread_percent": 1.0, "frames": 9, "by": "eye"})
    (run / SCALING / "cloud.ply").replace(run / "cloud.ply")
    with pytest.raises(InputError, match="interrupted"):
        RunFiles(run)
    finish_interrupted(run)
    check_metres(run)


def test_an_unfinished_run_has_no_scale_yet(run):
    about = yaml.safe_load((run / "run.yaml").read_text())
    (run / "run.yaml").write_text(json.dumps(about | {"finished": False}))
    with pytest.raises(InputError, match="not finished"):
        scale_run(run, Known(height=1.0))


def test_metres_asked_for_before_learning_are_found_or_it_is_said_why_not(run):
    """Also while the run is not finished: it is only then that learning asks."""
    about = yaml.safe_load((run / "run.yaml").read_text())
    (run / "run.yaml").write_text(yaml.safe_dump(about | {"finished": False, "warnings": ["drift"]}))
    np.savetxt(run.parent / "elsewhere.txt", np.random.default_rng(0).normal(size=(FRAMES, 3)))
    elsewhere = Known(poses=run.parent / "elsewhere.txt")
    for _ in range(2):
        said = give_metres(run, elsewhere)
        assert said["scale"] == "unknown"
        assert "scaling" not in said
        assert said["arguments"]["scale"] == f"poses={run.parent / 'elsewhere.txt'}"
        assert said["warnings"][0] == "drift"
        assert said["warnings"][1].startswith(f"{WITHOUT_METRES}: ")
        assert len(said["warnings"]) == 2
    said = give_metres(run, Known(poses=run.parent / "gps.txt"))
    assert said["warnings"] == ["drift"]
    assert said["finished"] is False
    check_metres(run)


def test_metres_found_later_take_the_warning_back(run):
    np.savetxt(run.parent / "elsewhere.txt", np.random.default_rng(0).normal(size=(FRAMES, 3)))
    assert give_metres(run, Known(poses=run.parent / "elsewhere.txt"))["warnings"]
    scale_run(run, Known(poses=run.parent / "gps.txt"))
    assert RunFiles(run).about["warnings"] == []


def test_a_doubt_is_told_everywhere_until_another_scale_is_found(run, monkeypatch):
    why = "only 4 of 9 frames show the ground"
    with monkeypatch.context() as patch:
        patch.setattr(program, "find_scale", lambda *_: Scale(2.0, 3.0, 4, "height", why))
        scale_run(run, Known(height=1.65))
    about = RunFiles(run).about
    assert about["warnings"] == [f"{DOUBTFUL_METRES}: {why}"]
    assert about["scaling"]["doubt"] == why
    assert why in lengths_text(about)
    check_words(run)
    np.savetxt(run.parent / "elsewhere.txt", np.random.default_rng(0).normal(size=(FRAMES, 3)))
    said = give_metres(run, Known(poses=run.parent / "elsewhere.txt"))["warnings"]
    assert [line.partition(": ")[0] for line in said] == [DOUBTFUL_METRES, WITHOUT_METRES]
    scale_run(run, Known(poses=run.parent / "gps.txt"))
    assert RunFiles(run).about["warnings"] == []
    check_metres(run)


def test_scaling_to_and_fro_rounds_and_no_more(run):
    """Each time depth.npz is rounded to 11 bits; PNGs only change the number in their text."""
    before = RunFiles(run).depth[3]
    picture = png16.read(run / "depth" / "000003.png")[0]
    for factor in (3.7, 1 / 3.7) * 5:
        apply_scale(RunFiles(run), factor, {"factor": 1.0, "spread_percent": 0.0, "frames": 9, "by": "eye"})
    np.testing.assert_allclose(RunFiles(run).depth[3], before, rtol=10 / 2048)
    np.testing.assert_allclose(png16.read(run / "depth" / "000003.png")[0], picture, rtol=1e-6)
