"""The plain folder layout: what fits is read, what does not is refused."""

import json

import cv2
import numpy as np
import pytest

from epipole.formats import kitti, png16
from epipole.sources.plain import KnownDepth, PlainFolder, rasterise, read_truth
from epipole.types.errors import InputError

WIDTH, HEIGHT, FRAMES = 32, 24, 5
K = np.array([[30.0, 0, 15.5], [0, 30.0, 11.5], [0, 0, 1]])


def path() -> np.ndarray:
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 2, 3] = np.arange(FRAMES)
    return poses


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "color").mkdir()
    for i in range(FRAMES):
        cv2.imwrite(str(tmp_path / "color" / f"{i:06d}.png"), np.full((HEIGHT, WIDTH, 3), 50 * i, np.uint8))
    kitti.write_intrinsics(tmp_path / "intrinsics.txt", K)
    kitti.write_poses(tmp_path / "poses.txt", path())
    return tmp_path


def write_depth(folder, frames=range(FRAMES), size=(HEIGHT, WIDTH)):
    (folder / "depth").mkdir()
    for i in frames:
        depth = np.full(size, i + 1.0)
        depth[0, 0] = 0
        cv2.imwrite(str(folder / "depth" / f"{i:06d}.png"), (1000 * depth).astype(np.uint16))


def write_sparse(folder, **changes):
    arrays = {"frame": [3, 0, 3], "x": [1.5, 2, 30], "y": [4.25, 5, 6], "z": [10.0, 20, 30], **changes}
    np.savez(folder / "sparse_depth.npz", **{name: np.array(value) for name, value in arrays.items()})


def test_everything_known_is_read(folder):
    write_depth(folder)
    truth = read_truth(folder)
    assert (truth.width, truth.height, len(truth.images), truth.unit) == (WIDTH, HEIGHT, FRAMES, "m")
    np.testing.assert_allclose(truth.K, K)
    np.testing.assert_allclose(truth.T_world_camera, path())
    known = truth.depth[3]
    assert (known.width, known.height, len(known.z)) == (WIDTH, HEIGHT, WIDTH * HEIGHT - 1)
    np.testing.assert_allclose(known.z, 4.0)
    assert [0, 0] not in known.pixels.tolist()
    assert [WIDTH - 1, 0] in known.pixels.tolist()


def test_what_is_unknown_is_none(folder):
    (folder / "intrinsics.txt").unlink()
    (folder / "poses.txt").unlink()
    truth = read_truth(folder)
    assert truth.K is None
    assert truth.T_world_camera is None
    assert truth.depth is None


def test_sparse_depth_belongs_to_its_frame(folder):
    write_sparse(folder)
    depth = read_truth(folder).depth
    assert depth[3].pixels.tolist() == [[1.5, 4.25], [30, 6]]
    assert depth[3].z.tolist() == [10, 30]
    assert len(depth[1].z) == 0


def test_frames_without_a_depth_map_know_no_pixel(folder):
    write_depth(folder, frames=[2])
    depth = read_truth(folder).depth
    assert len(depth[1].z) == 0
    assert len(depth[2].z) == WIDTH * HEIGHT - 1


def test_depth_that_tells_its_scale_is_read_with_it(folder):
    (folder / "depth").mkdir()
    png16.write(folder / "depth" / "000000.png", np.full((HEIGHT, WIDTH), 2.5), scale=5000.0)
    np.testing.assert_allclose(read_truth(folder).depth[0].z, 2.5)


@pytest.mark.parametrize("changes", [
    {"x": [40.0, 2, 30]}, {"frame": [5, 0, 3]}, {"frame": [-1, 0, 3]}, {"z": [1.0, np.nan, 2]}, {"y": [1.0, 2]},
    {"z": [[1.0], [2], [3]]}])
def test_sparse_depth_that_does_not_fit_is_refused(folder, changes):
    write_sparse(folder, **changes)
    with pytest.raises(InputError):
        read_truth(folder)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_a_broken_archive_is_refused(folder, data):
    (folder / "sparse_depth.npz").write_bytes(data)
    with pytest.raises(InputError):
        read_truth(folder)


def test_a_path_of_another_length_is_refused(folder):
    kitti.write_poses(folder / "poses.txt", path()[:-1])
    with pytest.raises(InputError):
        read_truth(folder)


