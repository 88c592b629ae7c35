"""The bench from its command to its table."""

import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from epipole.cli import main
from epipole.judges.score import Score
from epipole.methods.motion import MeanMotion
from epipole.recipes.bench import FIELDS, Bench, bench, cells, entrants, systems_of
from epipole.recipes.bench.cells import Cell, check_same
from epipole.recipes.bench.fields import knows_metres
from epipole.recipes.bench.table import gain, markdown, number, row, spread, with_gains
from epipole.recipes.staged import SCHEDULES, Schedule, Stage
from epipole.recipes.train import load_model
from epipole.systems import SYSTEMS, load
from epipole.types.errors import InputError, MissingField
from epipole.types.views import Views
from tests.recipes.bench import toy
from tests.runs import write_truth
from tests.sources.test_pair_folders import SHIFT, write_flow, write_stereo


@pytest.fixture
def toys(monkeypatch) -> None:
    toy.install(monkeypatch)


@pytest.fixture
def pairs(toys, tmp_path) -> Path:
    return write_stereo(tmp_path / "pairs")


def asked(pairs: Path, **options) -> Bench:
    usual = {"train": str(pairs), "steps": 2, "seeds": 2, "width": 32, "batch": 2, "device": "cpu"}
    return Bench("stereo", ("toystereo",), test=(str(pairs),), **usual | options)


def by_hand(model: Path, pairs: Path) -> np.ndarray:
    """Errors in px of the full images of a network that sees them 32 px wide."""
    system, errors = load_model(model), []
    for i in range(2):
        images = [cv2.imread(str(pairs / side / f"{i}.png"))[..., ::-1] / 255 for side in ("left", "right")]
        image = torch.from_numpy(np.stack(images)).movedim(-1, 1).float()
        small = torch.nn.functional.interpolate(image, (19, 32), mode="bilinear", antialias=True)
        with torch.no_grad():
            found = system(Views(image=small.clamp(0, 1)[None])).disparity[0, 0].numpy()
        full = cv2.resize(found, (40, 24), interpolation=cv2.INTER_LINEAR) * 40 / 32
        errors.append(np.abs(full - SHIFT)[:, SHIFT:])
    return np.concatenate(errors).ravel()


def test_numbers_in_the_table_are_those_of_the_networks_it_leaves(pairs, tmp_path):
    results = bench(asked(pairs), tmp_path / "out")
    assert results["tables"] == json.loads((tmp_path / "out" / "bench.json").read_text())["tables"]
    (table,) = results["tables"]
    rows = {entry["name"]: entry for entry in table["rows"]}
    assert list(rows) == ["constant disparity", "SGM", "toystereo"]
    errors = [by_hand(tmp_path / "out" / "cells" / f"toystereo-{seed}" / "model.safetensors", pairs) for seed in (0, 1)]
    epe, bad = rows["toystereo"]["scores"]["epe"], rows["toystereo"]["scores"]["bad_3"]
    assert epe["values"] == pytest.approx([e.mean() for e in errors], rel=1e-4)
    assert bad["values"] == pytest.approx([100 * (e > 3).mean() for e in errors], abs=0.3)
    assert epe["median"] == pytest.approx(statistics.median(e.mean() for e in errors), rel=1e-4)
    assert epe["values"][0] != epe["values"][1]
    assert rows["constant disparity"]["scores"]["epe"]["median"] == 0
    assert rows["toystereo"]["steps"] == [2, 2]
    assert rows["toystereo"]["weights"] == sum(p.numel() for p in load_model(
        tmp_path / "out" / "cells" / "toystereo-0" / "model.safetensors").parameters())
    share = 100 * (1 - epe["median"] / rows["SGM"]["scores"]["epe"]["median"])
    assert rows["toystereo"]["gains"]["epe over SGM"] == pytest.approx(share)
    page = (tmp_path / "out" / "bench.md").read_text()
    assert f"| {epe['median']:.4g} ({epe['least']:.4g} to {epe['most']:.4g}) |" in page
    assert f"{share:+.0f} %" in page
    assert "epipole bench stereo toystereo --train" in page
    assert "seeds 0 to 1" in page


