"""The contract that every system in the table of contents keeps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import epipole.systems
from epipole.engine.fit import Train, fit
from epipole.engine.precision import channels_last, networks_in_bf16
from epipole.engine.system import System
from epipole.geometry.camera import pixel_grid
from epipole.geometry.sample import sample
from epipole.recipes.train import load_model, save_model
from epipole.systems import SYSTEMS, config_class, load, presets
from epipole.types.errors import InputError, MissingField
from epipole.types.predictions import Prediction
from epipole.types.views import Views
from tests.scene import plane_clip, plane_pair, plane_stack, plane_views

each = pytest.mark.parametrize("name", SYSTEMS)
SETTLING = {"gordon", "gordon_masked", "sfmnet", "sfmnet_camera", "sfmnet_depth"}  # these find the motion with a swing
#                                         and swing about it unless the learning rate falls
STEPS = {
    "flownetc": 40,     # at first, products of features are small beside the features of the first image
    "sfmnet": 50, "sfmnet_depth": 50,  # with batch-norm depth swings at first
    "demon": 40,        # six tenths of its loss (flow, trust in it, translation) fall once it tells pairs apart
}


def make(name: str, seed: int = 0, augment: bool = True) -> System:
    """The small preset; without what it changes at random in its batches, where its Config can say so."""
    torch.manual_seed(seed)
    config = presets(name)["small"]
    still = {} if augment else {k: v for k, v in (("augment", False), ("turn", 0.0)) if hasattr(config, k)}
    return load(name)(replace(config, **still))


def scenes_for(system: System, **size: int) -> Views:
    """A clip, or rectified pairs or focal stacks for a system that learns from those."""
    if "focus" in system.needs:
        return plane_stack(**size)
    return (plane_pair if system.needs & {"baseline", "disparity"} else plane_clip)(**size)


def terms(system: System, views: Views) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return system.loss(views.keep(system.needs))


def predict(system: System, views: Views) -> dict[str, Tensor]:
    with torch.no_grad():
        return system.eval()(views.keep(system.reads)).fields()


def gap(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Largest difference relative to the size of the field."""
    assert a.keys() == b.keys()
    return max(float((a[k] - b[k]).abs().max() / a[k].abs().max()) for k in a)


def test_the_scene_agrees_with_itself():
    views = plane_clip()
    for n in range(3):
        at = pixel_grid(64, 96, views.flow) + views.flow[:, n]
        seen, inside = sample(views.image[:, (n + 1) % 3], at)
        assert torch.equal(inside, views.flow_valid[:, n])
        assert inside.float().mean() > 0.7
        assert ((seen - views.image[:, n]).abs() * inside).max() < 0.01


def test_the_pair_agrees_with_itself():
    views = plane_pair()
    for n, sign in ((0, -1), (1, 1)):
        flow = torch.cat([sign * views.disparity[:, n], torch.zeros_like(views.disparity[:, n])], 1)
        torch.testing.assert_close(flow, views.flow[:, n], atol=1e-4, rtol=0)
        seen, inside = sample(views.image[:, 1 - n], pixel_grid(64, 96, flow) + flow)
        assert inside[views.disparity_valid[:, n]].all()
        assert inside.float().mean() > 0.7
        assert ((seen - views.image[:, n]).abs() * inside).max() < 0.01


def test_the_stack_is_sharpest_where_its_focus_is():
    views = plane_stack(1, 7)
    sharp = plane_views(torch.eye(4)[None, None], 64, 96)
    wrong = torch.nn.functional.avg_pool2d((views.image - sharp.image).abs().mean(2), 9, 1, 4)[0]
    best = views.focus[0][wrong.argmin(0)]
    known = (sharp.depth[0, 0, 0] > 2.2) & (sharp.depth[0, 0, 0] < 4.5)
    assert (1 / best - 1 / sharp.depth[0, 0, 0])[known].abs().mean() < 0.03  # slices are 0.05 apart


@each
def test_loss_terms_are_finite_scalars(name):
    system = make(name)
    for term in terms(system, scenes_for(system)).values():
        assert term.ndim == 0
        assert torch.isfinite(term)


@each
def test_a_gradient_reaches_every_weight(name):
    """By its loss, or in one of its stages."""
    system = make(name)
    views = scenes_for(system)
    torch.stack(list(terms(system, views).values())).sum().backward()
    dead = {n: p for n, p in system.named_parameters() if p.grad is None or not p.grad.any()}
    for _, loss in system.stages().values() if dead else ():
        sum(loss(views.keep(system.needs)).values()).backward()
    assert [n for n, p in dead.items() if p.grad is None or not p.grad.any()] == []
    assert all(torch.isfinite(p.grad).all() for p in system.parameters())


