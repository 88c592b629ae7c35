"""A trained system alone before the judges of the bench."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import epipole
from epipole.cli import main
from epipole.engine.fit import Train
from epipole.methods.flow import FLOWS
from epipole.methods.stereo import Sgm
from epipole.recipes.bench.judging import Looks, judge_flows, judge_pairs
from epipole.recipes.judge_model import is_model, judge_model
from epipole.recipes.samples import Shape, parse_data, samples
from epipole.recipes.train import load_model, train
from epipole.sources.pairs import FlowFolder, StereoFolder
from epipole.types.errors import InputError
from tests.recipes.bench import toy
from tests.runs import write_run, write_truth
from tests.sources.test_pair_folders import write_flow, write_stereo


@pytest.fixture
def pairs(monkeypatch, tmp_path) -> Path:
    toy.install(monkeypatch)
    return write_stereo(tmp_path / "pairs")


def trained(name: str, data: Path, out: Path, shape: Shape) -> Path:
    source = samples(parse_data(str(data)), {"image", "depth", "disparity"} if "stereo" in name else {"image"}, shape,
                     out / "work")
    train(name, source, out=out, train=Train(steps=2, device="cpu"), data=vars(shape))
    return out


def test_a_trained_system_is_judged_at_the_size_that_it_was_trained_on(pairs, tmp_path, capsys):
    folder = trained("toystereo", pairs, tmp_path / "m", Shape(width=32))
    scores, reasons = judge_model(folder, pairs)
    assert reasons == []
    beside = {score.name: score.value for score in judge_pairs(Sgm(16), [StereoFolder(pairs)], Looks(32))}
    alone = judge_pairs(load_model(folder / "model.safetensors"), [StereoFolder(pairs)], Looks(32))
    assert scores == [replace(score, baselines=score.baselines | {"SGM": beside[score.name]}) for score in alone]
    assert set(scores[0].baselines) == {"constant disparity", "SGM"}
    assert scores != judge_pairs(load_model(folder / "model.safetensors"), [StereoFolder(pairs)], Looks(None))
    assert epipole.judge(folder, pairs) == scores
    capsys.readouterr()
    assert main(["judge", str(folder), "--truth", str(pairs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [score.as_dict() for score in scores]


def test_flow_is_judged_beside_dis(monkeypatch, tmp_path):
    toy.install(monkeypatch, "ToyFlow")
    flow = write_flow(tmp_path / "flow")
    folder = trained("toyflow", flow, tmp_path / "m", Shape(frames=2, width=40))
    scores, reasons = judge_model(folder, flow)
    dis = {score.name: score.value for score in judge_flows(FLOWS["dis"], [FlowFolder(flow)], Looks(40))}
    assert {score.name: score.baselines["DIS"] for score in scores} == dis
    assert reasons == []

    def fail(*arguments):
        raise InputError("too small")

    monkeypatch.setattr("epipole.recipes.judge_model._beside_rival", fail)
    alone, reasons = judge_model(folder, flow)
    assert [score.value for score in alone] == [score.value for score in scores]
    assert reasons == ["no scores of DIS beside them: too small"]


def test_fields_that_the_truth_does_not_know_are_told(monkeypatch, tmp_path):
    toy.install(monkeypatch)
    truth = write_truth(tmp_path / "truth")
    folder = trained("toyscaleless", truth, tmp_path / "m", Shape(width=32))
    assert {"abs_rel", "scale_spread"} <= {score.name for score in judge_model(folder, truth)[0]}
    with pytest.raises(InputError, match="no depth scores"):
        judge_model(folder, write_stereo(tmp_path / "pairs", truth=False))


def test_a_run_is_no_model_and_neither_is_nothing(tmp_path):
    assert not is_model(write_run(tmp_path / "run"))
    assert not is_model(tmp_path / "nowhere")
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe: [")
    assert not is_model(tmp_path)