def test_what_is_finished_is_not_done_again(pairs, tmp_path, monkeypatch):
    once = bench(asked(pairs, seeds=1), tmp_path / "out")
    trained, judged, train = [], [], cells.train
    monkeypatch.setattr(cells, "train", lambda *a: trained.append(a[3].seed) or train(*a))
    field = replace(FIELDS["stereo"], judge=lambda *a, inner=FIELDS["stereo"].judge: judged.append(a[0]) or inner(*a))
    monkeypatch.setitem(FIELDS, "stereo", field)
    assert bench(asked(pairs, seeds=1), tmp_path / "out") == once
    assert (trained, judged) == ([], [])
    twice = bench(asked(pairs), tmp_path / "out")
    assert trained == [1]
    assert len(judged) == 1
    values = [results["tables"][0]["rows"][-1]["scores"]["epe"]["values"] for results in (once, twice)]
    assert values[1][:1] == values[0]


def test_what_is_trained_is_judged_on_worse_images_too_without_training_again(pairs, tmp_path, monkeypatch):
    once = bench(asked(pairs, seeds=1), tmp_path / "out")
    monkeypatch.setattr(cells, "train", lambda *a: pytest.fail("trained again"))
    worse = bench(asked(pairs, seeds=1, spoil=("dark", "blur")), tmp_path / "out")
    assert [table["test"] for table in worse["tables"]] == [str(pairs), f"{pairs}, dark", f"{pairs}, blur"]
    assert worse["tables"][0] == once["tables"][0]
    epes = [[entry["scores"]["epe"]["median"] for entry in table["rows"]] for table in worse["tables"]]
    assert epes[0][0] == epes[1][0] == epes[2][0]  # a constant looks at nothing
    assert len({epe[-1] for epe in epes}) == 3
    assert worse["command"].endswith("--spoil dark blur --device cpu")
    page = (tmp_path / "out" / "bench.md").read_text()
    assert "dark: test images are seen in 2 % of the light" in page
    with pytest.raises(InputError, match="fog"):
        bench(asked(pairs, seeds=1, spoil=("fog",)), tmp_path / "out")


def test_those_that_have_stages_are_trained_in_them_where_that_is_asked_for(pairs, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="in stages"):
        bench(asked(pairs, staged=True), tmp_path / "none")
    monkeypatch.setitem(SCHEDULES, "toystereo", Schedule((Stage("near", 1, 1.0), Stage("far", 2, 0.5))))
    monkeypatch.setattr(load("toystereo"), "stages",
                        lambda self: dict.fromkeys(("near", "far"), (("net",), self.loss)))
    results = bench(asked(pairs, staged=True, seeds=1, steps=6), tmp_path / "out")
    assert results["notes"] == ["toystereo learned in stages, which share the steps: near, far"]
    assert results["tables"][0]["rows"][-1]["steps"] == [6]
    assert "--staged" in results["command"].split()
    phases = [json.loads(line)["phase"] for line in
              (tmp_path / "out" / "cells" / "toystereo-0" / "log.jsonl").read_text().splitlines()]
    assert sorted(set(phases)) == ["far", "near"]
    with pytest.raises(InputError, match="other arguments"):
        bench(asked(pairs, seeds=1, steps=6), tmp_path / "out")


def test_colmap_is_a_rival_in_motion_where_it_is_asked_for_and_installed(tmp_path, monkeypatch):
    truth = str(write_truth(tmp_path / "truth"))
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    results = bench(Bench("motion", ("deepvo",), truth, (truth,), steps=1, seeds=1, width=32, device="cpu",
                          colmap=True), tmp_path / "out")
    assert "COLMAP was not judged here: COLMAP needs pycolmap" in results["tables"][0]["notes"][0]
    monkeypatch.setattr("epipole.recipes.bench.program.Colmap", lambda: MeanMotion(torch.eye(4)))
    results = bench(Bench("motion", ("deepvo",), truth, (truth,), steps=1, seeds=1, width=32, device="cpu",
                          colmap=True), tmp_path / "out")
    rows = {entry["name"]: entry["scores"] for entry in results["tables"][0]["rows"]}
    assert "ate_percent" in rows["COLMAP"]
    assert not any(name.endswith("[m]") for name in rows["COLMAP"])
    with pytest.raises(InputError, match="no rival in depth"):
        bench(Bench("depth", ("fcrn",), truth, (truth,), colmap=True), tmp_path / "depth")


