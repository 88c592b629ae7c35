"""Lessons: a pure function of (seed, step), whose fields agree with each other."""

import numpy as np
import torch

from epipole.geometry.camera import pixel_grid, project, transform, unproject
from epipole.geometry.motion import se3_inverse
from epipole.recipes.learn_video.solve import edges_of
from epipole.recipes.learn_video.teach import (
    LEAST_SEEN,
    PAIRS,
    Lessons,
    anchor_seen,
    learned_inverse_depth,
    scale_per_frame,
    varied,
)
from epipole.systems.depth.reprojection import ReprojectionDepth
from epipole.types.views import Views


def lessons(exact, seed: int = 0) -> Lessons:
    return Lessons(exact.keys, [exact.store], exact.solution, seed)


def test_every_pair_is_taught_once_an_epoch_in_an_order_of_its_own(exact):
    mine, n = lessons(exact), len(exact.store)
    assert len(mine) == n
    orders = [mine.order(0), mine.order(1), mine.order(7), lessons(exact, 1).order(0)]
    assert all(sorted(order) == list(range(n)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert lessons(exact).order(7) == orders[2]


def test_a_step_does_not_depend_on_the_steps_before(exact):
    began, resumed = lessons(exact), lessons(exact)
    last = len(exact.store) // PAIRS  # its batch straddles two epochs
    for step in range(last + 1):
        torch.manual_seed(step)
        batch = began(step)
    torch.manual_seed(last)
    again = resumed(last)
    assert batch.fields().keys() == again.fields().keys()
    assert all(torch.equal(value, getattr(again, name)) for name, value in batch.fields().items())


def test_a_batch_has_what_the_network_needs(exact):
    batch = lessons(exact)(0)
    assert set(batch.fields()) == ReprojectionDepth.needs
    assert batch.image.shape == (PAIRS, 2, 3, 64, 96)


def test_flow_depth_and_motion_of_a_pair_agree(exact):
    mine = lessons(exact)
    for index in (0, 20, len(mine) - 1):
        pair, (a, b) = mine.pair(index), exact.store.pairs[index]
        T_b_a = se3_inverse(pair.T_world_camera.flip(0)) @ pair.T_world_camera
        pixels, front = project(transform(T_b_a, unproject(exact.depth[[a, b]][:, None], pair.K)), pair.K)
        error = (pixels - pixel_grid(64, 96, pixels) - pair.flow).norm(dim=1, keepdim=True)
        assert pair.flow_valid.float().mean() > 0.3
        assert error[pair.flow_valid & front].max() < 0.05  # half floats
        known = pair.depth_valid
        assert 10 < known[0].sum() <= 96
        torch.testing.assert_close(pair.depth[known], exact.depth[[a, b]][:, None][known])


def test_both_stores_teach(exact):
    both = Lessons(exact.keys, [exact.store, exact.store], exact.solution, 0)
    n = len(exact.store)
    assert len(both) == 2 * n
    for i in (0, 3, n - 1):
        assert torch.equal(both.pair(i).flow, both.pair(n + i).flow)


def test_lessons_follow_another_path(exact):
    lessons = Lessons(exact.keys, [exact.store], exact.solution, 0)
    T = exact.solution.scene.T_camera_world.clone()
    T[:, :3, 3] *= 2
    lessons.follow(exact.solution._replace(scene=exact.solution.scene._replace(T_camera_world=T)))
    a, b = lessons.frames(3)
    torch.testing.assert_close(lessons.pair(3).T_world_camera, se3_inverse(T)[[a, b]])


def test_light_is_drawn_once_for_both_views(exact):
    pair = lessons(exact).pair(3)
    torch.manual_seed(0)
    light, other = varied(pair), varied(pair)
    assert not torch.equal(light.image, other.image)
    assert torch.equal(light.flow, pair.flow)
    assert 0 <= light.image.min() <= light.image.max() <= 1
    same = torch.full_like(pair.image, 0.4)
    same[1, :, 10:] = 0.3
    changed = varied(Views(**pair.fields() | {"image": same})).image
    assert torch.equal(changed[0, :, :10], changed[1, :, :10])
    assert len(changed.unique()) == 6  # two grays in three colours


def test_anchors_seen_equal_a_loop(exact):
    edges, pixels = edges_of([exact.store])
    seen = anchor_seen(edges, 20)
    naive = torch.zeros(20, len(pixels))
    for source, weight in zip(edges.source.tolist(), edges.weight, strict=True):
        naive[source] += weight > 0
    assert torch.equal(seen, naive)
    assert (lessons(exact).seen == (naive >= LEAST_SEEN)).all()


def test_scale_is_learned_over_triangulated_depth(exact):
    seen = lessons(exact).seen
    learned = learned_inverse_depth(exact.depth_of, exact.solution)
    torch.testing.assert_close(learned, exact.solution.scene.inverse_depth)
    np.testing.assert_allclose(scale_per_frame(learned, exact.solution, seen), 1, rtol=1e-6)
    factor = torch.linspace(1, 2, 20)
    scale = scale_per_frame(learned / factor[:, None], exact.solution, seen)
    np.testing.assert_allclose(scale, factor.numpy(), rtol=1e-5)
    nothing = seen.clone()
    nothing[4] = False  # a frame of which no anchor is seen takes what is typical
    assert scale_per_frame(learned / factor[:, None], exact.solution, nothing)[4] in scale
