"""Things that fly: closed ways, exact truth of what moves, displacements that grow with difficulty."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from epipole.geometry.motion import se3_exp
from epipole.sources.worlds import FIELDS, Spec, World
from epipole.sources.worlds.camera import pixel_centres
from epipole.sources.worlds.families.flying import CLASSES, FASTEST, PLANS, loop, thing
from epipole.sources.worlds.moving import Looping
from epipole.sources.worlds.render import cast
from epipole.sources.worlds.spline import spline, turns_between, uncoupled

SIZE = {"width": 96, "height": 72}
START = torch.from_numpy(pixel_centres(96, 72))


@pytest.fixture(scope="module", params=[2, *(pytest.param(k, marks=pytest.mark.slow) for k in (0, 1, 3))])
def world(request: pytest.FixtureRequest) -> World:
    return World(Spec("flying", request.param, seed=1, frames=6, **SIZE), FIELDS - {"imu"})


@pytest.fixture(scope="module")
def flies(world: World) -> np.ndarray:
    """[h * w] which pixels of view 2 show something that moves."""
    instance = world.scene.instance[cast(world.moment(2), world.camera(2)).hits.face]
    return np.isin(instance, list(world.scene.motions))


def test_what_flies_is_found_where_its_pose_takes_it(world: World, flies: np.ndarray) -> None:
    """Reprojection, with nothing but depth, poses and T_world_object: the ray to there meets the same point."""
    a, b = 2, 3
    view = cast(world.moment(a), world.camera(a))
    there, seen = world.track(a, b, START)
    chosen = flies & seen.numpy()
    assert chosen.mean() > 0.03
    k = world.scene.instance[view.hits.face[chosen]]
    T = world.moment(b).T_world_object[k] @ np.linalg.inv(world.moment(a).T_world_object[k])
    point = view.origin + view.hits.t[chosen, None] * view.directions[chosen]
    moved = np.einsum("nij,nj->ni", T[:, :3, :3], point) + T[:, :3, 3]
    pixels, z = world.camera(b).project(moved)
    np.testing.assert_allclose(pixels, there.numpy()[chosen], atol=1e-9)
    met = cast(world.moment(b), world.camera(b), pixels).hits
    same = world.scene.instance[met.face] == k
    assert same.mean() > 0.995
    assert np.median(np.abs(met.t / z - 1)[same]) < 1e-9


def test_flow_there_and_back_returns(world: World, flies: np.ndarray) -> None:
    there, seen = world.track(2, 3, START)
    back, _ = world.track(3, 2, there)
    error = (back - START).norm(dim=1)
    assert float(error[seen].quantile(0.97)) < 1e-6
    assert float(error[seen & torch.from_numpy(flies)].quantile(0.9)) < 0.05


def test_all_truths_come_both_ways(world: World, flies: np.ndarray) -> None:
    views = world.clip([2, 3])
    torch.testing.assert_close(views.backward_flow[1], views.flow[1])
    assert 0.005 < float(views.occlusion.float().mean()) < 0.3
    assert not (views.occlusion & views.flow_valid).any()
    assert views.depth_valid.all()  # the hall is closed
    assert len(views.instance.unique()) > 10
    assert views.scene_flow[0].norm(dim=0).reshape(-1)[torch.from_numpy(flies)].median() > 0.01
    for instance in views.instance.unique():
        assert len(views.semantic[views.instance == instance].unique()) == 1


def test_a_loop_closes_and_is_smooth_and_rigid() -> None:
    gen = torch.Generator().manual_seed(0)
    way = Looping(se3_exp(0.4 * torch.randn(5, 6, generator=gen, dtype=torch.float64)), 0.5, 0.3)
    np.testing.assert_allclose(way(0.0), way(2.5), atol=1e-12)
    np.testing.assert_allclose(way(-0.7), way(1.8), atol=1e-12)
    R = way(0.9)[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    knot, h = 0.5 * 4 - 0.3, 1e-5  # from the last knot to the first one
    before, after = (way(knot) - way(knot - h)) / h, (way(knot + h) - way(knot)) / h
    np.testing.assert_allclose(before, after, atol=1e-3)


@pytest.mark.parametrize("level", range(4))
def test_things_keep_their_pace_and_their_distance(level: int) -> None:
    rng, plan = np.random.default_rng(level), PLANS[level]
    pace = []
    for _ in range(30):
        way = loop(rng, plan, 4.0, 0.5)
        u = (torch.arange(40).double() / 30 + way.phase) / way.interval % len(way.knots)
        at = uncoupled(*way._closed, u)[:, :3, 3].numpy()
        np.testing.assert_allclose(way(1.0)[:3, 3], at[30], atol=1e-6)
        pace.append(np.linalg.norm(np.diff(at, axis=0), axis=1).mean() * 133 / 4)
    assert 0.4 * plan.pace < np.median(pace) < 1.3 * plan.pace
    assert max(pace) < 1.5 * FASTEST


@pytest.mark.parametrize("level", [1, 3])
def test_nothing_that_flies_dips_into_the_hall(level: int) -> None:
    """Every corner of every thing all the way round, also of what spins fastest."""
    world = World(Spec("flying", level, seed=level))
    place = world.scene
    hall = place.corners[np.isin(place.instance, np.flatnonzero(place.kind == CLASSES.index("hall")))]
    hall, wall = hall.reshape(-1, 3), np.array([0.6, 0.6, 0.2])
    low, high = hall.min(0) + wall, hall.max(0) - wall
    for k, motion in place.motions.items():
        own = place.corners[place.instance == k].reshape(-1, 3)[::3]
        T = uncoupled(*motion._closed, torch.arange(0, len(motion.knots), 0.17).double())
        at = np.einsum("nij,pj->npi", T[:, :3, :3], own) + T[:, None, :3, 3].numpy()
        assert (at > low).all()
        assert (at < high).all()


def test_places_and_rotations_apart_are_those_of_scipy() -> None:
    knots = se3_exp(torch.randn(7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    u = torch.linspace(0, 3.999, 20).double()
    T = uncoupled(knots, turns_between(knots), u).numpy()
    expected = BSpline(np.arange(-3.0, 8.0), knots[:, :3, 3].numpy(), 3)(u.numpy())
    np.testing.assert_allclose(T[:, :3, 3], expected, atol=1e-12)
    alone = knots.clone()
    alone[:, :3, 3] = 0
    np.testing.assert_allclose(T[:, :3, :3], spline(alone, u)[:, :3, :3], atol=1e-12)


def test_things_are_of_every_kind_and_centred() -> None:
    rng = np.random.default_rng(0)
    pieces = [thing(rng) for _ in range(60)]
    assert {p.kind for p in pieces} == set(CLASSES[3:])
    for piece in pieces:
        corners = np.concatenate([part.mesh.corners.reshape(-1, 3) for part in piece.parts])
        assert np.abs(corners).max() < 1.6
        assert np.abs(corners[:, 2].min() + corners[:, 2].max()) < 0.25


def displacements(level: int, seeds: int) -> np.ndarray:
    """Of pixels that stay visible, px a frame at a width of 256."""
    out = []
    for seed in range(seeds):
        world = World(Spec("flying", level, seed=seed, frames=4, width=64, height=48))
        for i in (0, 2):
            flow, seen = world.flow(i, i + 1)
            out.append(4 * flow.norm(dim=0)[seen[0]].numpy())
    return np.concatenate(out)


def test_displacements_keep_to_the_target_and_grow_with_difficulty() -> None:
    """Median 2 to 8 px and 99th percentile up to 40 px at 256 x 192 and difficulty 2."""
    middle, top = np.quantile(displacements(2, 4), [0.5, 0.99])
    assert 2 < middle < 8
    assert 15 < top < 40
    assert np.quantile(displacements(0, 2), 0.99) < top < 1.2 * np.quantile(displacements(3, 2), 0.99)
