"""DeMoN, stage by stage."""

from dataclasses import replace

import pytest
import torch

from epipole.engine.fit import Train
from epipole.recipes.demon import SCHEDULE, Stage, train_demon
from epipole.recipes.train import load_model
from epipole.systems.depth import demon
from epipole.types.views import Views
from tests.scene import plane_clip

SHORT = [Stage("flow1", 2, 1e-3, 1), Stage("motion2", 2, 1e-3, 2), Stage("refine", 2, 1e-3, 1)]
TRAIN = Train(device="cpu", log_every=1)


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
    torch.manual_seed(0)
    return demon.Demon(config)


def test_the_stages_are_the_systems_and_all_its_networks_learn(tiny):
    assert [s.name for s in SCHEDULE] == list(tiny.stages())[:-1]
    learned = {name for s in SCHEDULE for name in tiny.stages()[s.name][0]}
    assert learned == {name for name, _ in tiny.named_children()}


def test_a_stage_changes_its_networks_alone(tiny, tmp_path):
    before = tiny.state_dict()
    found = train_demon(Pairs(), tmp_path, schedule=SHORT, train=TRAIN)
    assert all(p.requires_grad for p in found.parameters())
    changed = {name.split(".")[0] for name, w in found.state_dict().items() if not torch.equal(w, before[name])}
    assert changed == {"bootstrap_flow", "iterative_motion", "refinement"}
    back = load_model(tmp_path / "model.safetensors")
    assert all(torch.equal(w, found.state_dict()[name]) for name, w in back.state_dict().items())


def test_cut_off_within_a_stage_it_goes_on_to_the_same_weights(tiny, tmp_path):
    whole = train_demon(Pairs(), tmp_path / "a", schedule=SHORT, train=TRAIN).state_dict()
    with pytest.raises(KeyboardInterrupt):
        train_demon(Pairs(stop=5), tmp_path / "b", schedule=SHORT, train=TRAIN)
    again = train_demon(Pairs(), tmp_path / "b", schedule=SHORT, train=TRAIN).state_dict()
    assert all(torch.equal(w, again[name]) for name, w in whole.items())
