import json
from dataclasses import asdict, dataclass, replace

import pytest
import torch
import yaml
from safetensors.torch import save_file

from epipole.engine.checkpoint import read_tensors, write_tensors
from epipole.engine.fit import Train
from epipole.engine.log import read_log
from epipole.recipes.train import config_from, load_model, sampled, save_model, train
from epipole.systems import load, presets
from epipole.types.errors import InputError, MissingField
from epipole.types.views import Views
from tests.scene import plane_clip

NAME = "sfmlearner"
SHORT = Train(steps=4, device="cpu", log_every=2)


class Clips:
    """Five clips; `read` remembers which were asked for, `stop` pulls the plug at the so-manieth."""

    def __init__(self, stop: int | None = None):
        scenes = plane_clip(scenes=5, height=32, width=48)
        self.clips = [scenes.map(lambda x, i=i: x[i]) for i in range(5)]
        self.read: list[int] = []
        self.stop = stop

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Views:
        self.read.append(index)
        if len(self.read) == self.stop:
            raise KeyboardInterrupt
        return self.clips[index]


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


def test_every_sample_once_an_epoch_in_an_order_of_its_own():
    source = Clips()
    batch = sampled(source, 2, seed=0)
    for step in range(10):  # four epochs of five, in batches that straddle them
        batch(step)
    epochs = [source.read[i : i + 5] for i in range(0, 20, 5)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    again = Clips()
    sampled(again, 2, seed=0)(7)
    assert again.read == source.read[14:16]  # a batch is a function of the step
    other = Clips()
    for step in range(10):
        sampled(other, 2, seed=1)(step)
    assert other.read != source.read


def test_leaves_a_run_folder_from_which_the_system_comes_back(tmp_path):
    system = train(NAME, Clips(), train=SHORT, out=tmp_path / "run", batch_size=2)
    assert not system.training
    assert same(system, load_model(tmp_path / "run" / "model.safetensors"))
    assert [line["step"] for line in read_log(tmp_path / "run" / "log.jsonl")] == [0, 2, 3]
    report = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())
    assert report["finished"] is True
    assert report["arguments"]["system"] == NAME
    assert report["arguments"]["seed"] == 0
    assert report["steps"] == 4
    assert report["versions"].keys() == {"python", "torch", "numpy", "opencv"}


def test_the_model_file_holds_config_and_name(tmp_path):
    config = replace(presets(NAME)["small"], smoothness=0.25, explain=False)
    save_model(tmp_path / "m", NAME, config, load(NAME)(config))
    metadata = read_tensors(tmp_path / "m")[1]
    assert metadata["system"] == NAME
    assert json.loads(metadata["config"])["smoothness"] == 0.25
    assert load_model(tmp_path / "m").config == config


