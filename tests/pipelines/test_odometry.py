"""Odometry on exact tracks of the room world: the path it finds is the path the camera walked."""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from epipole.geometry.align import umeyama
from epipole.geometry.anchors import Edges, Scene, triangulate
from epipole.geometry.motion import angle, se3_inverse
from epipole.pipelines.odometry import TwoView, arriving_points, next_frame, reconstruct, resection, start, two_view
from epipole.sources.worlds import RoomWorld, Spec

FRAMES, WIDTH, HEIGHT = 14, 96, 64


class Clip(NamedTuple):
    edges: Edges
    pixels: Tensor
    K: Tensor
    T_camera_world: Tensor


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Exact tracks of a grid of anchors from every frame to the two before and after it."""
    world = RoomWorld(Spec(seed=2, frames=FRAMES, width=WIDTH, height=HEIGHT, speed=8.0))
    v, u = torch.meshgrid(torch.arange(2.0, HEIGHT, 4), torch.arange(2.0, WIDTH, 4), indexing="ij")
    pixels = torch.stack([u.flatten(), v.flatten()], -1)
    pairs = [(i, j) for i in range(FRAMES) for j in range(FRAMES) if 0 < abs(i - j) <= 2]
    observed, seen = zip(*(world.track(i, j, pixels.double()) for i, j in pairs), strict=True)
    source, target = torch.tensor(pairs).T
    edges = Edges(source, target, torch.stack(observed).float(), torch.stack(seen).float())
    return Clip(edges, pixels, world.K.float(), se3_inverse(world.poses).float())


def centres(T_camera_world: Tensor) -> Tensor:
    return se3_inverse(T_camera_world.double())[:, :3, 3]


def error(found: Tensor, truth: Tensor) -> float:
    """RMSE of the camera's places after Sim(3), as a share of the path's length."""
    a, b = centres(found), centres(truth)
    c, R, t = umeyama(a, b)
    return float((c * a @ R.T + t - b).square().sum(-1).mean().sqrt() / (b[1:] - b[:-1]).norm(dim=-1).sum())


def spoiled(edges: Edges, share: float) -> Edges:
    """This share of all tracks ends somewhere in the image."""
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(edges.weight.shape, generator=generator) < share
    anywhere = torch.rand(edges.observed.shape, generator=generator) * torch.tensor([WIDTH, HEIGHT])
    return edges._replace(observed=torch.where(wrong[..., None], anywhere, edges.observed))


def without(edges: Edges, touching: Tensor) -> Edges:
    """The edges, of which these see nothing."""
    return edges._replace(weight=torch.where(touching[:, None], 0.0, edges.weight))


def edge(clip: Clip, i: int, j: int) -> int:
    return int(torch.nonzero((clip.edges.source == i) & (clip.edges.target == j)))


@pytest.mark.parametrize("outliers", [0.0, 0.2])
def test_two_views_give_the_motion_up_to_scale(clip, outliers):
    e = edge(clip, 4, 6)
    found = two_view(spoiled(clip.edges, outliers), clip.pixels, clip.K, e, seed=0)
    truth = clip.T_camera_world[6] @ se3_inverse(clip.T_camera_world[4])
    t, true_t = found.T_target_source[:3, 3], truth[:3, 3]
    assert found.edge == e
    assert float(angle(found.T_target_source[:3, :3].mT @ truth[:3, :3]).rad2deg()) < 0.1
    assert float(torch.cosine_similarity(t, true_t, dim=0).acos().rad2deg()) < 1.5
    assert found.inliers == pytest.approx(1 - outliers, abs=0.07)
    assert 1 < found.parallax < 45


def test_two_views_without_sight_of_each_other_say_nothing(clip):
    e = edge(clip, 4, 6)
    unseen = without(clip.edges, torch.arange(len(clip.edges.source)) == e)
    assert two_view(unseen, clip.pixels, clip.K, e, 0).inliers == 0


def test_it_starts_where_agreement_and_parallax_are_best(clip):
    T = se3_inverse(clip.T_camera_world[0]) @ clip.T_camera_world[0]
    best = replace(two_view(clip.edges, clip.pixels, clip.K, edge(clip, 7, 9), 0), inliers=0.8)
    seeds = [TwoView(edge(clip, 2, 3), T, 0.9, 0.1), best, TwoView(edge(clip, 5, 6), T, 0.1, 9.0)]
    track = start(clip.edges, clip.pixels, clip.K, FRAMES, seeds)
    assert track.placed == {7, 9}
    assert float(track.scene.inverse_depth[7].median()) == pytest.approx(1, abs=0.1)  # the unit is the typical depth


def test_arriving_points_lie_where_they_are_seen(clip):
    depth = torch.rand(FRAMES, len(clip.pixels), generator=torch.Generator().manual_seed(0)) + 1
    scene = Scene(clip.T_camera_world, 1 / depth, clip.K)
    some = clip.edges.subset(clip.edges.target == 5)
    world, seen = arriving_points(scene, some, clip.pixels)
    assert len(world) == len(seen) == int((some.weight > 0).sum())
    first = some.subset(torch.arange(1))
    world, seen = arriving_points(scene, first, clip.pixels)
    T, keep = scene.T_camera_world[int(first.source)], first.weight[0] > 0
    local = world @ T[:3, :3].T + T[:3, 3]  # back in the frame they were lifted from
    torch.testing.assert_close((local @ clip.K.T)[:, :2] / local[:, 2:], clip.pixels[keep], atol=1e-2, rtol=0)
    torch.testing.assert_close(local[:, 2], depth[int(first.source)][keep], atol=1e-4, rtol=0)
    assert torch.equal(seen, first.observed[0][keep])


def test_resection_finds_the_camera_among_outliers_and_refuses_too_few_points(generator):
    points = torch.rand(60, 3, generator=generator) * torch.tensor([4.0, 3, 4]) - torch.tensor([2.0, 1.5, -3])
    K = torch.tensor([[80.0, 0, 47.5], [0, 80, 31.5], [0, 0, 1]])
    seen = (points @ K.T)[:, :2] / points[:, 2:]
    seen[:15] += 20
    pose = resection(points, seen, K, seed=0)
    assert pose is not None
    torch.testing.assert_close(pose, torch.eye(4), atol=1e-4, rtol=0)
    assert resection(points[15:30], seen[15:30], K, seed=0) is None
    assert resection(points, torch.rand(60, 2, generator=generator) * 90, K, seed=0) is None


@pytest.mark.parametrize(("outliers", "tolerance"), [(0.0, 1e-5), (0.2, 0.001)])
def test_the_path_is_the_one_that_was_walked(clip, outliers, tolerance):
    track = reconstruct(spoiled(clip.edges, outliers), clip.pixels, clip.K, FRAMES)
    assert track.placed == set(range(FRAMES))
    assert track.lost == []
    assert error(track.scene.T_camera_world, clip.T_camera_world) < tolerance
    turns = clip.T_camera_world[:, :3, :3].mT @ track.scene.T_camera_world[:, :3, :3]  # of one world in the other
    assert float(angle(turns[:1].mT @ turns).max().rad2deg()) < 0.5


def test_depth_is_the_worlds_up_to_one_scale(clip):
    """The truth is how the exact tracks triangulate from the true poses."""
    track = reconstruct(clip.edges, clip.pixels, clip.K, FRAMES)
    true = Scene(clip.T_camera_world, torch.ones_like(track.scene.inverse_depth), clip.K)
    logs = []
    for k in range(FRAMES):
        q = triangulate(true, clip.edges, clip.pixels, k, 0.4)
        known = (q != 0.4) & (track.scene.inverse_depth[k] > 0)
        logs.append((track.scene.inverse_depth[k] / q).log()[known])
    together = torch.cat(logs)
    assert float((together - together.median()).abs().median()) < 0.01


def test_a_frame_without_correspondences_is_reported_lost_and_the_others_are_not(clip):
    touching = (clip.edges.source == 5) | (clip.edges.target == 5)
    track = reconstruct(without(clip.edges, touching), clip.pixels, clip.K, FRAMES)
    rest = [k for k in range(FRAMES) if k != 5]
    assert track.lost == [5]
    assert track.placed == set(range(FRAMES))
    assert torch.isfinite(track.scene.T_camera_world).all()
    assert error(track.scene.T_camera_world[rest], clip.T_camera_world[rest]) < 1e-5


def test_shots_without_a_common_edge_do_not_spoil_each_other(clip):
    """A cut between frames 6 and 7: the shot it starts in is whole, and the cut is reported."""
    across = (clip.edges.source < 7) != (clip.edges.target < 7)
    track = reconstruct(clip.edges.subset(~across), clip.pixels, clip.K, FRAMES)
    shots = [set(range(7)), set(range(7, FRAMES))]
    lost = set(track.lost)
    whole = [sorted(shot) for shot in shots if not shot & lost]
    assert len(whole) == 1
    assert error(track.scene.T_camera_world[whole[0]], clip.T_camera_world[whole[0]]) < 1e-5
    assert all(torch.isfinite(x).all() for x in track.scene)


def test_the_same_seed_gives_the_same_bits(clip):
    a, b = (reconstruct(spoiled(clip.edges, 0.2), clip.pixels, clip.K, FRAMES, seed=3) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a.scene, b.scene, strict=True))


def test_as_many_frames_as_were_asked_for(clip):
    told = []
    track = reconstruct(clip.edges, clip.pixels, clip.K, FRAMES, limit=6, progress=lambda *x: told.append(x))
    assert len(track.placed) == 6
    assert told == [(k, 6) for k in range(3, 7)]
    assert reconstruct(clip.edges, clip.pixels, clip.K, FRAMES, limit=99).placed == set(range(FRAMES))


def test_the_next_frame_is_the_one_that_sees_most_of_what_is_known():
    edges = Edges(torch.tensor([0, 0, 1, 5, 4]), torch.tensor([2, 3, 3, 4, 2]), torch.zeros(5, 1, 2), torch.ones(5, 1))
    seen = torch.tensor([30.0, 20, 20, 90, 90])
    assert next_frame(edges, seen, {0, 1}, 7) == 3      # 40 over two edges; what frame 4 sees of 5 is not known yet
    assert next_frame(edges, seen, {0, 1, 3}, 7) == 2
    assert next_frame(edges, seen, {5}, 7) == 4
    assert next_frame(edges, seen, {6}, 7) == 5         # sees nothing, as all others: the nearest in time
