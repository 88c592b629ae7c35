import errno
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
import torch
import yaml

from epipole.engine.checkpoint import read_tensors
from epipole.formats import colmap, kitti, nerfstudio, ply, png16, tum
from epipole.formats.run import RunFiles
from epipole.geometry.anchors import Scene
from epipole.judges.motion import ate, path_length
from epipole.recipes.description import plain
from epipole.recipes.judge_run import judge_run
from epipole.recipes.learn_video import export
from epipole.recipes.learn_video.agree import JoinedDepth
from epipole.recipes.learn_video.describe import Intrinsics, Result
from epipole.recipes.learn_video.everyframe import place_every_frame
from epipole.recipes.learn_video.export import enlarged, from_first_camera, png_size, previewed, write_outputs
from epipole.recipes.learn_video.predict import Predictor
from epipole.recipes.learn_video.solve import Solution
from epipole.sources.findings import Span
from epipole.sources.folder import FolderFootage
from epipole.systems.depth.sfmlearner import Config
from epipole.types.errors import InputError
from tests.recipes.learned_room import KEYS, METRES, SIZE, Room

FRAMES = 24
ELSEWHERE = np.array([[0.0, -1, 0, 5], [1, 0, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1]])  # a world that is no camera's


@pytest.fixture(scope="module")
def result(room: Room) -> Result:
    placed = place_every_frame(room.footage, room.look, room.keys, ELSEWHERE @ room.path[KEYS],
                               Predictor(room.system).of_key_frames(room.keys), room.K_network)
    return Result(
        placed.T_world_camera, Intrinsics(room.K, "given", "Intrinsics were given.", np.float64(0.0)), room.system,
        "sfmlearner", Config(), {"clip": Path("room"), "minutes": 1.0, "seed": 0},
        skipped=[Span(4, 5, "nothing was found")], warnings=["a warning"], phases=[{"name": "look", "seconds": 1.5}],
        scores=[{"name": "s", "value": np.float32(0.5)}], healthy={"photometric": (0.0, 0.2)},
    )


def moved(k: int) -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[:, : 5 * k] = True
    return mask


@pytest.fixture(scope="module")
def joined(room: Room, tmp_path_factory) -> JoinedDepth:
    T = torch.from_numpy(np.linalg.inv(ELSEWHERE @ room.path[KEYS])).float()
    scene = Scene(T, torch.ones(len(KEYS), 1), torch.from_numpy(room.K_network).float())
    path = Solution(scene, torch.zeros(1, 2), [], 0.0, 0.0)
    folder = tmp_path_factory.mktemp("joined") / "joined"
    return JoinedDepth.build(folder, room.keys, path, room.look, [], Predictor(room.system).of_key_frames(room.keys))


def write(out: Path, room: Room, joined: JoinedDepth, result: Result, **changes):
    arguments = {"footage": room.footage, "look": room.look, "joined": joined, "moved": moved, "result": result}
    arguments |= changes
    return write_outputs(out, **arguments)


