"""The surface of a run whose depth is exact, opened by those who would open it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh
from evo.tools import file_interface

from epipole.formats.run import RunFiles, lengths_text
from epipole.recipes.mesh_run import key_frames, mesh_run, without_crumbs
from epipole.recipes.scale_run import apply_scale
from epipole.sources.folder import FolderFootage
from epipole.types.errors import InputError
from epipole.types.predictions import Surface
from tests.viewer.synthetic_run import ROOM, load_about, path, render, save_about, write_run

FRAMES, SIZE, VOXEL = 9, (48, 64), 0.06


def write_footage(folder: Path, K: np.ndarray) -> Path:
    folder.mkdir()
    for k, T in enumerate(path(FRAMES)):
        image, _ = render(T, K, 120, 160)
        cv2.imwrite(str(folder / f"{k:06d}.png"), image[..., ::-1])
    return folder


def finished_run(folder: Path) -> Path:
    run = write_run(folder / "run", FRAMES, size=SIZE)
    footage = write_footage(folder / "clip", RunFiles(run).intrinsics)
    about = load_about(run)
    about["arguments"]["clip"] = str(footage)
    about["footage"]["sha256"] = FolderFootage(footage).sha256()
    save_about(run, about)
    masks = {f"{k:06d}": np.zeros(SIZE, bool) for k in about["key_frames"]}
    for mask in masks.values():
        mask[:, :6] = True
    np.savez(run / "mask.npz", **masks)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = finished_run(tmp_path_factory.mktemp("mesh"))
    mesh_run(folder, voxel=VOXEL)
    return folder


def off_the_walls(points: np.ndarray) -> np.ndarray:
    return np.abs(np.abs(points) - ROOM).min(1)


def test_the_surface_is_that_of_the_room_in_both_files(run):
    theirs = trimesh.load(run / "mesh.ply", process=False)
    assert len(theirs.faces) > 1000
    assert np.percentile(off_the_walls(theirs.vertices), 95) < VOXEL
    shown = trimesh.load_mesh(run / "mesh.glb", process=False)
    np.testing.assert_allclose(shown.vertices, theirs.vertices * [1, -1, -1], atol=1e-6)
    np.testing.assert_array_equal(shown.faces, theirs.faces)


def test_it_faces_the_camera_and_has_the_walls_colours(run):
    theirs = trimesh.load(run / "mesh.ply", process=False)
    to_camera = -theirs.triangles_center
    assert ((theirs.face_normals * to_camera).sum(1) > 0).mean() > 0.95
    floor = np.abs(theirs.vertices[:, 1] - ROOM[1]) < VOXEL / 2         # drawn in 120, 112, 78 and the like
    ahead = np.abs(theirs.vertices[:, 2] - ROOM[2]) < VOXEL / 2
    colour = theirs.visual.vertex_colors[:, :3].astype(float)
    assert np.abs(colour[floor].mean(0) - colour[ahead].mean(0)).max() > 20


def test_what_moved_is_not_in_it(run):
    """The left 6 of 64 columns move in every key frame: no frame of them reaches as far to the left."""
    frames = list(key_frames(RunFiles(run)))
    assert all(frame.moved[:, :6].all() and not frame.moved[:, 6:].any() for frame in frames)
    files, vertices = RunFiles(run), np.asarray(trimesh.load(run / "mesh.ply", process=False).vertices)
    K = files.depth_intrinsics
    seen = np.zeros(len(vertices), bool)
    for k in files.about["key_frames"]:
        there = (vertices - files.path[k, :3, 3]) @ files.path[k, :3, :3]
        u = there[:, 0] / there[:, 2] * K[0, 0] + K[0, 2]
        seen |= (there[:, 2] > 0) & (u > 4)
    assert seen.mean() > 0.99


def test_the_path_is_that_of_the_run(run):
    files = RunFiles(run)
    for theirs in (file_interface.read_kitti_poses_file(str(run / "path_kitti.txt")),
                   file_interface.read_tum_trajectory_file(str(run / "path_tum.txt"))):
        np.testing.assert_allclose(np.stack(theirs.poses_se3), files.path, atol=1e-6)


def test_metres_reach_the_mesh_and_its_words(run, tmp_path):
    copy = finished_run(tmp_path)
    mesh_run(copy, voxel=VOXEL)
    for name in ("mesh.ply", "mesh.glb"):
        assert b"lengths: up to one unknown factor" in (copy / name).read_bytes()
    apply_scale(RunFiles(copy), 3.0, {"factor": 3.0, "spread_percent": 1.0, "frames": 9, "by": "eye"})
    before, after = (trimesh.load(folder / "mesh.ply", process=False) for folder in (run, copy))
    np.testing.assert_allclose(after.vertices, 3 * before.vertices, atol=1e-4)
    words = lengths_text(RunFiles(copy).about).encode()
    for name in ("mesh.ply", "mesh.glb"):
        assert (copy / name).read_bytes().count(b"lengths: ") == 1
        assert words in (copy / name).read_bytes()
    mesh_run(copy, voxel=3 * VOXEL)
    assert words in (copy / "mesh.glb").read_bytes()


def test_voxels_in_which_nothing_is_seen_are_said_to_be_why(run):
    with pytest.raises(InputError, match="leave out --voxel, or give one nearer to 0"):
        mesh_run(run, voxel=100.0)


def test_other_footage_or_none_is_refused(run, tmp_path):
    other = tmp_path / "other"
    write_footage(other, 0.9 * RunFiles(run).intrinsics)
    for clip in (other, tmp_path / "none"):
        with pytest.raises(InputError, match="--clip"):
            mesh_run(run, clip)


def test_small_pieces_are_left_out():
    square = torch.tensor([[0, 1, 2], [0, 2, 3]])
    vertices = torch.rand(10, 3)
    faces = torch.cat([square, square + 4, torch.tensor([[4, 7, 8]])])
    kept = without_crumbs(Surface(vertices=vertices, faces=faces, colour=vertices), least=3)
    assert torch.equal(kept.vertices, vertices[4:9])
    assert torch.equal(kept.faces, faces[2:] - 4)
    assert len(without_crumbs(kept, least=4).faces) == 0
