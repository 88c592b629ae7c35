"""Worlds in the layouts of others, read back by their conventions."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh

from epipole.formats import kitti
from epipole.geometry.motion import quaternion_to_rotation
from epipole.sources.worlds import (
    FIELDS,
    Spec,
    World,
    layouts,
    tartanair_camera,
    write_kitti,
    write_mesh,
    write_tartanair,
)
from epipole.types.errors import InputError
from epipole.types.views import Views

SPEC = Spec(seed=3, frames=3, width=48, height=36)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SPEC)


def test_a_kitti_sequence_tells_the_same_world(tmp_path: Path, world: World) -> None:
    told: list[tuple[int, int]] = []
    place = write_kitti(SPEC, tmp_path, "07", lambda done, total: told.append((done, total))) / "sequences" / "07"
    assert told == [(1, 3), (2, 3), (3, 3)]
    poses, P = kitti.read_poses(tmp_path / "poses" / "07.txt"), kitti.read_projections(place / "calib.txt")
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-9)
    np.testing.assert_allclose(world.poses[0].numpy() @ poses[2], world.poses[2], atol=1e-9)
    np.testing.assert_allclose(np.loadtxt(place / "times.txt"), np.arange(3) / 30)
    np.testing.assert_allclose(-P["P3"][0, 3] / P["P3"][0, 0], SPEC.baseline)
    value = cv2.imread(str(place / "depth_2" / "000001.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(value / 256, world[1].depth[0, 0], atol=0.003)
    pair = world.stereo(1)
    for name, image in zip(("image_2", "image_3"), pair.image, strict=True):
        stored = cv2.imread(str(place / name / "000001.png"))[..., ::-1] / 255
        np.testing.assert_allclose(stored, image.permute(1, 2, 0), atol=0.51 / 255)


def test_points_of_the_left_camera_fall_by_the_disparity_into_the_right_one(tmp_path: Path, world: World) -> None:
    P = kitti.read_projections(write_kitti(SPEC, tmp_path) / "sequences" / "00" / "calib.txt")
    point = np.array([0.3, -0.2, 2.0, 1.0])
    left, right = (p[:2] / p[2] for p in (P["P2"] @ point, P["P3"] @ point))
    np.testing.assert_allclose(left - right, [float(world.K[0, 0]) * SPEC.baseline / 2.0, 0], atol=1e-9)


FLIGHT = Spec("flying", difficulty=2, seed=1, frames=3, width=64, height=48, fov=90.0, baseline=0.25)


@pytest.fixture(scope="module")
def trajectory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tartanair(FLIGHT, tmp_path_factory.mktemp("tartanair"), "P003")


@pytest.fixture(scope="module")
def flight() -> World:
    return World(FLIGHT, FIELDS - {"imu"})


def test_a_tartanair_trajectory_has_its_names_and_types(trajectory: Path) -> None:
    assert trajectory.parts[-3:] == ("flying", "Hard", "P003")
    names = {str(f.relative_to(trajectory)) for f in trajectory.rglob("*") if f.is_file()}
    frames, steps = ("000000", "000001", "000002"), ("000000_000001", "000001_000002")
    expected = {f"{kind}_{side}/{i}_{side}{end}" for side in ("left", "right") for i in frames
                for kind, end in (("image", ".png"), ("depth", "_depth.npy"), ("seg", "_seg.npy"))}
    expected |= {f"flow/{step}_{kind}.npy" for step in steps for kind in ("flow", "mask")}
    assert names == expected | {"pose_left.txt", "pose_right.txt"}
    types = {"depth_left/000000_left_depth": ("float32", (48, 64)), "seg_right/000001_right_seg": ("uint8", (48, 64)),
             "flow/000000_000001_flow": ("float32", (48, 64, 2)), "flow/000000_000001_mask": ("uint8", (48, 64))}
    for name, (kind, shape) in types.items():
        array = np.load(trajectory / f"{name}.npy")
        assert (array.dtype, array.shape) == (kind, shape)


def test_a_tartanair_trajectory_tells_the_same_world(trajectory: Path, flight: World) -> None:
    pair = flight.stereo(1)
    for k, side in enumerate(("left", "right")):
        depth = np.load(trajectory / f"depth_{side}" / f"000001_{side}_depth.npy")
        np.testing.assert_array_equal(depth, pair.depth[k, 0])
        np.testing.assert_array_equal(np.load(trajectory / f"seg_{side}" / f"000001_{side}_seg.npy"),
                                      pair.semantic[k, 0])
        stored = cv2.imread(str(trajectory / f"image_{side}" / f"000001_{side}.png"))[..., ::-1] / 255
        np.testing.assert_allclose(stored, pair.image[k].permute(1, 2, 0), atol=0.51 / 255)
    np.testing.assert_allclose(8.0 / depth, pair.disparity[1, 0], rtol=1e-5)  # f B / z
    both = flight.clip([1, 2])
    np.testing.assert_array_equal(np.load(trajectory / "flow" / "000001_000002_flow.npy").transpose(2, 0, 1),
                                  both.flow[0])
    mask = np.load(trajectory / "flow" / "000001_000002_mask.npy")
    np.testing.assert_array_equal(mask == 0, both.flow_valid[0, 0])
    np.testing.assert_array_equal(mask == 1, both.occlusion[0, 0])
    assert set(np.unique(mask)) <= {0, 1, 100}


def test_tartanair_writes_sky_as_far_away(tmp_path: Path, world: World) -> None:
    pair, (height, width) = world.stereo(0), (SPEC.height, SPEC.width)
    known = torch.ones(2, 1, height, width, dtype=torch.bool)
    known[:, :, :10] = False
    for kind in ("image", "depth", "seg"):
        (tmp_path / f"{kind}_left").mkdir()
    sky = Views(**pair.fields() | {"depth_valid": known, "semantic": torch.zeros(2, 1, height, width).long()})
    layouts._write_eye(tmp_path, "left", "000000", sky, 0)
    depth = np.load(tmp_path / "depth_left" / "000000_left_depth.npy")
    assert (depth[:10] == 10_000).all()
    np.testing.assert_array_equal(depth[10:], pair.depth[0, 0, 10:])


def test_tartanair_poses_predict_the_flow_of_what_stands_still(trajectory: Path, flight: World) -> None:
    """By its own conventions alone: x ahead, y right, z down, fx = 32 px (320 at full size), rows tx .. qw."""
    rows = np.loadtxt(trajectory / "pose_left.txt")
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, :3] = quaternion_to_rotation(torch.from_numpy(rows[:, 3:].copy())).numpy()
    poses[:, :3, 3] = rows[:, :3]
    depth = np.load(trajectory / "depth_left" / "000000_left_depth.npy").astype(float)
    v, u = np.mgrid[:48, :64]
    right, down = (u - 31.5) / 32 * depth, (v - 23.5) / 32 * depth
    points = np.stack([depth, right, down, np.ones_like(depth)]).reshape(4, -1)
    ahead, right, down, _ = np.linalg.inv(poses[1]) @ poses[0] @ points
    flow = np.stack([32 * right / ahead + 31.5, 32 * down / ahead + 23.5], -1).reshape(48, 64, 2) - np.stack([u, v], -1)
    truth = np.load(trajectory / "flow" / "000000_000001_flow.npy")
    seen = np.load(trajectory / "flow" / "000000_000001_mask.npy") == 0
    still = ~np.isin(flight[0].instance[0, 0].numpy(), list(flight.scene.motions))
    np.testing.assert_allclose(flow[seen & still], truth[seen & still], atol=2e-3)
    assert np.linalg.norm(truth[seen], axis=-1).mean() > 0.5
    other = np.loadtxt(trajectory / "pose_right.txt")
    np.testing.assert_allclose(np.einsum("nij,j->ni", poses[:, :3, :3], [0, 0.25, 0]), other[:, :3] - rows[:, :3],
                               atol=1e-9)


def test_the_camera_of_tartanair_is_the_one_its_readers_expect(tmp_path: Path) -> None:
    spec = tartanair_camera(Spec("flying", seed=3))
    np.testing.assert_allclose(spec.intrinsics(), [[320, 0, 319.5], [0, 320, 239.5], [0, 0, 1]])
    assert spec.intrinsics()[0, 0] * spec.baseline == pytest.approx(80)
    (tmp_path / "room" / "Easy" / "P000" / "flow").mkdir(parents=True)
    (tmp_path / "room" / "Easy" / "P000" / "flow" / "000007_000008_flow.npy").touch()
    with pytest.raises(InputError, match="another clip"):
        write_tartanair(SPEC, tmp_path)


def test_a_mesh_holds_every_triangle_in_its_colour(tmp_path: Path, world: World) -> None:
    theirs = trimesh.load(write_mesh(world, tmp_path / "room.ply"), process=False)
    corners = world.moment(0).corners
    np.testing.assert_allclose(theirs.triangles, corners, atol=1e-6)
    colour = theirs.visual.vertex_colors[theirs.faces[:, 0], :3] / 255
    np.testing.assert_allclose(colour**2.2, world.materials.mean[world.scene.material], atol=0.01)
    shown = trimesh.load_mesh(write_mesh(world, tmp_path / "room.glb"), process=False, skip_materials=True)
    np.testing.assert_allclose(shown.triangles, corners[..., [0, 2, 1]] * [1, 1, -1], atol=1e-6)  # y is up
    with pytest.raises(InputError, match=r"\.ply or \.glb"):
        write_mesh(world, tmp_path / "room.obj")