def test_interrupted_and_called_again_ends_bit_equal(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(NAME, Clips(stop=6), train=replace(SHORT, checkpoint_every_seconds=0.0), out=tmp_path / "a", batch_size=2)
    assert yaml.safe_load((tmp_path / "a" / "run.yaml").read_text())["finished"] is False
    assert not (tmp_path / "a" / "model.safetensors").exists()
    source = Clips()
    resumed = train(NAME, source, train=SHORT, out=tmp_path / "a", batch_size=2)
    assert len(source.read) < 2 * SHORT.steps
    assert same(resumed, train(NAME, Clips(), train=SHORT, out=tmp_path / "b", batch_size=2))


def test_a_budget_becomes_steps_that_the_first_run_decides(tmp_path):
    budget = replace(SHORT, seconds=1.0)
    train(NAME, Clips(), train=budget, out=tmp_path, batch_size=2)
    steps = yaml.safe_load((tmp_path / "run.yaml").read_text())["steps"]
    assert 2 <= steps < 1000
    source = Clips()
    train(NAME, source, train=budget, out=tmp_path, batch_size=2)
    assert len(source.read) <= 1  # nothing was timed again, and nothing was left to do
    assert yaml.safe_load((tmp_path / "run.yaml").read_text())["steps"] == steps


def test_a_training_too_short_for_all_to_be_learned_is_refused(tmp_path):
    with pytest.raises(InputError, match="only after 750 steps"):
        train("gordon", Clips(), preset="small_static", train=replace(SHORT, steps=750), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_refuses_in_words(tmp_path):
    train(NAME, Clips(), train=replace(SHORT, steps=1), out=tmp_path / "a", batch_size=2)
    with pytest.raises(InputError):  # another training in the same folder
        train(NAME, Clips(), train=replace(SHORT, steps=1, seed=1), out=tmp_path / "a", batch_size=2)
    with pytest.raises(InputError):
        train("nobody", Clips(), train=SHORT, out=tmp_path / "b")
    with pytest.raises(InputError):
        train(NAME, Clips(), preset="huge", train=SHORT, out=tmp_path / "b")
    empty, blind = Clips(), Clips()
    empty.clips = []
    with pytest.raises(InputError):
        train(NAME, empty, train=SHORT, out=tmp_path / "b")
    blind.clips = [clip.keep({"image"}) for clip in blind.clips]
    with pytest.raises(MissingField, match=f"{NAME} cannot learn from this data: it needs K, and .* only image; "):
        train(NAME, blind, train=SHORT, out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_other_data_is_another_training(tmp_path):
    def learn(**data: object) -> None:
        train(NAME, Clips(), train=replace(SHORT, steps=1), out=tmp_path, batch_size=2,
              data={"data": "a", "data_sha256": "1", "width": 48} | data)

    learn()
    learn(data="the same in another place")
    assert yaml.safe_load((tmp_path / "run.yaml").read_text())["arguments"]["data_sha256"] == "1"
    for name, other in (("data_sha256", "2"), ("width", 32)):
        with pytest.raises(InputError, match=f"another training \\({name}\\)"):
            learn(**{name: other})
    with pytest.raises(InputError, match="data_sha256, width"):
        train(NAME, Clips(), train=replace(SHORT, steps=1), out=tmp_path, batch_size=2)


def test_foreign_model_files_are_refused(tmp_path):
    config = presets(NAME)["small"]
    save_model(tmp_path / "good", NAME, config, load(NAME)(config))
    tensors, metadata = read_tensors(tmp_path / "good")
    save_file(tensors, tmp_path / "no metadata")
    (tmp_path / "not safetensors").write_bytes(b"PK\x03\x04" + bytes(100))
    lost = next(name for name in tensors if name.endswith("weight"))
    some = {name: value for name, value in tensors.items() if name != lost}
    write_tensors(tmp_path / "a weight is missing", some, metadata)
    write_tensors(tmp_path / "unknown system", tensors, metadata | {"system": "os.system"})
    write_tensors(tmp_path / "another system", tensors, metadata | {"system": "vid2depth"})
    write_tensors(tmp_path / "another config", tensors, metadata | {"config": '{"width": 0.5}'})
    write_tensors(tmp_path / "unknown field", tensors, metadata | {"config": '{"colour": 1}'})
    write_tensors(tmp_path / "no config", tensors, {k: v for k, v in metadata.items() if k != "config"})
    write_tensors(tmp_path / "config is a list", tensors, metadata | {"config": "[1]"})
    for file in set(tmp_path.iterdir()) - {tmp_path / "good"}:
        with pytest.raises(InputError):
            load_model(file)
    with pytest.raises(InputError):
        load_model(tmp_path / "absent")
    assert isinstance(load_model(tmp_path / "good"), load(NAME))


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    span: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    name: str = "a"


def test_a_config_survives_json():
    config = Outer(Inner((3, 4)), ((0.5, 1.0), (2.0, 3.0)), "b")
    assert config_from(Outer, json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(TypeError):
        config_from(Outer, {"unknown": 1})