@pytest.fixture(scope="module")
def run(room: Room, joined: JoinedDepth, result: Result, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "run"
    write(folder, room, joined, result)
    return folder


def test_the_folder_holds_what_the_contract_names_and_nothing_else(run):
    files = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    numbers = [f"{i:06d}" for i in range(FRAMES)]
    assert files == {
        "run.yaml", "depth.npz", "log_variance.npz", "mask.npz", "path_tum.txt", "path_kitti.txt", "transforms.json",
        "cloud.ply", "model.safetensors",
        *(f"colmap/{name}.{kind}" for name in ("cameras", "images", "points3D") for kind in ("txt", "bin")),
        *(f"depth/{n}.png" for n in numbers), *(f"work/preview/{n}.jpg" for n in numbers),
    }


def test_the_judge_finds_the_truth(run, room):
    scores = {s.name: s.value for s in judge_run(run, room.folder)}
    assert scores["abs_rel"] < 0.025  # the network here is perfect; evening costs a little
    assert scores["delta_1"] > 0.98
    assert scores["ate_percent"] < 0.5
    assert scores["focal_error"] < 1e-6


def test_the_world_is_the_first_camera_and_typical_depth_is_one(run, room, joined):
    files = RunFiles(run)
    np.testing.assert_array_equal(files.path[0], np.eye(4))
    assert np.median([np.median(files.depth[k]) for k in KEYS]) == pytest.approx(1, abs=2e-3)
    assert files.about["depth"]["typical"] == pytest.approx(1)
    assert files.about["scale"] == "unknown"
    factor = files.about["depth"]["model_factor"]
    np.testing.assert_allclose(files.depth[KEYS[2]], factor * joined(2).depth, rtol=1e-3)
    assert np.median(np.abs(files.depth[7] / (factor * room.system.depth[7].numpy()) - 1)) < 5e-3
    truth = scaled(room.path, factor)
    assert ate(files.path, truth, "none") < 0.005 * path_length(truth)


def scaled(path: np.ndarray, factor: float) -> np.ndarray:
    path = path.copy()
    path[:, :3, 3] *= factor
    return path


def test_metric_results_keep_their_unit(room, joined, result, tmp_path):
    write(tmp_path / "run", room, joined, replace(result, metric=True))
    files = RunFiles(tmp_path / "run")
    assert files.about["scale"] == "metres"
    assert np.median(np.abs(files.depth[3] / room.system.depth[3].numpy() - 1)) < 5e-3
    assert ate(files.path, room.path, "none") < 0.005 * path_length(room.path)
    depth, known = png16.read(tmp_path / "run" / "depth" / "000003.png")
    assert np.median(depth[known]) == pytest.approx(float(room.system.depth[3].median()), rel=0.02)


def test_pngs_have_the_size_of_the_footage_and_say_their_scale(run, room):
    depth, known = png16.read(run / "depth" / "000012.png")
    true = room.world[12].depth[0, 0].numpy() / METRES * RunFiles(run).about["depth"]["model_factor"]
    assert depth.shape == true.shape
    assert known.all()
    assert np.median(np.abs(depth / true - 1)) < 0.005


def test_poses_read_back_equal_in_every_format(run, room):
    path = RunFiles(run).path
    times, from_tum = tum.read(run / "path_tum.txt")
    model, transforms = colmap.read_model(run / "colmap"), nerfstudio.read_transforms(run / "transforms.json")
    np.testing.assert_array_equal(times, np.arange(FRAMES))
    np.testing.assert_allclose(kitti.read_poses(run / "path_kitti.txt"), path, atol=1e-9)
    for poses in (from_tum, model.T_world_camera, transforms.T_world_camera):
        np.testing.assert_allclose(poses, path, atol=1e-9)
    for K in (model.calibration.K, transforms.calibration.K):
        np.testing.assert_allclose(K, room.K)
    assert model.names == [f"{i:06d}.jpg" for i in range(FRAMES)]
    assert all((run / name).resolve() == file.resolve()
               for name, file in zip(transforms.names, room.footage.files, strict=True))


def test_the_cloud_lies_where_the_first_camera_sees_it(run, room):
    points, colours = ply.read(run / "cloud.ply")
    assert len(points) == len(colours) > 4000
    factor = RunFiles(run).about["depth"]["model_factor"]
    pixels = points[:, :2] / points[:, 2:] * room.K_network[[0, 1], [0, 1]] + room.K_network[:2, 2]
    u, v = np.round(pixels).astype(int).T
    seen = (u >= 0) & (u < SIZE[0]) & (v >= 0) & (v < SIZE[1]) & (points[:, 2] > 0)
    ratio = points[seen, 2] / (factor * room.system.depth[0].numpy()[v[seen], u[seen]])
    visible = np.abs(ratio - 1) < 0.1
    assert visible.mean() > 0.7
    assert np.percentile(np.abs(ratio[visible] - 1), 90) < 0.025
    assert len(colmap.read_model(run / "colmap").points) > 0.95 * len(points)


def test_pycolmap_finds_one_model_in_text_and_binary_whose_points_have_tracks(run, room, tmp_path):
    theirs = []
    for kind in ("txt", "bin"):
        (tmp_path / kind).mkdir()
        for file in (run / "colmap").glob(f"*.{kind}"):
            shutil.copy(file, tmp_path / kind)
        theirs.append(pycolmap.Reconstruction(tmp_path / kind))
    text, binary = theirs
    assert text.cameras[1].params.tolist() == binary.cameras[1].params.tolist()
    assert len(text.images) == len(binary.images) == FRAMES
    assert len(text.points3D) == len(binary.points3D) > 4000
    for i, image in text.images.items():
        other = binary.images[i]
        assert image.name == other.name
        np.testing.assert_allclose(image.cam_from_world().matrix(), other.cam_from_world().matrix(), atol=1e-12)
        assert [p.point3D_id for p in image.points2D] == [p.point3D_id for p in other.points2D]
        np.testing.assert_allclose([p.xy for p in image.points2D], [p.xy for p in other.points2D], atol=1e-6)
    for p, point in text.points3D.items():
        other, track = binary.points3D[p], [(e.image_id, e.point2D_idx) for e in point.track.elements]
        np.testing.assert_allclose(point.xyz, other.xyz, rtol=1e-8)
        assert point.color.tolist() == other.color.tolist()
        assert track == [(e.image_id, e.point2D_idx) for e in other.track.elements]
        assert 2 <= len({i for i, _ in track}) <= len(KEYS)
    binary.update_point_3d_errors()
    assert binary.compute_mean_reprojection_error() < 0.01
    assert {i for p in text.points3D.values() for i in (e.image_id for e in p.track.elements)} == {k + 1 for k in KEYS}


def test_every_file_with_room_for_words_says_what_its_lengths_are(run):
    for name in ("path_tum.txt", "colmap/cameras.txt", "colmap/images.txt", "colmap/points3D.txt", "transforms.json",
                 "cloud.ply"):
        assert (run / name).read_bytes().count(b"lengths: up to one unknown factor") == 1, name


def test_uncertainty_is_what_network_and_flow_say_together(run, room, joined):
    files = RunFiles(run)
    np.testing.assert_allclose(files.log_variance[KEYS[2]], joined(2).log_variance, atol=5e-3)
    assert np.median(files.log_variance[7]) < -1  # the network says -4, and the key frames around agree


def test_what_moved_is_not_in_the_cloud(room, joined, result, tmp_path):
    """All of the picture but its right end moves, in every key frame."""
    mask = np.ones((SIZE[1], SIZE[0]), bool)
    mask[:, 3 * SIZE[0] // 4 :] = False
    write(tmp_path / "run", room, joined, result, moved=lambda _: mask)
    points, _ = ply.read(tmp_path / "run" / "cloud.ply")
    path = RunFiles(tmp_path / "run").path[KEYS]
    seen = (points - path[:, None, :3, 3]) @ path[:, :3, :3]
    u = seen[..., 0] / seen[..., 2] * room.K_network[0, 0] + room.K_network[0, 2]
    right = (seen[..., 2] > 0) & (u > 3 * SIZE[0] // 4 - 2)
    assert len(points) > 500
    assert right.any(0).mean() > 0.99


def test_masks_model_and_previews(run, room):
    masks = np.load(run / "mask.npz")
    assert masks.files == [f"{k:06d}" for k in KEYS]
    np.testing.assert_array_equal(masks["000010"], moved(2))
    tensors, metadata = read_tensors(run / "model.safetensors")
    np.testing.assert_array_equal(tensors["depth"].numpy(), room.system.depth.numpy())
    assert metadata["system"] == "sfmlearner"
    preview = cv2.imread(str(run / "work" / "preview" / "000005.jpg"))
    assert preview.shape == (240, 320, 3)
    original = cv2.resize(cv2.imread(str(room.footage.files[5])), (320, 240))
    assert np.abs(preview.astype(float) - original).mean() < 12


def test_previews_are_of_key_frames_where_one_is_near():
    keys = np.arange(0, 1000, 7)
    shown = previewed(1000, keys)
    assert len(shown) <= 150
    assert np.isin(shown, keys).mean() > 0.9
    assert np.diff(shown).max() < 20
    np.testing.assert_array_equal(previewed(40, keys[:6]), np.arange(40))
    np.testing.assert_array_equal(previewed(1000)[[0, 1, -1]], [0, 7, 999])
    few = previewed(1000, np.array([500]))
    assert len(few) == 150
    assert 500 in few


def test_run_yaml_says_what_was_given(run, room):
    about = yaml.safe_load((run / "run.yaml").read_text())
    assert about["finished"] is False  # whoever asked for the files has the last word
    assert about["arguments"] == {"clip": "room", "minutes": 1.0, "seed": 0}
    assert about["footage"] == {"name": "room", "sha256": room.footage.sha256(), "frames": FRAMES, "width": 192,
                                "height": 144, "fps": None}
    assert about["intrinsics"]["fx"] == pytest.approx(room.K[0, 0])
    assert about["skipped"] == [{"first": 4, "last": 5, "why": "nothing was found"}]
    assert about["key_frames"] == KEYS
    assert about["healthy"] == {"photometric": [0.0, 0.2]}
    assert (about["depth"]["width"], about["depth"]["height"]) == SIZE
    assert about["left_out"]["moved"] == pytest.approx(100 * np.mean([moved(k) for k in range(len(KEYS))]), abs=0.06)
    assert 0 < sum(about["left_out"].values()) < 100


def test_the_same_twice(run, room, joined, result, tmp_path):
    write(tmp_path / "run", room, joined, result)
    for name in ("depth.npz", "log_variance.npz", "mask.npz", "path_kitti.txt", "cloud.ply", "run.yaml",
                 "depth/000009.png", "colmap/images.txt", "colmap/points3D.bin", "work/preview/000003.jpg"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes(), name


class Stops(FolderFootage):
    """Footage during which someone presses Ctrl-C, or which has become shorter."""

    def __init__(self, path: Path, error: type[BaseException] | None) -> None:
        super().__init__(path)
        self.error = error

    def read(self, *size, only=None):
        for frame in super().read(*size, only=only):
            if frame.number == 17:
                if self.error:
                    raise self.error
                return
            yield frame


@pytest.mark.parametrize(("error", "raised"), [(KeyboardInterrupt, KeyboardInterrupt), (None, InputError)])
def test_what_is_cut_short_leaves_the_run_as_it_was_but_unfinished(run, room, joined, result, tmp_path, error, raised):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "run.yaml"}
    with pytest.raises(raised):
        write(out, room, joined, result, footage=Stops(room.folder, error))
    assert not RunFiles(out).finished
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "run.yaml"} == before


def test_a_full_disk_is_one_sentence_and_leaves_no_half(room, joined, result, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export.png16, "write", full)
    with pytest.raises(InputError):
        write(tmp_path / "run", room, joined, result)
    assert [p.name for p in (tmp_path / "run").rglob("*") if p.is_file()] == ["run.yaml"]
    assert not RunFiles(tmp_path / "run").finished


@pytest.mark.parametrize("name", [".", "depth", "depth.npz", "colmap", "work"])
def test_something_in_the_way_is_one_sentence(room, joined, result, tmp_path, name):
    out = tmp_path / "run"
    if name == "depth.npz":
        (out / name).mkdir(parents=True)
    else:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("not a folder") if name != "." else out.write_text("not a folder")
    with pytest.raises(InputError):
        write(out, room, joined, result)


def test_leftovers_of_a_killed_run_are_removed(room, joined, result, tmp_path):
    out = tmp_path / "run"
    (out / ".depth.part").mkdir(parents=True)
    for name in (".depth.999.part.npz", ".depth.part/000000.png"):
        (out / name).write_text("half")
    write(out, room, joined, result)
    assert not list(out.rglob(".*"))


def test_a_path_begins_at_its_first_camera():
    path = np.tile(ELSEWHERE, (2, 1, 1))
    path[1] = path[0] @ np.array([[1, 0, 0, 2.0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]])
    rebased = from_first_camera(path, 0.5)
    np.testing.assert_array_equal(rebased[0], np.eye(4))
    np.testing.assert_allclose(rebased[1, :3, 3], [1, 0, 0.5], atol=1e-12)


def test_enlarging_keeps_planes_planes():
    plane = 1 / (np.arange(10)[None] * 0.1 + np.arange(8)[:, None] * 0.05 + 1)
    large = 1 / enlarged(plane, (40, 32))
    inner = large[8:-8, 8:-8]
    np.testing.assert_allclose(np.diff(inner, axis=1), 0.1 / 4, atol=1e-9)
    np.testing.assert_allclose(np.diff(inner, axis=0), 0.05 / 4, atol=1e-9)
    assert large.mean() == pytest.approx((1 / plane).mean())


def test_pngs_are_never_larger_than_640():
    assert png_size(192, 144) == (192, 144)
    assert png_size(1920, 1080) == (640, 360)
    assert png_size(1080, 1920) == (360, 640)


def test_plain_values_are_what_yaml_knows():
    value = {"a": (np.float32(0.5), np.arange(2)), "b": Path("x") / "y", 3: None, "c": [np.bool_(True)]}
    assert plain(value) == {"a": [0.5, [0, 1]], "b": "x/y", "3": None, "c": [True]}
    assert yaml.safe_load(yaml.safe_dump(plain(value))) == plain(value)