def test_an_interrupted_bench_goes_on_to_the_same_table(pairs, tmp_path, monkeypatch):
    def stop(*arguments):
        if arguments[3].seed == 1:
            raise KeyboardInterrupt
        return train(*arguments)

    train = cells.train
    monkeypatch.setattr(cells, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        bench(asked(pairs), tmp_path / "a")
    monkeypatch.setattr(cells, "train", train)
    (table,) = json.loads((tmp_path / "a" / "bench.json").read_text())["tables"]
    assert table["rows"][-1]["steps"] == [2]
    resumed, whole = bench(asked(pairs), tmp_path / "a"), bench(asked(pairs), tmp_path / "b")
    assert [entry["scores"] for entry in resumed["tables"][0]["rows"]] == [
        entry["scores"] for entry in whole["tables"][0]["rows"]]


def test_a_training_that_fails_is_told_and_the_others_go_on(pairs, tmp_path, monkeypatch):
    train = cells.train

    def fail(*arguments):
        if arguments[3].seed == 0:
            raise InputError("its loss is not finite")
        return train(*arguments)

    monkeypatch.setattr(cells, "train", fail)
    results = bench(asked(pairs), tmp_path / "out")
    assert results["notes"] == ["toystereo, seed 0, was not trained to the end: its loss is not finite"]
    assert len(results["tables"][0]["rows"][-1]["steps"]) == 1
    assert "its loss is not finite" in (tmp_path / "out" / "bench.md").read_text()


def test_what_the_data_cannot_teach_is_left_out_with_the_reason(toys, tmp_path, monkeypatch):
    pairs, able = write_stereo(tmp_path / "pairs", truth=False), ["toystereo", "toyblind"]  # no baseline
    wanted = asked(pairs, seeds=1, steps=1)
    with pytest.raises(MissingField, match="baseline"):
        bench(replace(wanted, systems=tuple(able)), tmp_path / "named")
    assert not (tmp_path / "named" / "cells").exists()
    monkeypatch.setattr(entrants, "systems_of", lambda field: able)
    results = bench(replace(wanted, systems=()), tmp_path / "all")
    assert results["tables"][0]["rows"][-1]["name"] == "toystereo"
    assert len(results["notes"]) == 1
    assert "toyblind cannot learn" in results["notes"][0]
    assert "baseline" in results["notes"][0]


def test_every_system_of_these_kinds_has_a_field():
    found = {name: systems_of(name) for name in FIELDS}
    assert {"sfmlearner", "fcrn", "monodepth"} <= set(found["depth"])
    assert found["focus"] == ["ddff"]
    assert "ddff" not in found["depth"]
    assert {"sfmlearner", "deepvo"} <= set(found["motion"])
    assert {"posenet", "posenet_geometric"} <= set(found["pose"])
    assert {"gcnet", "dispnetc"} <= set(found["stereo"])
    assert {"flownets", "unflow"} <= set(found["flow"])
    assert set(SYSTEMS) == set().union(*found.values())
    assert not set(found["depth"]) & set(found["stereo"])
    assert [knows_metres(name) for name in ("fcrn", "monodepth", "diw", "sfmlearner")] == [True, True, False, False]
    assert load("deepvo").needs >= {"T_world_camera"}


@pytest.mark.parametrize(("command", "word"), [
    (["stereo", "nobody"], "nobody"), (["stereo", "flownets"], "flownets"),
    (["stereo", "--train", "nowhere"], "nowhere"), (["stereo", "--test", "nowhere"], "nowhere"),
    (["stereo", "--train", "pairs", "nowhere"], "nowhere"),
    (["stereo", "--test", "flow"], "left/"),
    (["stereo", "dispnet", "--preset", "huge"], "huge"), (["stereo", "dispnet:huge"], "huge"),
    (["flow", "--train", "pairs"], "first/"),
    (["stereo", "--test", "pairs@0-7"], "7"), (["stereo", "--test", "blind"], "disparity"),
    (["depth", "fcrn", "--train", "truth", "--test", "flow"], "images"),
    (["stereo", "--steps", "3", "--device", "nowhere"], "nowhere"),
    (["depth", "fcrn", "--train", "flow", "--test", "truth"], "depth")])
def test_bad_input_is_one_sentence_and_2(tmp_path, monkeypatch, capsys, command, word):
    monkeypatch.chdir(tmp_path)
    write_stereo(Path("pairs"))
    write_flow(Path("flow"))
    write_truth(Path("truth"))
    for file in (write_stereo(Path("blind")) / "disparity").iterdir():
        file.unlink()
    (Path("blind") / "disparity").rmdir()
    usual = ["--train", "pairs", "--test", "pairs", "--steps", "1", "--width", "32", "--device", "cpu", "-o", "out"]
    given = [word for option, value in zip(usual[::2], usual[1::2], strict=True) if option not in command
             for word in (option, value)]
    assert main(["bench", *command, *given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert word in err
    assert not Path("out/cells").exists()


def test_presets_of_one_system_compete(pairs, tmp_path):
    wanted = replace(asked(pairs, seeds=1, final=0.1), systems=("toystereo", "toystereo:near"))
    (table,) = bench(wanted, tmp_path / "out")["tables"]
    assert [entry["name"] for entry in table["rows"] if entry["learned"]] == ["toystereo", "toystereo:near"]
    found = [load_model(tmp_path / "out" / "cells" / f"{name}-0" / "model.safetensors").config.most
             for name in ("toystereo", "toystereo-near")]
    assert found == [toy.PRESETS[name].most for name in ("small", "near")]
    about = yaml.safe_load((tmp_path / "out" / "cells" / "toystereo-0" / "run.yaml").read_text())
    assert about["arguments"]["final"] == 0.1
    assert "falling to 10 %" in (tmp_path / "out" / "bench.md").read_text()


def test_a_folder_of_another_bench_is_refused(pairs, tmp_path):
    bench(asked(pairs, seeds=1, steps=1), tmp_path / "out")
    with pytest.raises(InputError, match="other arguments"):
        bench(asked(pairs, seeds=1, steps=2), tmp_path / "out")


def test_the_command_prints_the_page(pairs, tmp_path, capsys):
    command = ["bench", "stereo", "toystereo", "--train", str(pairs), "--test", str(pairs), "--steps", "1", "--seeds",
               "1", "--width", "32", "--device", "cpu", "-o", str(tmp_path / "out")]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out.startswith("# epipole bench stereo")
    assert out.splitlines()[-1] == str(tmp_path / "out" / "bench.md")
    assert "| **toystereo** |" in out


def test_several_data_are_learned_from_and_one_is_recorded_as_before(pairs, tmp_path):
    other = write_stereo(tmp_path / "other", pairs=3)
    both, out = asked(pairs, train=(str(pairs), str(other)), seeds=1, steps=1), tmp_path / "both"
    results = bench(both, out)
    assert f"--train {pairs} {other} --test" in results["command"]
    assert any(f"trained on {pairs} and {other}, 32 px" in line for line in results["about"])
    about = yaml.safe_load((out / "cells" / "toystereo-0" / "run.yaml").read_text())
    assert about["arguments"]["samples"] == 2 * 3
    assert json.loads((out / "work" / "bench.json").read_text())["train"] == [str(pairs), str(other)]
    assert bench(both, out) == results  # the folder knows them again
    with pytest.raises(InputError, match="other arguments"):
        bench(asked(pairs, seeds=1, steps=1), out)
    bench(asked(pairs, train=[str(pairs)], seeds=1, steps=1), tmp_path / "one")
    assert json.loads((tmp_path / "one" / "work" / "bench.json").read_text())["train"] == str(pairs)
    bench(asked(pairs, seeds=1, steps=1), tmp_path / "one")


def test_depth_is_judged_scaled_and_in_metres(toys, tmp_path):
    truth = write_truth(tmp_path / "truth")
    wanted = Bench("depth", ("toyscaleless", "toydepth"), str(truth), (f"{truth}@8-11",), steps=1, seeds=1, frames=1,
                   width=64, batch=2, device="cpu")
    results = bench(wanted, tmp_path / "out")
    rows = {entry["name"]: entry for entry in results["tables"][0]["rows"]}
    assert list(rows) == ["constant depth", "train-set mean", "mean per row", "toyscaleless", "toydepth"]
    assert "abs_rel [m]" not in rows["toyscaleless"]["scores"]
    system, errors = load_model(tmp_path / "out" / "cells" / "toydepth-0" / "model.safetensors"), []
    for i in range(8, 12):
        z = cv2.imread(str(truth / "depth" / f"{i:06d}.png"), cv2.IMREAD_UNCHANGED) / 1000
        grey = torch.full((1, 1, 3, 48, 64), 20 * i / 255)
        with torch.no_grad():
            found = system(Views(image=grey)).depth[0, 0, 0].numpy().astype(np.float64)
        full = 1 / cv2.resize(1 / found, (64, 48), interpolation=cv2.INTER_LINEAR)
        scaled = full * np.median(z) / np.median(full)
        errors.append((np.abs(scaled - z) / z).mean())
        errors.append((np.abs(full - z) / z).mean())
    scores = rows["toydepth"]["scores"]
    assert scores["abs_rel"]["median"] == pytest.approx(np.mean(errors[::2]), rel=1e-3)
    assert scores["abs_rel [m]"]["median"] == pytest.approx(np.mean(errors[1::2]), rel=1e-3)
    assert rows["toydepth"]["gains"].keys() == {"abs_rel over constant depth", "abs_rel [m] over train-set mean"}


def score(value: float, name: str = "abs_rel") -> Score:
    return Score(name, value, protocol="p")


def test_the_table_shows_medians_and_spread():
    assert number(spread([score(0.3), score(0.1), score(0.2)])) == "0.2 (0.1 to 0.3)"
    assert number(spread([score(0.25)])) == "0.25"
    cells_of = [Cell({"t": [score(v), score(1 - v, "delta_1")]}, {}, 10**6, 5, 60.0) for v in (0.1, 0.4, 0.2)]
    entry = row("net", cells_of, "t", True)
    assert entry["scores"]["delta_1"]["values"] == pytest.approx([0.9, 0.6, 0.8])
    base = row("base", [Cell({"t": [score(0.4), score(0.4, "delta_1")]}, {})], "t", False)
    rows = with_gains([base, entry], [("abs_rel", "base"), ("delta_1", "base"), ("none", "base")])
    assert rows[1]["gains"] == pytest.approx({"abs_rel over base": 50, "delta_1 over base": 100})
    assert rows[0]["gains"] == {}
    page = markdown({"title": "t", "command": "c", "about": ["a"], "notes": ["n"],
                     "shown": ["abs_rel", "rmse", "delta_1"], "tables": [{"test": "t", "rows": rows, "notes": []}]})
    assert "|  | weights | steps | minutes | abs_rel | delta_1 | abs_rel over base | delta_1 over base |" in page
    assert "| **net** | 1.00 M | 5 | 1.0 | 0.2 (0.1 to 0.4) | 0.8 (0.6 to 0.9) | +50 % | +100 % |" in page
    assert "| base |  |  |  | 0.4 | 0.4 |  |  |" in page
    assert row("net", cells_of, "another test", True) is None


def test_gains_are_signed_by_what_is_better():
    assert gain(0.2, 0.4, "lower") == pytest.approx(50)
    assert gain(0.6, 0.4, "lower") == pytest.approx(-50)
    assert gain(0.6, 0.4, "higher") == pytest.approx(50)
    assert gain(0.2, 0.0, "lower") is None


def test_a_folder_from_before_a_switch_was_there_goes_on(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "bench.json").write_text('{"steps": 3, "augment": false}')
    check_same(tmp_path, {"steps": 3, "augment": False, "bf16": False})
    for other in ({"steps": 3, "augment": True}, {"steps": 3, "bf16": True}, {"steps": 4}):
        with pytest.raises(InputError, match="other arguments"):
            check_same(tmp_path, other)
