"""Meshes, read back by trimesh."""

import numpy as np
import pytest
import trimesh

from epipole.formats import mesh
from epipole.types.errors import InputError


@pytest.fixture
def surface(cloud) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points, colors = cloud
    faces = np.random.default_rng(0).permuted(np.tile(np.arange(len(points)), (70, 1)), axis=1)[:, :3]
    return points, faces.astype(np.int64), colors


def test_ply_comes_back(tmp_path, surface):
    mesh.write_ply(tmp_path / "m.ply", *surface)
    theirs = trimesh.load(tmp_path / "m.ply", process=False)
    np.testing.assert_array_equal(theirs.vertices.astype(np.float32), surface[0])
    np.testing.assert_array_equal(theirs.faces, surface[1])
    np.testing.assert_array_equal(theirs.visual.vertex_colors[:, :3], surface[2])


def test_glb_comes_back_upright_and_in_linear_light(tmp_path, surface):
    mesh.write_glb(tmp_path / "m.glb", *surface)
    theirs = trimesh.load_mesh(tmp_path / "m.glb", process=False, skip_materials=True)
    np.testing.assert_allclose(theirs.vertices, surface[0] * [1, -1, -1], rtol=1e-6)
    np.testing.assert_array_equal(theirs.faces, surface[1])
    read = theirs.visual.vertex_colors
    srgb = surface[2] / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(read[:, :3] / 255, light, atol=0.6 / 255)
    assert (read[:, 3] == 255).all()


def test_turning_to_gltf_keeps_the_handedness(tmp_path):
    box = trimesh.creation.box()
    mesh.write_glb(tmp_path / "b.glb", box.vertices.astype(np.float32), box.faces, np.zeros((8, 3), np.uint8))
    assert trimesh.load_mesh(tmp_path / "b.glb").volume == pytest.approx(1)


def test_black_and_white_stay():
    ends = mesh.linear(np.array([[0, 0, 0], [255, 255, 255]], np.uint8))
    assert ends.tolist() == [[0, 0, 0, 1], [1, 1, 1, 1]]


@pytest.mark.parametrize("write", [mesh.write_ply, mesh.write_glb])
def test_an_empty_mesh_can_be_written(tmp_path, write):
    write(tmp_path / "e", np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64), np.zeros((0, 3), np.uint8))
    kind = "ply" if write is mesh.write_ply else "glb"
    with (tmp_path / "e").open("rb") as file:
        theirs = trimesh.load_scene(file, file_type=kind)
    assert sum(len(g.vertices) for g in theirs.geometry.values()) == 0


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path, surface):
    with pytest.raises(InputError, match="could not be written"):
        mesh.write_ply(tmp_path / "no" / "m.ply", *surface)


def test_ply_is_read_as_it_was_written(tmp_path, surface):
    mesh.write_ply(tmp_path / "m.ply", *surface)
    for mine, its in zip(surface, mesh.read_ply(tmp_path / "m.ply"), strict=True):
        np.testing.assert_array_equal(mine, its)
    mesh.write_ply(tmp_path / "m.ply", *(x[:0] for x in surface))
    assert [len(x) for x in mesh.read_ply(tmp_path / "m.ply")] == [0, 0, 0]


def test_other_files_are_no_mesh(tmp_path, surface):
    mesh.write_ply(tmp_path / "m.ply", *surface)
    whole = (tmp_path / "m.ply").read_bytes()
    for data in (whole[:-1], whole.replace(b"uchar red", b"uchar rot"), b"ply", b""):
        (tmp_path / "m.ply").write_bytes(data)
        with pytest.raises(InputError):
            mesh.read_ply(tmp_path / "m.ply")
    with pytest.raises(InputError):
        mesh.read_ply(tmp_path / "none.ply")