@pytest.mark.parametrize(("share", "size"), [(0.5, "16x12"), (1.6, "51x38")])
def test_intrinsics_of_smaller_or_larger_images_are_known_by_their_centre(folder, share, size):
    kitti.write_intrinsics(folder / "intrinsics.txt", K * [[share], [share], [1]])
    with pytest.raises(InputError, match=f"seem to be those of images of {size}, not 32x24"):
        read_truth(folder)


def test_a_centre_that_is_off_in_one_direction_is_taken(folder):
    kitti.write_intrinsics(folder / "intrinsics.txt", K * [[1], [0.5], [1]])
    read_truth(folder)


def test_intrinsics_of_another_size_are_refused(folder):
    kitti.write_intrinsics(folder / "intrinsics.txt", K * [[10], [10], [1]])
    with pytest.raises(InputError):
        read_truth(folder)


def test_depth_maps_with_other_names_are_refused(folder):
    (folder / "depth").mkdir()
    cv2.imwrite(str(folder / "depth" / "left.png"), np.ones((HEIGHT, WIDTH), np.uint16))
    with pytest.raises(InputError):
        read_truth(folder)


def test_a_folder_without_images_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError):
            read_truth(place)


def write_cameras(folder, names):
    (folder / "intrinsics.txt").unlink()
    (folder / "poses.txt").unlink()
    frames = [{"file": name, "c2w": T.tolist()} for name, T in zip(names, path(), strict=False)]
    content = {"fx": 30, "fy": 30, "cx": 15.5, "cy": 11.5, "frames": frames}
    (folder / "cameras.json").write_text(json.dumps(content))


def test_cameras_json_stands_in_for_intrinsics_and_poses(folder):
    write_cameras(folder, [f"{i:06d}.png" for i in range(FRAMES)])
    truth = read_truth(folder)
    np.testing.assert_allclose(truth.K, K)
    np.testing.assert_allclose(truth.T_world_camera, path())
    assert not truth.metric


def test_cameras_json_without_one_of_the_images_is_refused(folder):
    write_cameras(folder, ["000000.png"])
    with pytest.raises(InputError):
        read_truth(folder)
    (folder / "cameras.json").write_text("{}")
    with pytest.raises(InputError):
        read_truth(folder)


def test_a_folder_is_a_source_of_views(folder):
    write_depth(folder)
    source = PlainFolder(folder)
    assert source.provides == {"image", "K", "T_world_camera", "depth", "depth_valid"}
    view = source[-1]
    assert set(view.fields()) == source.provides
    assert view.image.shape == (1, 3, HEIGHT, WIDTH)
    assert view.image.unique().tolist() == pytest.approx([200 / 255])
    assert view.depth_valid.sum() == WIDTH * HEIGHT - 1
    assert (view.depth[view.depth_valid] == FRAMES).all()
    assert view.T_world_camera[0, 2, 3] == FRAMES - 1
    with pytest.raises(IndexError):
        source[FRAMES]
    assert len(list(source)) == FRAMES


def test_a_source_offers_only_what_it_knows(folder):
    (folder / "poses.txt").unlink()
    source = PlainFolder(folder)
    assert source.provides == {"image", "K"}
    assert set(source[0].fields()) == source.provides


def test_the_nearest_point_covers_the_others():
    known = KnownDepth(np.array([[1.2, 0.9], [0.8, 1.1], [3.4, 0.0]]), np.array([5.0, 2, 7]), 4, 2)
    assert rasterise(known, 4, 2).tolist() == [[0, 0, 0, 7], [0, 2, 0, 0]]
    assert rasterise(known, 2, 1).tolist() == [[2, 7]]


@pytest.mark.parametrize(("name", "frames", "kind"), [
    ("7scenes_redkitchen", 1000, "DepthMaps"), ("kitti_odom_03", 801, "SparseDepth"), ("fox", 50, "NoneType")])
def test_real_folders_are_read(shared_data, name, frames, kind):
    truth = read_truth(shared_data / name)
    assert len(truth.images) == len(truth.T_world_camera) == frames
    assert type(truth.depth).__name__ == kind
    assert truth.metric == (name != "fox")
