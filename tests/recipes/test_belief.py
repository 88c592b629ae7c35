"""Flow that calls infinitely far what keeps pace with the camera does not teach, where the start knows better."""

import numpy as np
import pytest
import torch

from epipole.geometry.motion import se3_inverse
from epipole.geometry.warp import rigid_flow
from epipole.recipes.learn_video.belief import AROUND, MISSED, Belief, doubted
from epipole.recipes.learn_video.predict import Predicted
from epipole.recipes.learn_video.teach import Lessons
from epipole.types.views import Views

PATCH = (slice(None), slice(None), slice(20, 44), slice(30, 60))


def start_of(exact, folder, unit: float = 0.5) -> Belief:
    """A start that knows the room, in a unit of its own."""
    return Belief.build(folder / "start", exact.keys,
                        lambda k: Predicted(unit * exact.depth[k].numpy(), np.zeros((64, 96), np.float32)))


def far_pair(exact) -> tuple[int, Views, torch.Tensor]:
    """The pair, and its number, in which most of a patch that is seen as if it were infinitely far shows to be so, by
    more than `MISSED`; and where."""
    plain, found = Lessons(exact.keys, [exact.store], exact.solution, 0), []
    for index in range(len(plain)):
        views = plain.pair(index)
        T = se3_inverse(views.T_world_camera.flip(0)) @ views.T_world_camera
        T[:, :3, 3] = 0
        turned = rigid_flow(torch.ones_like(views.depth), T, views.K, views.K)[0]
        flow, shows = views.flow.clone(), torch.zeros_like(views.flow_valid)
        shows[PATCH] = ((turned - flow).norm(dim=1, keepdim=True) > MISSED + 0.5)[PATCH]
        flow[PATCH] = turned[PATCH]
        found.append((index, Views(**views.fields() | {"flow": flow}), shows & views.flow_valid))
    return max(found, key=lambda one: int(one[2].sum()))


def test_what_keeps_pace_with_the_camera_does_not_teach(exact):
    index, views, shows = far_pair(exact)
    frames = Lessons(exact.keys, [exact.store], exact.solution, 0).frames(index)
    left = doubted(views, exact.depth[frames][:, None])
    assert shows.sum() > 200
    assert not (left.flow_valid & shows).any()
    beside = torch.ones_like(shows)
    beside[..., 20 - AROUND:44 + AROUND, 30 - AROUND:60 + AROUND] = False
    assert torch.equal(left.flow_valid & beside, views.flow_valid & beside)
    assert torch.equal(left.depth_valid, views.depth_valid)


def test_right_flow_teaches_though_the_start_errs(exact):
    plain = Lessons(exact.keys, [exact.store], exact.solution, 0)
    noise = torch.Generator().manual_seed(0)
    for index in range(0, len(plain), 7):
        views, depth = plain.pair(index), exact.depth[plain.frames(index)][:, None]
        wrong = torch.exp(0.3 * torch.randn(2, 1, 4, 6, generator=noise))
        start = depth * torch.nn.functional.interpolate(wrong, (64, 96), mode="bilinear")
        kept = doubted(views, start).flow_valid
        assert (views.flow_valid & ~kept).float().mean() < 0.002


def test_a_start_that_knows_nothing_of_such_footage_is_not_asked(exact):
    plain = Lessons(exact.keys, [exact.store], exact.solution, 0)
    views = plain.pair(len(plain) - 1)
    nothing = doubted(views, torch.full_like(views.depth, 0.05))
    assert torch.equal(nothing.flow_valid, views.flow_valid)


def test_anchors_beyond_belief_do_not_teach(exact):
    plain = Lessons(exact.keys, [exact.store], exact.solution, 0)
    views, start = plain.pair(0), exact.depth[plain.frames(0)][:, None]
    one = torch.zeros_like(views.depth_valid)
    one.view(-1)[views.depth_valid.view(-1).nonzero()[5]] = True
    far = Views(**views.fields() | {"depth": torch.where(one, 4 * views.depth, views.depth)})
    assert torch.equal(doubted(far, start).depth_valid, views.depth_valid & ~one)


def test_the_start_s_unit_is_what_most_anchors_agree_on(exact, tmp_path):
    lessons, belief = Lessons(exact.keys, [exact.store], exact.solution, 0), start_of(exact, tmp_path)
    scene = exact.solution.scene
    wild = torch.rand(scene.inverse_depth.shape, generator=torch.Generator().manual_seed(1))
    q = torch.where(wild < 0.6, scene.inverse_depth * 10 ** (6 * wild - 4), scene.inverse_depth)
    found = belief.unit(exact.solution._replace(scene=scene._replace(inverse_depth=q)), lessons.seen)
    assert found == pytest.approx(2.0, rel=0.03)


def test_lessons_ask_the_start_in_the_path_s_unit(exact, tmp_path):
    lessons = Lessons(exact.keys, [exact.store], exact.solution, 0, start_of(exact, tmp_path))
    plain = Lessons(exact.keys, [exact.store], exact.solution, 0)
    assert lessons.unit == pytest.approx(2.0, rel=0.01)
    assert torch.equal(lessons.pair(3).flow_valid, plain.pair(3).flow_valid)
    index, views, shows = far_pair(exact)
    flow = lessons.stores[0].flow
    changed = np.stack([flow[i] for i in range(len(lessons))])
    changed[index] = views.flow.permute(0, 2, 3, 1).numpy()
    lessons.stores[0].flow = changed
    try:
        assert not (lessons.pair(index).flow_valid & shows).any()
    finally:
        lessons.stores[0].flow = flow


def test_an_interrupted_start_leaves_nothing_to_be_mistaken_for_it(exact, tmp_path):
    def interrupted(k: int) -> Predicted:
        if k == 3:
            raise KeyboardInterrupt
        return exact.depth_of(k)

    with pytest.raises(KeyboardInterrupt):
        Belief.build(tmp_path / "start", exact.keys, interrupted)
    assert not (tmp_path / "start").exists()
    again = start_of(exact, tmp_path).of(np.array([4, 9]))
    torch.testing.assert_close(again[:, 0], 0.5 * exact.depth[[4, 9]], rtol=1e-3, atol=0)
