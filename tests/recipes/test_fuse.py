import numpy as np
import pytest
import torch

from epipole.geometry.camera import unproject
from epipole.recipes.learn_video import fuse as module
from epipole.recipes.learn_video.fuse import LeftOut, Map, Voxels, confirmed, doubts, fuse
from epipole.recipes.learn_video.predict import Predicted, Predictor
from tests.recipes.learned_room import KEYS, METRES, SIZE, Room


def whole(room: Room, **changes) -> Map:
    arguments = {"keys": room.keys, "T_world_camera": room.path[KEYS], "K": room.K_network,
                 "depth_of": Predictor(room.system).of_key_frames(room.keys), "typical": 1.0} | changes
    return fuse(**arguments)


def cloud(room: Room, **changes) -> tuple[np.ndarray, np.ndarray]:
    return whole(room, **changes)[:2]


def surface_on_the_way(room: Room, points: np.ndarray, frame: int) -> np.ndarray:
    """Distance from a frame's camera to the first surface, as a share of the distance to the point behind it."""
    T = room.world.poses[frame].numpy()
    world = METRES * points @ room.world.poses[0].numpy()[:3, :3].T + room.world.poses[0].numpy()[:3, 3]
    ray = world - T[:3, 3]
    return room.world.moment(frame).rays.cast(np.broadcast_to(T[:3, 3], ray.shape).copy(), ray).t


def test_the_cloud_lies_on_the_surfaces_of_the_room(room):
    points, colours = cloud(room)
    assert 5000 < len(points) == len(colours)
    assert points.dtype == np.float32
    assert colours.dtype == np.uint8
    t = surface_on_the_way(room, points.astype(float), KEYS[2])
    visible = np.abs(t - 1) < 0.1  # the others hide behind something in this view
    assert visible.mean() > 0.7
    assert np.percentile(np.abs(t[visible] - 1), 95) < 0.02


def test_colours_are_those_of_the_images(room):
    points, colours = cloud(room)
    T = np.linalg.inv(room.path[KEYS[0]])
    camera = points @ T[:3, :3].T + T[:3, 3]
    u, v = np.round((camera[:, :2] / camera[:, 2:]) * room.K_network[[0, 1], [0, 1]] + room.K_network[:2, 2]).T
    inside = (u >= 0) & (u < SIZE[0]) & (v >= 0) & (v < SIZE[1]) & (camera[:, 2] > 0)
    image = room.keys.colour[0][v[inside].astype(int), u[inside].astype(int)].astype(float)
    assert np.median(np.abs(image - colours[inside])) < 12


