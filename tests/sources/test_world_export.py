"""Further truth as files, read back by their formats."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from epipole.formats import flo, png16
from epipole.sources.worlds import FIELDS, TRUTHS, Spec, World, is_written, write_world
from epipole.sources.worlds.focus import focus_stack
from epipole.sources.worlds.imu import measure
from epipole.sources.worlds.render import cast
from epipole.types.errors import InputError

SPEC = Spec("flying", seed=1, frames=3, width=48, height=36)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SPEC, FIELDS - {"imu"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(SPEC, tmp_path_factory.mktemp("world") / "flying", truth=tuple(TRUTHS))


def levels(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image[..., ::-1] if image.ndim == 3 else image


def test_labels_are_the_worlds(folder: Path, world: World) -> None:
    view = world[1]
    np.testing.assert_array_equal(levels(folder / "semantic" / "000001.png"), view.semantic[0, 0])
    np.testing.assert_array_equal(levels(folder / "instance" / "000001.png"), view.instance[0, 0] + 1)
    assert (folder / "classes.txt").read_text().split() == list(world.scene.classes)


def test_normals_are_the_worlds(folder: Path, world: World) -> None:
    value = levels(folder / "normals" / "000002.png")
    assert value.dtype == np.uint16
    np.testing.assert_allclose(value / 32767.5 - 1, world[2].normals[0].permute(1, 2, 0), atol=2e-5)


@pytest.mark.parametrize(("kind", "mask", "i", "j"), [
    ("flow", "occlusion", 0, 1), ("flow", "occlusion", 1, 2), ("backward_flow", "backward_occlusion", 2, 1)])
def test_flow_leads_to_the_neighbour(folder: Path, world: World, kind: str, mask: str, i: int, j: int) -> None:
    flow, known = flo.read(folder / kind / f"{i:06d}.flo")
    pair = world.clip([i, j])
    assert known.all()
    np.testing.assert_array_equal(flow, pair.flow[0])
    fate = levels(folder / mask / f"{i:06d}.png")
    np.testing.assert_array_equal(fate == 0, pair.flow_valid[0, 0])
    np.testing.assert_array_equal(fate == 255, pair.occlusion[0, 0])
    assert set(np.unique(fate)) <= {0, 128, 255}


def test_a_clips_ends_have_no_neighbour(folder: Path) -> None:
    assert [f.name for f in sorted((folder / "flow").iterdir())] == ["000000.flo", "000001.flo"]
    assert [f.name for f in sorted((folder / "backward_flow").iterdir())] == ["000001.flo", "000002.flo"]


def test_disparity_comes_with_the_image_that_it_leads_to(folder: Path, world: World) -> None:
    pair = world.stereo(1)
    value, known = png16.read(folder / "disparity" / "000001.png")
    assert known.all()
    np.testing.assert_allclose(value, pair.disparity[0, 0], atol=0.51 / 256)
    np.testing.assert_allclose(levels(folder / "right" / "000001.png") / 255, pair.image[1].permute(1, 2, 0),
                               atol=0.51 / 255)
    assert float((folder / "baseline.txt").read_text()) == SPEC.baseline


def test_focal_stacks_are_those_of_the_lens(folder: Path, world: World) -> None:
    distances = np.loadtxt(folder / "focus.txt")
    assert len(distances) == 10
    assert (np.diff(distances) > 0).all()
    stack = focus_stack(world, 2, distances)
    for k in (0, 9):
        np.testing.assert_allclose(levels(folder / "focus" / str(k) / "000002.png") / 255,
                                   stack[k].permute(1, 2, 0), atol=0.51 / 255)


def test_the_scene_is_told_in_voxels_distances_and_points(folder: Path, world: World) -> None:
    """What the first view sees within the box is full, of its class, and at distance 0; so are surface points."""
    tables = np.load(folder / "scene.npz")
    assert tables["labels"].shape == (144, 240, 240)
    assert tables["labels_coarse"].shape == tables["tsdf"].shape == (36, 60, 60)
    assert tables["points"].shape == tables["normals"].shape == (16384, 3)
    assert tables["occupancy"].shape == (32, 32, 32)
    view = cast(world.moment(0), world.camera(0))
    points = view.origin + view.hits.t[:, None] * view.directions
    kinds = world.scene.kind[world.scene.instance[view.hits.face]]
    own = (points - tables["T_world_grid"][:3, 3]) @ tables["T_world_grid"][:3, :3]
    deeper = own + 0.015 * (view.directions / np.linalg.norm(view.directions, axis=1)[:, None]
                            @ tables["T_world_grid"][:3, :3])
    for size, name in ((0.02, "labels"), (0.08, "tsdf")):
        cell = np.floor(deeper / size).astype(int)
        inside = ((cell >= 0) & (cell < tables[name].shape[::-1])).all(1)
        assert inside.sum() > 100
        value = tables[name][tuple(cell[inside, ::-1].T)]
        if name == "labels":
            assert (value == kinds[inside]).mean() > 0.8
        else:
            assert np.quantile(np.abs(value), 0.9) < 0.17
            assert np.median(np.abs(value)) < 0.09
    cube = (tables["points"] - tables["T_world_cube"][:3, 3]) / tables["cube_size"] * 32
    i, j, k = np.clip(np.floor(cube - 1e-3 * tables["normals"]), 0, 31).astype(int).T
    assert tables["occupancy"][k, j, i].mean() > 0.5


def test_inertial_readings_come_with_the_biases_in_them(folder: Path, world: World) -> None:
    with (folder / "imu.csv").open() as file:
        names = file.readline().strip().split(",")
        rows = np.loadtxt(file, delimiter=",")
    assert names[:2] == ["time", "gyro_x"]
    assert rows.shape[1] == len(names) == 13
    np.testing.assert_allclose(np.diff(rows[:, 0]), 1 / 200, atol=1e-9)
    exact = measure(world.spec, world.path)
    T = np.loadtxt(folder / "T_camera_imu.txt")
    error = rows[:, 1:4] - rows[:, 7:10] - exact.gyro @ T[:3, :3]
    assert 1e-4 < error.std() < 1e-2
    assert np.linalg.norm(T[:3, 3]) <= 0.1


def test_a_folder_is_finished_only_with_what_was_asked_for(tmp_path: Path, folder: Path) -> None:
    assert is_written(SPEC, folder, tuple(TRUTHS))
    assert not is_written(SPEC, tmp_path)
    plain = write_world(Spec(frames=1, width=16, height=16), tmp_path / "room")
    assert is_written(Spec(frames=1, width=16, height=16), plain)
    assert not is_written(Spec(frames=1, width=16, height=16), plain, ("normals",))
    assert not is_written(Spec(frames=2, width=16, height=16), plain)


def test_an_unknown_truth_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no truth 'smell'.*normals, semantic"):
        write_world(SPEC, tmp_path / "world", truth=("flow", "smell"))
    assert not (tmp_path / "world").exists()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["flying", "chairs"])
def test_one_and_two_workers_write_the_same_bytes(tmp_path: Path, family: str) -> None:
    spec = Spec(family, seed=5, frames=4, width=32, height=24)
    one, two = (write_world(spec, tmp_path / str(n), workers=n, truth=tuple(TRUTHS)) for n in (1, 2))
    files = sorted(f.relative_to(one) for f in one.rglob("*") if f.is_file())
    assert len(files) == 7 * 4 + 4 * 3 + 6 + 10 * 4 + 4
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file