@each
def test_learns_one_batch_by_heart(name):
    system, totals = make(name, augment=False), []
    views = scenes_for(system, height=32, width=48)
    final = 0.1 if name in SETTLING else 1.0
    fit(system, lambda _: views, Train(steps=STEPS.get(name, 20), learning_rate=2e-3, final=final, device="cpu"),
        on_step=lambda step, batch, terms: totals.append(float(sum(terms.values()))))
    assert max(totals[-3:]) < 0.5 * totals[0]


@each
def test_predicts_from_what_it_reads_alone(name):
    system = make(name).eval()
    prediction = system(scenes_for(system).keep(system.reads))
    assert isinstance(prediction, Prediction)
    assert prediction.fields()
    assert all(torch.isfinite(x).all() for x in prediction.fields().values())


@each
def test_does_not_read_beyond_its_needs(name):
    system = make(name)
    views = scenes_for(system)
    given = views.keep(system.needs)
    terms(system, given)
    assert given.fields().keys() == system.needs
    for field in system.needs:  # and needs no more than it says: without any one of them it cannot
        with pytest.raises(MissingField):
            system.loss(given.keep(system.needs - {field}))


@each
def test_leaves_its_batch_as_it_was(name):
    system = make(name)
    views = scenes_for(system)
    before = {k: v.clone() for k, v in views.fields().items()}
    terms(system, views)
    predict(system, views)
    assert all(torch.equal(v, before[k]) for k, v in views.fields().items())


@each
def test_saves_and_loads_to_equal_predictions(name, tmp_path):
    system = make(name)
    views = scenes_for(system)
    fit(system, lambda _: views, Train(steps=2, device="cpu"))
    save_model(tmp_path / "model.safetensors", name, presets(name)["small"], system)
    back = load_model(tmp_path / "model.safetensors")
    assert type(back) is load(name)
    assert gap(predict(system, views), predict(back, views)) == 0


@each
def test_same_seed_same_weights(name):
    a, b, c = (make(name, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


@each
def test_bf16_and_channels_last_do_not_change_predictions(name):
    system = make(name)
    views = scenes_for(system)
    fit(system, lambda _: views, Train(steps=5, device="cpu"))
    expected = predict(system, views)
    channels_last(system)
    assert gap(expected, predict(system, views)) < 1e-4
    with networks_in_bf16(system):
        assert gap(expected, predict(system, views)) < 0.03


@each
def test_a_prediction_does_not_depend_on_its_neighbours_in_the_batch(name):
    system = make(name)
    views = scenes_for(system)
    fit(system, lambda _: views, Train(steps=2, device="cpu"))
    together = predict(system, views)
    alone = predict(system, views.map(lambda x: x[:1]))
    assert gap(alone, {k: v[:1] for k, v in together.items()}) < 1e-4


@each
def test_refuses_wrong_shapes_in_words(name):
    system = make(name)
    views = scenes_for(system)
    fields = views.keep(system.needs).fields()
    with pytest.raises((TypeError, InputError)):  # grey and alpha
        system.loss(Views(**fields | {"image": views.image[:, :, [0, 0, 1, 2]]}))
    for field in system.needs - {"image"}:  # one view too few
        with pytest.raises(TypeError):
            Views(**fields | {field: fields[field][:, 1:]})
    with pytest.raises((TypeError, InputError)):  # no scenes
        system.loss(views.keep(system.needs).map(lambda x: x[0]))


@each
def test_says_where_it_comes_from_and_what_it_reads(name):
    cls = load(name)
    assert cls.paper.startswith("https://")
    assert cls.__doc__
    assert cls.reads
    assert cls.needs
    assert cls.needs | cls.reads <= Views.hints().keys()
    assert {"paper", "small"} <= presets(name).keys()
    assert all(isinstance(config, config_class(name)) for config in presets(name).values())


def test_the_table_of_contents_is_complete():
    root = Path(epipole.systems.__file__).parent
    files = {".".join(f.relative_to(root).with_suffix("").parts) for f in root.rglob("*.py") if f.stem != "__init__"}
    assert files == {place.split(":")[0] for place in SYSTEMS.values()}


def test_a_system_that_is_not_in_the_table_is_refused():
    with pytest.raises(InputError):
        load("sfmteacher")