def test_what_moved_is_left_out(room):
    everywhere = np.ones((SIZE[1], SIZE[0]), bool)
    assert len(cloud(room, moved=lambda k: everywhere)[0]) == 0
    left = everywhere.copy()
    left[:, SIZE[0] // 2 :] = False
    points, _ = cloud(room, moved=lambda k: left)
    first = np.linalg.inv(room.path[KEYS[0]])
    assert 0 < len(points) < 0.7 * len(cloud(room)[0])
    assert np.median(points @ first[0, :3] + first[0, 3]) > 0  # the right half remains


def test_depth_that_no_other_view_confirms_is_left_out(room):
    exact = Predictor(room.system).of_key_frames(room.keys)

    def contradicting(k: int) -> Predicted:
        return Predicted(exact(k).depth * np.float32(1.2**k), exact(k).log_variance)

    assert len(cloud(room, depth_of=contradicting)[0]) < 0.2 * len(cloud(room)[0])


def test_far_unsure_and_steep_pixels_are_doubted():
    z, log_variance = np.full((40, 50), 1.0, np.float32), np.zeros((40, 50), np.float32)
    z[:, :2], log_variance[:5, 10:20] = 6.0, 1.0
    z[20:30, 20:30] = 1.5
    why = doubts(Predicted(z, log_variance), typical=1.0)
    assert why["far"][:, :2].all()
    assert why["edge"][:, 2].all()
    assert why["unsure"][:5, 10:20].all()
    assert why["edge"][19:21, 20:30].all()
    assert not any(holds[10:18, 30:].any() for holds in why.values())


def test_every_pixel_that_is_left_out_counts_once_under_the_first_reason():
    a, b = np.zeros((4, 5), bool), np.zeros((4, 5), bool)
    a[0], b[:, 0] = True, True
    counted = LeftOut()
    np.testing.assert_array_equal(counted.add({"a": a, "b": b}), ~(a | b))
    assert counted.percent == {"a": 25.0, "b": 15.0}
    counted.add({"a": ~a, "b": b})
    assert counted.percent == {"a": 50.0, "b": 10.0}


def test_the_shares_left_out_are_those_of_the_key_frames(room):
    half = np.zeros((SIZE[1], SIZE[0]), bool)
    half[:, : SIZE[0] // 2] = True
    without, left_out = whole(room).left_out, whole(room, moved=lambda k: half if k else ~half).left_out
    assert list(without) == ["far", "unsure", "edge", "contradicted"]
    assert 0 < sum(without.values()) < 60
    assert left_out["moved"] == 50.0
    assert 100 > sum(left_out.values()) > 50 + sum(without.values()) / 4
    exact = Predictor(room.system).of_key_frames(room.keys)
    grown = whole(room, depth_of=lambda k: Predicted(exact(k).depth * np.float32(1.2**k), exact(k).log_variance))
    assert grown.left_out["contradicted"] > 2 * without["contradicted"]


def test_confirmation_asks_the_other_camera(room):
    T, K = torch.from_numpy(room.path).float(), torch.from_numpy(room.K_network).float()
    depth = room.system.depth
    world = torch.einsum("ij,jhw->ihw", T[4, :3, :3], unproject(depth[4][None], K)) + T[4, :3, 3, None, None]
    assert confirmed(world, T[7], K, depth[7].numpy()).mean() > 0.7
    assert confirmed(world, T[7], K, 1.1 * depth[7].numpy()).mean() < 0.1
    behind = T[7] @ torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    assert not confirmed(world, behind, K, depth[7].numpy()).any()


def naive(points: np.ndarray, colours: np.ndarray, size: float) -> dict[tuple, tuple[np.ndarray, np.ndarray]]:
    cells: dict[tuple, list[int]] = {}
    for i, cell in enumerate(np.floor(points / size).astype(int).tolist()):
        cells.setdefault(tuple(cell), []).append(i)
    return {cell: (points[i].mean(0), np.round(colours[i].astype(np.float32).mean(0))) for cell, i in cells.items()}


@pytest.mark.parametrize("pending", [10, 10_000])
def test_voxels_hold_the_means_of_their_points(monkeypatch, pending):
    monkeypatch.setattr(module, "PENDING", pending)
    rng = np.random.default_rng(0)
    points, colours = rng.normal(size=(500, 3)).astype(np.float32), rng.integers(0, 256, (500, 3)).astype(np.uint8)
    grid = Voxels(0.5, most=1000)
    for part in np.array_split(np.arange(500), 9):
        grid.add(points[part], colours[part])
    expected = naive(points, colours, 0.5)
    mean, colour = grid.cloud()
    assert len(mean) == len(expected)
    for cell, m, c in zip(np.floor(mean / 0.5).astype(int).tolist(), mean, colour, strict=True):
        np.testing.assert_allclose(m, expected[tuple(cell)][0], atol=1e-5)
        np.testing.assert_allclose(c, expected[tuple(cell)][1], atol=1)


def test_too_many_voxels_make_the_grid_coarser(monkeypatch):
    monkeypatch.setattr(module, "PENDING", 100)
    rng = np.random.default_rng(0)
    points, colours = rng.normal(size=(2000, 3)).astype(np.float32), np.zeros((2000, 3), np.uint8)
    grid = Voxels(0.01, most=200)
    for part in np.array_split(np.arange(2000), 20):
        grid.add(points[part], colours[part])
    mean, _ = grid.cloud()
    assert 100 < len(mean) <= 200
    coarse = naive(points, colours, grid.size)
    for cell, m in zip(np.floor(mean / grid.size).astype(int).tolist(), mean, strict=True):
        np.testing.assert_allclose(m, coarse[tuple(cell)][0], atol=1e-4)


def test_points_out_of_reach_and_no_points_at_all():
    grid = Voxels(1e-3, most=10)
    assert len(grid.cloud()[0]) == 0
    grid.add(np.array([[1e6, 0, 0], [-1, 0.5, 2]], np.float32), np.zeros((2, 3), np.uint8))
    np.testing.assert_allclose(grid.cloud()[0], [[-1, 0.5, 2]])
