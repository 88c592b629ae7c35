"""Systems that learn stage by stage."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from epipole.cli import main
from epipole.engine.fit import Train
from epipole.engine.system import System
from epipole.recipes.staged import SCHEDULES, Schedule, Stage, fit_in_stages, schedule_of
from epipole.recipes.train import asked, load_model, sampled, train
from epipole.systems import load, presets
from epipole.systems.depth import demon
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.runs import write_truth
from tests.scene import plane_clip

SHORT = Schedule((Stage("flow1", 2, 1e-3, 0.5), Stage("motion2", 2, 1e-3), Stage("refine", 2, 1e-3, 0.5)))
HOW = Train(steps=6, device="cpu", log_every=1)


class Pairs:
    """Three pairs; `stop` pulls the plug at the so-manieth that is asked for."""

    def __init__(self, stop: int = 0):
        scenes = plane_clip(3, 2, 32, 48)
        self.pairs, self.left = [scenes.map(lambda x, i=i: x[i]) for i in range(3)], stop

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Views:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.pairs[index]


@pytest.fixture
def tiny(monkeypatch):
    config = replace(demon.PRESETS["small"], height=32, width=32, channels=0.05)
    monkeypatch.setitem(demon.PRESETS, "small", config)


def made(name: str) -> System:
    torch.manual_seed(0)
    return load(name)(presets(name)["small"])


def trained(pairs: Pairs, out: Path) -> System:
    return fit_in_stages(made("demon"), lambda size: sampled(pairs, size, 0), SHORT, HOW, 2, out)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_stages_are_the_systems_and_all_its_networks_learn(name):
    system = made(name)
    assert [stage.name for stage in SCHEDULES[name].stages] == list(system.stages())
    learned = {child for learning, _ in system.stages().values() for child in learning}
    assert learned == {child for child, _ in system.named_children()}


def test_a_stage_changes_its_networks_alone(tiny, tmp_path):
    before, found = made("demon").state_dict(), trained(Pairs(), tmp_path)
    assert all(p.requires_grad for p in found.parameters())
    changed = {name.split(".")[0] for name, w in found.state_dict().items() if not torch.equal(w, before[name])}
    assert changed == {"bootstrap_flow", "iterative_motion", "refinement"}


def test_cut_off_within_a_stage_it_goes_on_to_the_same_weights(tiny, tmp_path):
    whole = trained(Pairs(), tmp_path / "a").state_dict()
    with pytest.raises(KeyboardInterrupt):
        trained(Pairs(stop=5), tmp_path / "b")
    again = trained(Pairs(), tmp_path / "b").state_dict()
    assert all(torch.equal(w, again[name]) for name, w in whole.items())


def test_stages_share_the_steps_and_samples_as_the_schedule_does(tmp_path, monkeypatch):
    told_of = []

    def told(system, batches, how, loss, log, checkpoint):
        told_of.append((checkpoint.stem, batches, how.steps, how.learning_rate, how.final, how.weight_decay))

    monkeypatch.setattr("epipole.recipes.staged.fit", told)
    fit_in_stages(made("demon"), lambda size: size, SCHEDULES["demon"], Train(4250, learning_rate=2.5e-4), 32, tmp_path)
    assert told_of[0] == ("flow1", 32, 1000, 2.5e-4, 0.005, 4e-4)
    assert told_of[1][3] == pytest.approx(2e-4)
    assert told_of[4][:3] == ("iterative", 8, 1500)
    assert sum(steps for _, _, steps, *_ in told_of) == 4250


def test_rates_are_in_proportion_to_the_one_that_is_asked_for():
    schedule, asked = SCHEDULES["posenet_geometric"], Train(steps=100, learning_rate=1e-3, final=0.05)
    first, second = (schedule.how(stage, asked) for stage in schedule.stages)
    assert (first.steps, first.learning_rate, first.final) == (75, 1e-3, 0.05)
    assert (second.steps, second.learning_rate, second.final) == (25, pytest.approx(1e-4), 0.05)


def test_where_no_rate_is_given_stages_have_the_papers():
    schedule = SCHEDULES["unflow"]
    for given, rates in ((None, (1e-4, 1e-5)), (5e-4, (5e-4, 5e-5))):
        how = asked("unflow", True, given, steps=10)
        assert [schedule.how(stage, how).learning_rate for stage in schedule.stages] == pytest.approx(rates)
    assert asked("unflow", False, None, final=0.1) == Train(final=0.1)
    with pytest.raises(InputError, match="one stage"):
        asked("fcrn", True, None)


def test_a_training_in_stages_leaves_its_model_and_is_another_training(tiny, tmp_path):
    how = replace(HOW, steps=7)
    found = train("demon", Pairs(), "small", how, tmp_path, 1, staged=True)
    back = load_model(tmp_path / "model.safetensors")
    assert all(torch.equal(w, found.state_dict()[name]) for name, w in back.state_dict().items())
    with pytest.raises(InputError, match="staged"):
        train("demon", Pairs(), "small", how, tmp_path, 1)


def test_a_system_of_one_stage_is_refused_in_words(tmp_path, capsys):
    with pytest.raises(InputError, match="one stage"):
        schedule_of("fcrn")
    footage = str(write_truth(tmp_path / "truth"))
    assert main(["train", "fcrn", "--data", footage, "--staged", "-o", str(tmp_path / "m")]) == 2
    assert "demon, eigen, garg" in capsys.readouterr().err
