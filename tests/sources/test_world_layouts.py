"""Worlds in the layouts of others, read back by their conventions."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from epipole.formats import kitti
from epipole.sources.worlds import Spec, World, write_kitti, write_mesh
from epipole.types.errors import InputError

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
