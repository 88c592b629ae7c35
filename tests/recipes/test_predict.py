"""What a system sees in every sample, in memory and as files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from epipole.cli import main
from epipole.engine.fit import Train
from epipole.formats import flo, png16
from epipole.methods.flow import FLOWS
from epipole.methods.stereo import Sgm
from epipole.recipes.predict import Seen, predictions, seer_of
from epipole.recipes.predict_folder import write_maps
from epipole.recipes.samples import Shape, parse_data, samples
from epipole.recipes.train import load_model, train
from epipole.sources.pairs import FlowFolder, StereoFolder
from epipole.sources.wrap import resized
from epipole.systems import load
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.recipes.bench import toy
from tests.runs import FRAMES, write_truth
from tests.sources.clips import walking, write_video
from tests.sources.test_pair_folders import SHIFT, H, W, write_flow, write_stereo


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    toy.install(monkeypatch, "ToyUnsure", "ToyFlow")


@pytest.fixture
def pairs(tmp_path) -> Path:
    return write_stereo(tmp_path / "pairs")


def trained(name: str, data: Path, out: Path, width: int) -> Path:
    shape = Shape(frames=2, width=width)
    source = samples(parse_data(str(data)), load(name).needs, shape, out / "work")
    train(name, source, out=out, train=Train(steps=1, device="cpu"), data=vars(shape))
    return out


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def shown(folder: Path) -> list[tuple[int, int]]:
    return [Image.open(file).size for file in sorted((folder / "pictures").iterdir())]


def test_semi_global_matching_is_written_as_kitti_writes_disparity(pairs, tmp_path, capsys):
    assert main(["predict", "sgm", str(pairs), "-o", str(tmp_path / "o")]) == 0
    out, err = capsys.readouterr()
    assert out.split() == [str(tmp_path / "o")]
    assert "predict: 2/2 samples" in err
    assert files(tmp_path / "o") == ["disparity/0.png", "disparity/1.png", "pictures/0.png", "pictures/1.png",
                                     "predictions.json"]
    for i in range(2):
        values = cv2.imread(str(tmp_path / "o" / "disparity" / f"{i}.png"), cv2.IMREAD_UNCHANGED) / 256
        expected = Sgm(16)(StereoFolder(pairs)[i]).disparity[0].numpy()
        np.testing.assert_allclose(values, expected, atol=1 / 512)
        assert np.median(values) == SHIFT
    (size, _) = shown(tmp_path / "o")
    assert size[0] > 1.5 * size[1] * W / H  # two panels


def test_a_network_sees_images_of_its_width_and_tells_pixels_of_those_there_are(pairs, tmp_path):
    model = trained("toyunsure", pairs, tmp_path / "m", 30)
    assert main(["predict", str(model), f"{pairs}@1-1", "-o", str(tmp_path / "o"), "--device", "cpu"]) == 0
    network = load_model(model / "model.safetensors")
    with torch.no_grad():
        found = network(Views.collate([resized(StereoFolder(pairs)[1], 30)]).keep(network.reads)).disparity
    expected = cv2.resize(found[0, 0].numpy(), (W, H), interpolation=cv2.INTER_LINEAR) * W / 30
    values, _ = png16.read(tmp_path / "o" / "disparity" / "1.png")
    np.testing.assert_allclose(values, expected, atol=1 / 500)
    deviation, _ = png16.read(tmp_path / "o" / "uncertainty" / "1.png")
    np.testing.assert_allclose(deviation, 0.5 * W / 30, atol=1 / 500)
    assert files(tmp_path / "o") == ["disparity/1.png", "pictures/1.png", "predictions.json", "uncertainty/1.png"]
    (seen,) = predictions(model, f"{pairs}@1-1", device="cpu")
    assert seen.name == "1"
    np.testing.assert_allclose(seen.found["disparity"], expected, rtol=1e-5)
    (full,) = predictions(model, f"{pairs}@1-1", width=0, device="cpu")
    assert np.abs(full.found["disparity"] - expected).max() > 0.01


def test_flow_is_written_as_flo_for_pairs_and_for_consecutive_frames(tmp_path):
    folder, video = write_flow(tmp_path / "f"), write_video(tmp_path / "walk.mkv", walking(4))
    for data, names in ((folder, ["0", "1"]), (video, ["000000", "000001", "000002"])):
        out = tmp_path / f"of-{data.name}"
        assert main(["predict", "DIS", str(data), "-o", str(out)]) == 0
        assert files(out / "flow") == [f"{name}.flo" for name in names]
    expected = FLOWS["dis"](FlowFolder(folder)[1]).flow[0].numpy()
    found, valid = flo.read(tmp_path / "of-f" / "flow" / "1.flo")
    assert valid.all()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    model = trained("toyflow", folder, tmp_path / "m", 30)
    first, *_ = predictions(model, folder, device="cpu")
    network = load_model(model / "model.safetensors")
    with torch.no_grad():
        small = network(Views.collate([resized(FlowFolder(folder)[0], 30)]).keep(network.reads)).flow[0, 0].numpy()
    for k, scale in enumerate((W / 30, H / 18)):
        np.testing.assert_allclose(first.found["flow"][k], scale * cv2.resize(small[k], (W, H)), atol=1e-4)


def test_depth_of_frames_is_in_millimetres_where_the_network_knows_metres(tmp_path):
    truth = write_truth(tmp_path / "truth")
    for name in ("toydepth", "toyscaleless"):
        model = trained(name, truth, tmp_path / name, 32)
        assert main(["predict", str(model), f"{truth}@3-6", "-o", str(tmp_path / f"of-{name}")]) == 0
        kept = [file for file in files(tmp_path / f"of-{name}" / "depth") if file.endswith(".png")]
        assert kept == [f"{i:06d}.png" for i in range(3, 7)]
        seen = list(predictions(model, f"{truth}@3-6"))
        assert [one.metric for one in seen] == [name == "toydepth"] * 4
        scales = set()
        for one in seen:
            file = tmp_path / f"of-{name}" / "depth" / f"{one.name}.png"
            scale = float(Image.open(file).text[png16.SCALE_KEY])
            scales.add(scale)
            np.testing.assert_allclose(png16.read(file)[0], one.found["depth"], atol=0.501 / scale)  # half a step
        assert len(scales) == 1
        assert (scales == {1000.0}) == (name == "toydepth")
    assert len(list(predictions(tmp_path / "toydepth", truth))) == FRAMES
    assert len(list(predictions(tmp_path / "toydepth", write_video(tmp_path / "walk.mkv", walking(3))))) == 3
    (left, _) = predictions(tmp_path / "toydepth", write_stereo(tmp_path / "s"))  # of the left image
    assert left.found["depth"].shape == (H, W)


def test_worlds_are_looked_at_too(tmp_path):
    (seen,) = predictions("SGM", "room:1@2-2", width=48)
    assert seen.name == "000000"
    assert seen.found["disparity"].shape == seen.image.shape[1:] == (36, 48)


def test_disparity_that_no_file_holds_is_unknown(tmp_path):
    disparity = np.full((4, 5), 7.0, np.float32)
    disparity[0, :3] = 300
    assert write_maps(tmp_path, Seen("a", np.zeros((3, 4, 5), np.float32), {"disparity": disparity}, False)) == 3
    values, known = png16.read(tmp_path / "disparity" / "a.png")
    assert (values[known] == 7).all()
    assert known.sum() == 17


def test_the_same_again_does_what_is_missing_and_anything_else_is_refused(pairs, tmp_path, capsys):
    out = tmp_path / "o"
    command = ["predict", "SGM", str(pairs), "-o", str(out)]
    assert main(command) == 0
    (out / "pictures" / "1.png").unlink()
    (out / "disparity" / "0.png").write_bytes(b"kept")
    assert main(command) == 0
    assert (out / "disparity" / "0.png").read_bytes() == b"kept"
    assert (out / "pictures" / "1.png").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("mine")
    capsys.readouterr()
    for other in ([*command, "--width", "32"], ["predict", "SGM", f"{pairs}@0-0", "-o", str(out)],
                  [*command[:-1], str(tmp_path / "mine")], [*command[:-1], str(pairs)],
                  [*command[:-1], str(tmp_path / "mine" / "note")]):
        assert main(other) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert files(tmp_path / "mine") == ["note"]


@pytest.mark.parametrize(("model", "data", "word"), [
    ("none", "pairs", "none"), ("truth", "pairs", "SGM"), ("SGM", "nowhere", "nowhere"), ("SGM", "truth", "left/"),
    ("SGM", "flow", "left/"), ("DIS", "pairs", "first/"), ("SGM", "pairs@0-5", "5"), ("DIS", "truth@0-50", "50"),
    ("DIS", "truth@3-3", "no sample"), ("deepvo", "truth", "deepvo")])
def test_what_does_not_fit_is_one_sentence_and_2(tmp_path, monkeypatch, capsys, model, data, word):
    monkeypatch.chdir(tmp_path)
    write_stereo(Path("pairs"))
    write_flow(Path("flow"))
    write_truth(Path("truth"))
    Path("deepvo").mkdir()
    Path("deepvo/run.yaml").write_text(yaml.safe_dump({"arguments": {"system": "deepvo"}}))
    Path("deepvo/model.safetensors").touch()
    assert main(["predict", model, data, "-o", "out"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert word in err
    assert not Path("out").exists()


def test_a_cell_of_a_bench_is_shown_images_as_the_bench_showed_them(pairs, tmp_path):
    cell = trained("toystereo", pairs, tmp_path / "bench" / "cells" / "toystereo-0", 30)
    about = yaml.safe_load((cell / "run.yaml").read_text())
    for name in vars(Shape()):
        about["arguments"].pop(name)
    (cell / "run.yaml").write_text(yaml.safe_dump(about))
    assert seer_of(cell).looks.width == Shape().width
    (tmp_path / "bench" / "work").mkdir()
    asked = {"field": "stereo", "frames": None, "gap": 2, "width": 34, "world_frames": 9}
    (tmp_path / "bench" / "work" / "bench.json").write_text(json.dumps(asked))
    assert seer_of(cell).shape == Shape(3, 2, 34, 9)
    assert seer_of(cell).looks.width == 34
    assert seer_of(cell, width=0).looks.width is None
    with pytest.raises(InputError, match="Device"):
        seer_of(cell, device="nowhere")
