"""DeMoN: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from epipole.engine.fit import Train, fit
from epipole.geometry.motion import angle, se3_inverse
from epipole.losses.two_views import Scene
from epipole.systems.depth.demon import PRESETS, Demon, camera
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.scene import plane_clip, plane_views
from tests.systems.test_pairs_learned import textures

TINY = replace(PRESETS["paper"], height=64, width=64, channels=0.05, iterations=2)
NETWORKS = ["bootstrap_flow", "bootstrap_motion", "iterative_flow", "iterative_motion", "refinement"]


def system(**changes) -> Demon:
    torch.manual_seed(0)
    return Demon(replace(TINY, **changes)).eval()


def told_the_truth(learner: Demon, views: Views) -> Demon:
    """With networks that know the answer, and are sure of it."""
    fine, full = (learner.truth(views, scale) for scale in (4, 1))
    flow = torch.cat([fine.flow, torch.ones_like(fine.flow)], 1)
    said = {"iterative_flow": (flow, flow), "iterative_motion": fine.scene, "refinement": full.scene.rho}
    learner.answers = lambda first, second: iter(said.items())
    return learner


def test_weights_of_the_paper():
    with torch.device("meta"):
        paper = Demon()
    assert [name for name, _ in paper.named_children()] == NETWORKS
    assert sum(p.numel() for p in paper.parameters()) == 45_753_883


def test_a_refinement_that_adds_begins_with_what_it_enlarges():
    torch.manual_seed(1)
    learner, images = system(residual=True), torch.rand(2, 2, 3, 64, 64)
    with torch.no_grad():
        learner.iterative_motion.decoder.predict[-1].bias[0] = 0.7  # a depth far from that of the start
    said = dict(learner.answers(*images.unbind(1)))
    enlarged = F.interpolate(said["iterative_motion"].rho, (64, 64))
    assert enlarged.mean() > 0.6
    torch.testing.assert_close(said["refinement"], enlarged, atol=0.02, rtol=0)
    alone = dict(system().answers(*images.unbind(1)))["refinement"]
    torch.testing.assert_close(alone, torch.full_like(alone, learner.config.start), atol=0.01, rtol=0)


def test_what_the_networks_say_comes_back_in_the_images_own_camera_and_one_unit():
    views = plane_clip(2, 3, 96, 128)
    wide = views.K * torch.tensor([1, 1.1, 1])[:, None]  # cameras of a lens, and pixels, that the networks do not know
    views = plane_views(views.T_world_camera, 96, 128, wide)
    found = told_the_truth(system(height=192, width=256), views)(views.keep(Demon.reads))
    T = se3_inverse(views.T_world_camera[:, :1]) @ views.T_world_camera
    unit = T[:, 1, :3, 3].norm(dim=-1)[:, None, None]
    inner = (..., slice(12, -12), slice(12, -12))  # the networks' camera sees less than these
    torch.testing.assert_close((found.depth * unit[..., None, None])[inner], views.depth[inner], rtol=0.01, atol=0)
    torch.testing.assert_close(found.T_first_camera[..., :3, 3] * unit, T[..., :3, 3], rtol=0.02, atol=2e-3)
    assert angle(found.T_first_camera[..., :3, :3].mT @ T[..., :3, :3]).max() < 1e-3
    torch.testing.assert_close(found.flow[inner], views.flow[inner], atol=0.1, rtol=0)
    torch.testing.assert_close(found.normals.norm(dim=2)[inner], torch.ones(2, 3, 72, 104))
    assert found.normals[inner][:, :, 2].max() < -0.8
    torch.testing.assert_close(found.confidence, torch.ones_like(found.confidence))


def test_the_truth_costs_nothing_and_every_term_sees_an_error():
    views, learner = plane_clip(1, 2), system()
    truths = {scale: learner.truth(views, scale) for scale in (1, 4, 32)}
    scene, sure = truths[4].scene, [torch.cat([t.flow, torch.ones_like(t.flow)], 1) for t in (truths[32], truths[4])]
    for said in (scene, truths[1].scene.rho, tuple(sure)):
        assert max(learner.objective(said, truths).values()) < 1e-3
    off = Scene(2 * scene.rho, -scene.normals, scene.rotation + 0.1, -scene.translation)
    wrong = learner.objective(off, truths)
    mirrored = learner.objective(scene._replace(rho=scene.rho.flip(-1)), truths)
    assert wrong.pop("depth_gradient") < 0.1 * mirrored["depth_gradient"]  # which hardly sees a wrong scale
    assert min(wrong.values()) > 1
    assert float(wrong["rotation"]) == pytest.approx(3 * 160 * 0.1, rel=0.02)
    assert float(wrong["translation"]) == pytest.approx(90 * float(scene.translation.abs().sum(1).mean()), rel=0.02)
    assert min(learner.objective(tuple(-x for x in sure), truths).values()) > 1


def test_no_gradient_leads_into_the_iteration_before():
    views, learner = plane_clip(1, 2), system()
    *_, (_, scene), (_, refined) = learner.answers(*learner.pairs(views))
    weights = {name: list(network.parameters()) for name, network in learner.named_children()}

    def reached(x: Tensor) -> list[str]:
        return [name for name, w in weights.items()
                if any(g is not None for g in torch.autograd.grad(x.sum(), w, allow_unused=True, retain_graph=True))]

    assert reached(scene.rho) == ["iterative_flow", "iterative_motion"]
    assert reached(refined) == ["refinement"]
    second = dict(learner.answers(*learner.pairs(views)))["iterative_flow"][1]
    assert reached(second) == ["iterative_flow"]


def test_the_second_image_tells_depth_and_an_iteration_reads_the_answer_before():
    views, learner = plane_clip(1, 2), system()
    first, second = learner.pairs(views)
    with torch.no_grad():
        a, b = (dict(learner.answers(first, x))["bootstrap_motion"].rho for x in (second, second.flip(-1)))
        assert (a - b).abs().max() > 1e-7
        answers = list(learner.answers(first, second))
        learner.bootstrap_motion.motion[-1].bias += 0.3
        others = list(learner.answers(first, second))
    assert torch.equal(answers[0][1][1], others[0][1][1])
    assert (answers[2][1][1] - others[2][1][1]).abs().max() > 1e-5


@pytest.mark.parametrize(("stage", "learning", "asked"), [
    ("flow1", ["bootstrap_flow"], 1), ("motion1", ["bootstrap_motion"], 2), ("flow2", ["iterative_flow"], 3),
    ("motion2", ["iterative_motion"], 4), ("iterative", ["iterative_flow", "iterative_motion"], 6),
    ("refine", ["refinement"], 7),
])
def test_a_stage_asks_no_further_than_it_learns(stage, learning, asked):
    views, learner, said = plane_clip(1, 2), system(), []
    for name, network in learner.named_children():
        network.register_forward_hook(lambda *_, name=name: said.append(name))
        network.requires_grad_(name in learning)
    sum(learner.loss(views.keep(Demon.needs), stage).values()).backward()
    assert len(said) == asked
    assert [name for name, n in learner.named_children() if any(p.grad is not None for p in n.parameters())] == learning


def test_pairs_that_do_not_move_and_depth_that_is_not_known_teach_nothing_wrong():
    views, learner = plane_clip(1, 2), system()
    hole = views.depth_valid.clone()
    hole[..., :32, :] = False
    fields = views.keep(Demon.needs).fields()
    wild = torch.where(hole, views.depth, torch.nan)
    a, b = (learner.loss(Views(**fields | {"depth": d, "depth_valid": hole})) for d in (views.depth, wild))
    assert all(torch.equal(a[term], b[term]) for term in a)
    still = Views(**fields | {"T_world_camera": torch.eye(4).expand(1, 2, 4, 4)})
    terms = learner.loss(still)
    assert terms["translation"] == 0
    sum(terms.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in learner.parameters())


def test_a_single_view_and_sizes_that_do_not_halve_five_times_are_refused():
    with pytest.raises(InputError, match="two or more"):
        system()(plane_clip(1, 1).keep(Demon.reads))
    with pytest.raises(ValueError, match="32"):
        system(height=100)


def moved(step: int, scenes: int = 4) -> Views:
    """A textured wall across the view, as cameras see it that stand up to eight pixels' worth beside each other."""
    g, side, most, z = torch.Generator().manual_seed(step), 64, 8, 3.0
    canvas = textures(scenes, side + 2 * most, side + 2 * most, g)
    shift = torch.randint(-most, most + 1, (scenes, 2), generator=g)
    first, second = (torch.stack([c[:, most - y : most - y + side, most - x : most - x + side]
                                  for c, (x, y) in zip(canvas, s.tolist(), strict=True)]) for s in (0 * shift, shift))
    K = camera(first).expand(scenes, 3, 3)
    T = torch.eye(4).repeat(scenes, 2, 1, 1)
    T[:, 1, :2, 3] = -shift * z / K[0].diagonal()[:2]
    depth = torch.full((scenes, 2, 1, side, side), z)
    return Views(image=torch.stack([first, second], 1), K=K[:, None].expand(-1, 2, -1, -1), T_world_camera=T,
                 depth=depth, depth_valid=depth > 0)


@pytest.mark.slow
def test_it_learns_flow_between_views_that_it_has_not_seen_and_iterating_does_not_make_it_worse():
    """And an image and itself show little flow. With a tenth of the weight that the paper gives relative differences,
    the first network learned nothing in as many steps."""
    torch.manual_seed(0)
    learner = Demon(replace(PRESETS["small"], height=64, width=64, channels=0.25))
    learner = fit(learner, moved, Train(steps=300, learning_rate=2e-3, warmup=20, final=0.1, device="cpu"))
    views = moved(10**6, 16)
    truth = learner.truth(views, 4)
    first, second = learner.pairs(views)
    with torch.no_grad():
        answers = list(learner.answers(first, second))
        still = dict(learner.answers(first, first))["iterative_flow"][1][:, :2]
    length = float(truth.flow.norm(dim=1)[truth.followed[:, 0]].mean())
    begun, ended = (float((said[1][:, :2] - truth.flow).norm(dim=1)[truth.followed[:, 0]].mean()) / length
                    for name, said in answers if name.endswith("flow"))
    assert ended < 0.9
    assert ended < 1.05 * begun
    assert still.norm(dim=1).mean() < 0.5 * length
