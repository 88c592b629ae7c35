"""Depth by reprojection on rendered pairs: the tests that a fake would fail."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from epipole.engine.fit import Train, fit
from epipole.geometry.camera import intrinsics, pixel_grid, project, transform, unproject
from epipole.geometry.motion import se3_exp
from epipole.geometry.sample import sample
from epipole.systems.depth.reprojection import PRESETS, ReprojectionDepth, following
from epipole.types.errors import InputError, MissingField
from epipole.types.predictions import Depth
from epipole.types.views import Views
from tests.systems.rendering import BOXES, relative, render

H, W = 48, 64
K = intrinsics(60.0, 60.0, 31.5, 23.5)
TINY = replace(PRESETS["small"], widths=(8, 12, 16, 20))
UNIT = 5.0  # the typical depth, which makes the path's unit
PATCH = (slice(None), slice(None), slice(None), slice(14, 30), slice(20, 40))
INNER = (slice(None), slice(None), slice(None), slice(16, 28), slice(22, 38))  # of the patch: SSIM looks at neighbours
SEEN_BY_DEPTH = ("reprojection", "consistency", "photometric")


def pair(dtype: torch.dtype = torch.float32) -> Views:
    """Two views of boxes with exact depth, path and flow, and where nothing hides the point in the other view."""
    twists = torch.tensor([[0, 0, 0, 0, 0, 0], [0.5, 0.1, 0.2, 0.01, -0.03, 0.02]], dtype=torch.float64)
    poses = se3_exp(twists)
    image, depth = render(poses, K, H, W, BOXES)
    poses[:, :3, 3], depth = poses[:, :3, 3] / UNIT, depth / UNIT
    T = torch.stack([relative(poses, 1, 0), relative(poses, 0, 1)])
    cloud = transform(T, unproject(depth, K.expand(2, 3, 3)))
    at, _ = project(cloud, K.expand(2, 3, 3))
    surface, inside = sample(depth.flip(0), at)
    seen = inside & ((surface / cloud[:, 2:] - 1).abs() < 0.01)
    fields = {"image": image, "K": K.expand(2, 3, 3), "T_world_camera": poses, "depth": depth,
              "flow": at - pixel_grid(H, W, at)}
    return Views(**{k: v.to(dtype)[None] for k, v in fields.items()}, flow_valid=seen[None],
                 depth_valid=torch.ones_like(seen)[None])


def system(**changes: object) -> ReprojectionDepth:
    torch.manual_seed(0)
    return ReprojectionDepth(replace(TINY, **changes))  # type: ignore[arg-type]


def terms(views: Views, depth: Tensor, **changes: object) -> dict[str, Tensor]:
    """The loss of this depth (all terms)."""
    return system(**changes).objective(views, Depth(depth=depth, log_variance=torch.zeros_like(depth)))


def test_the_pair_is_fit_to_judge_by():
    views = pair()
    assert 0.6 < views.flow_valid.float().mean() < 0.99
    assert views.flow.norm(dim=2).median() > 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_true_depth_leaves_nothing_to_learn(dtype):
    views = pair(dtype)
    right = terms(views, views.depth)
    assert right["reprojection"] < 1e-6
    assert right["consistency"] < 1e-4
    assert right["photometric"] < 0.002
    assert right["triangulated"] == 0


def mirrored(depth: Tensor) -> Tensor:
    """The hollow face: near and far exchanged about the typical depth."""
    typical = depth.log().mean().exp()
    return typical**2 / depth


def flat(depth: Tensor) -> Tensor:
    return torch.full_like(depth, float(depth.median()))


@pytest.mark.parametrize("wrong", [lambda d: 1.1 * d, lambda d: d / 1.1, lambda d: 2 * d, mirrored, flat],
                         ids=["far", "near", "twice", "hollow", "flat"])
def test_wrong_depth_costs_in_every_term_that_sees_depth(wrong):
    views = pair()
    right = terms(views, views.depth)
    # wrong by more than three pixels would count as moving
    bad = terms(views, wrong(views.depth), moving=1e3)
    assert bad["reprojection"] > 0.05 + 100 * right["reprojection"]
    assert bad["photometric"] > 1.4 * right["photometric"]
    assert bad["triangulated"] > 0.05
    assert bad["consistency"] > 0.001


def test_farther_off_costs_more():
    views = pair()
    for signs in ([1.02, 1.05, 1.1, 1.2, 1.5], [0.98, 0.95, 0.9, 0.8, 0.7]):
        costs = [float(terms(views, s * views.depth)["reprojection"]) for s in signs]
        assert costs == sorted(costs)


def test_every_pixel_alone_is_led_to_its_true_depth():
    """Descent on free log depth by reprojection and consistency alone ends at the truth, from depth 1."""
    views = pair()
    log_depth = torch.full_like(views.depth, 0.0).requires_grad_()
    model = system(photometric=0.0, smoothness=0.0)
    optimiser = torch.optim.Adam([log_depth], 0.03)
    for step in range(150):
        optimiser.param_groups[0]["lr"] = 0.03 * (1 - step / 150)
        optimiser.zero_grad()
        predicted = Depth(depth=log_depth.exp(), log_variance=torch.zeros_like(log_depth))
        losses = model.objective(views, predicted)
        (losses["reprojection"] + losses["consistency"]).backward()
        optimiser.step()
    apart = (log_depth.detach() - views.depth.log()).abs()[views.flow_valid]
    assert apart.median() < 0.01
    assert apart.quantile(0.9) < 0.05


def pull(views: Views, name: str, **changes: object) -> Tensor:
    """Gradient of one term by the depth of the first view, at a depth near the truth."""
    depth = (1.02 * views.depth).requires_grad_()
    terms(views, depth, **changes)[name].backward()
    assert depth.grad is not None
    return depth.grad


def moving(views: Views, px: float) -> Views:
    """The same pair where a patch of the first view flows by this much more than it should."""
    flow = views.flow.clone()
    flow[:, :1][PATCH] += px
    return Views(**views.fields() | {"flow": flow})


@pytest.mark.parametrize(("px", "name"), [(5.0, "photometric"), (25.0, "photometric"), (25.0, "reprojection")])
def test_a_moving_patch_does_not_pull_depth(px, name):
    """Colours do not teach where flow contradicts the path; beyond `farthest` the flow itself does not either."""
    still, moved = pair(), moving(pair(), px)
    assert pull(still, name)[:, :1][PATCH].abs().sum() > 0
    assert (pull(moved, name)[:, :1][INNER] == 0).all()


def test_a_moving_patch_does_not_pull_by_consistency():
    """The patch of the first view is not moved; what its look-ups touch in the second neither."""
    views = moving(pair(), 5.0)
    only = torch.zeros_like(views.flow_valid)
    only[:, :1][PATCH] = True
    alone = Views(**views.fields() | {"flow_valid": views.flow_valid & only})
    assert (pull(alone, "consistency") == 0).all()
    assert pull(Views(**pair().fields() | {"flow_valid": alone.flow_valid}), "consistency").abs().sum() > 0


def test_what_flow_does_not_confirm_teaches_nothing():
    views = pair()
    valid = views.flow_valid.clone()
    valid[:, :1][PATCH] = False
    wild = moving(Views(**views.fields() | {"flow_valid": valid}), 2.0)
    for name in ("reprojection", "photometric"):
        assert (pull(wild, name)[:, :1][INNER] == 0).all()


def test_nothing_seen_is_no_error_and_no_nan():
    views = pair()
    blind = Views(**views.fields() | {"flow_valid": torch.zeros_like(views.flow_valid),
                                      "depth_valid": torch.zeros_like(views.depth_valid)})
    losses = terms(blind, views.depth)
    assert all(losses[name] == 0 for name in (*SEEN_BY_DEPTH, "uncertainty", "triangulated"))


def test_unknown_depth_may_be_anything():
    views = pair()
    known = views.depth_valid.clone()
    known[..., :10] = False
    depth = torch.where(known, views.depth, torch.nan)
    wild = Views(**views.fields() | {"depth": depth, "depth_valid": known})
    free = (1.1 * views.depth).requires_grad_()
    term = terms(wild, free, triangulated=1.0)["triangulated"]
    term.backward()
    assert float(term.detach()) == pytest.approx(torch.tensor(1.1).log().item(), rel=1e-4)
    assert torch.isfinite(free.grad).all()
    assert (free.grad[..., :10] == 0).all()


def test_log_variance_is_best_where_it_is_the_size_of_the_error():
    """Laplace: the scale b that minimises |e| / b + log b is |e|."""
    views = pair()
    depth = views.depth.clone()
    depth[:, :1] *= 1.2  # the views disagree by 20 %
    costs = {}
    for b in (0.05, 0.1, 0.18, 0.3, 0.6):
        log_variance = torch.full_like(depth, 2 * torch.tensor(b).log().item())
        costs[b] = float(system().objective(views, Depth(depth=depth, log_variance=log_variance))["uncertainty"])
    assert min(costs, key=costs.__getitem__) == 0.18


def test_the_error_is_not_made_smaller_by_saying_it_is_certain():
    """The likelihood teaches the variance alone, never depth."""
    views = pair()
    assert pull_of_uncertainty(views) is None


def pull_of_uncertainty(views: Views) -> Tensor | None:
    depth, log_variance = (1.1 * views.depth).requires_grad_(), torch.zeros_like(views.depth).requires_grad_()
    system().objective(views, Depth(depth=depth, log_variance=log_variance))["uncertainty"].backward()
    assert log_variance.grad is not None
    assert log_variance.grad.any()
    return depth.grad


def test_anchors_can_be_left_out():
    views = pair()
    assert set(system().loss(views)) - set(system(triangulated=0.0).loss(views)) == {"triangulated"}


def test_the_icp_term_is_there_on_request_and_sees_misalignment():
    views = pair()
    assert "icp" not in terms(views, views.depth)
    torch.manual_seed(1)
    right = terms(views, views.depth, icp=1.0)["icp"]
    torch.manual_seed(1)
    wrong = terms(views, flat(views.depth) * torch.linspace(0.8, 1.2, W), icp=1.0, moving=1e3)["icp"]
    assert right < 0.6 * wrong


def test_depth_starts_near_one_and_stays_in_its_span():
    model = system(depth_span=0.5)
    with torch.no_grad():
        first = model(pair()).depth
        assert (first.log().abs() < 0.2).all()
        for p in model.parameters():
            p.mul_(3)
        wild = model(pair()).depth.log()
    assert wild.abs().max() <= 0.5 + 1e-5


def test_the_next_view_of_the_last_is_the_first_of_the_same_scene():
    assert following(2, 3).tolist() == [1, 2, 0, 4, 5, 3]
    assert following(2, 1).tolist() == [0, 1]


def test_scenes_do_not_look_at_each_other():
    """Two scenes in a batch cost the mean of what they cost alone."""
    a, b = pair(), pair()
    b = Views(**b.fields() | {"image": 1 - b.image})
    both = Views(**{k: torch.cat([v, b.fields()[k]]) for k, v in a.fields().items()})
    wrong = 1.1 * both.depth
    together = terms(both, wrong)
    for name in SEEN_BY_DEPTH:
        alone = (terms(a, wrong[:1])[name] + terms(b, wrong[1:])[name]) / 2
        torch.testing.assert_close(together[name], alone)


@pytest.mark.parametrize("shape", [(1, 2, 4, H, W), (1, 2, 1, H, W), (2, 3, H, W)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(InputError):
        system()(Views(image=torch.rand(shape)))


def test_a_missing_field_is_named():
    views = pair()
    with pytest.raises(MissingField):
        system().loss(views.keep(ReprojectionDepth.needs - {"flow"}))


# ---- learned from nothing ------------------------------------------------------------------------------------------


def blind(views: Views) -> Views:
    """The pair without its depth."""
    return Views(**views.fields() | {"depth": torch.ones_like(views.depth),
                                     "depth_valid": torch.zeros_like(views.depth_valid)})


def learned(views: Views, steps: int) -> Depth:
    """What a network says of the pair after these steps on it alone, without having seen depth."""
    torch.manual_seed(0)
    model = ReprojectionDepth(replace(PRESETS["small"], triangulated=0.0))
    how = Train(steps=steps, learning_rate=2e-3, warmup=20, final=0.02, weight_decay=1e-2, device="cpu")
    fit(model, lambda _: blind(views), how)
    with torch.no_grad():
        return model(views)


def abs_rel(depth: Tensor, truth: Tensor) -> float:
    return float(((depth - truth).abs() / truth).mean())


def test_a_network_learns_the_depth_of_a_pair_from_nothing():
    """No truth, no rescaling: the path gives the unit. Judged everywhere, and where the other view sees the point."""
    views = pair()
    predicted, seen = learned(views, 250).depth, views.flow_valid
    constant = min(abs_rel(torch.full_like(views.depth, float(d)), views.depth) for d in torch.linspace(0.4, 1.4, 51))
    assert constant > 0.2
    assert abs_rel(predicted, views.depth) < 0.3 * constant
    assert abs_rel(predicted[seen], views.depth[seen]) < 0.1 * constant
    relief = torch.corrcoef(torch.stack([predicted[seen].log(), views.depth[seen].log()]))[0, 1]
    assert relief > 0.95  # of a hollow face it would be negative


def test_it_is_less_sure_where_views_contradict_each_other():
    """Flow in the patch is noise of some pixels: depth of the two views cannot agree there, and the network says so."""
    views = pair()
    flow = views.flow.clone()
    noise = 6 * torch.randn(flow.shape, generator=torch.Generator().manual_seed(0))
    flow[:, :1][PATCH] += noise[:, :1][PATCH]
    found = learned(Views(**views.fields() | {"flow": flow}), 200).log_variance
    patch = torch.zeros_like(views.flow_valid)
    patch[:, :1][PATCH] = True
    inside, outside = (found[views.flow_valid & m].median() for m in (patch, ~patch))
    assert inside > outside + 1
