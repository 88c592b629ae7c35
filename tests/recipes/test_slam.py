"""CNN-SLAM from a clip to a RUN folder, by a system that knows the depth of a rendered room."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from epipole.api import Run
from epipole.formats.run import RunFiles
from epipole.recipes import slam as recipe
from epipole.recipes.judge_run import judge_run
from epipole.recipes.learn_video.doubt import SHARED_BY_ALL
from epipole.recipes.slam import Model, depth_method, open_model, slam
from epipole.recipes.train import save_model
from epipole.systems import load, presets
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.recipes.learned_room import SIZE, Room

IMAGE = (192, 144)


def interrupt(done: int, total: int) -> None:
    if done == 3:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def run(room: Room, told: list[str], tmp_path_factory) -> Path:
    """The second attempt: the first one was interrupted."""
    out = tmp_path_factory.mktemp("slam") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "open_model", lambda path: Model(room.system, SIZE, room.K, IMAGE))
        with pytest.raises(KeyboardInterrupt):
            slam(room.folder, Path("model"), out, device="cpu", progress=interrupt, tell=told.append)
        assert not RunFiles(out).finished
        assert told == []
        return slam(room.folder, Path("model"), out, device="cpu", tell=told.append)


def test_a_clip_becomes_a_run_that_can_be_judged(run, room):
    files = RunFiles(run)
    assert files.finished
    assert len(files.depth) == len(files.path) == len(files.timestamps) == 24
    assert files.depth[0].shape == (SIZE[1], SIZE[0])
    np.testing.assert_allclose(files.path[0], np.eye(4), atol=1e-6)
    scores = {score.name: score.value for score in judge_run(run, room.folder)}
    assert scores["ate_percent"] < 1
    assert scores["abs_rel"] < 0.03
    assert scores["focal_error"] < 1e-3


def test_what_was_interrupted_begins_anew_in_a_clear_word(run, told):
    assert told == [f"{run} holds this run half made: it begins anew"]


def test_a_finished_run_stays_as_it_is_and_belongs_to_its_command(run, room, tmp_path, monkeypatch):
    def fail(*_):
        raise AssertionError("seen again")

    monkeypatch.setattr(recipe, "open_model", lambda path: Model(room.system, SIZE, room.K, IMAGE))
    monkeypatch.setattr(recipe, "_watch", fail)
    assert slam(room.folder, Path("model"), run, device="cpu") == run
    with pytest.raises(InputError, match="another intrinsics"):
        slam(room.folder, Path("model"), run, intrinsics=(150.0, 150.0, 95.5, 71.5), device="cpu")
    lacking = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("transforms.json"))
    with pytest.raises(AssertionError, match="seen again"):
        slam(room.folder, Path("model"), lacking, device="cpu", tell=lambda _: None)
    assert not RunFiles(lacking).finished


def test_depth_and_path_have_one_unit(run, room):
    """The network's: its depth is exact, in units of 2.5 m."""
    files = RunFiles(run)
    length = [np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1).sum() for path in (files.path, room.path)]
    assert length[0] / length[1] == pytest.approx(1, abs=0.03)
    truth = torch.nan_to_num(room.world[12].depth[0, 0], 100.0).median() / 2.5
    assert np.median(files.depth[12]) == pytest.approx(float(truth), rel=0.05)


def test_the_run_has_what_others_open(run):
    for name in ("cloud.ply", "transforms.json", "colmap/images.txt", "path_tum.txt", "depth/000023.png"):
        assert (run / name).is_file()
    opened = Run(run)
    assert len(opened.cloud.points) > 500
    assert "report" in opened.report().name
    assert opened.about["pipeline"]["name"] == "cnn_slam"
    assert opened.about["key_frames"][0] == 0
    assert opened.about["depth"]["doubt"] >= SHARED_BY_ALL
    assert list(opened.about["left_out"]) == ["far", "unsure", "edge", "contradicted"]


def test_a_model_is_a_run_or_a_file(run, tmp_path):
    config = presets("reprojection")["small"]
    save_model(tmp_path / "model.safetensors", "reprojection", config, load("reprojection")(config))
    alone = open_model(tmp_path / "model.safetensors")
    assert (alone.size, alone.K, alone.focal(SIZE)) == (None, None, None)
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("work", "depth"))
    shutil.copy(tmp_path / "model.safetensors", tmp_path / "run")
    found = open_model(tmp_path / "run")
    assert found.size == SIZE
    assert found.focal(SIZE) == pytest.approx(found.K[0, 0] * SIZE[0] / IMAGE[0])
    said = depth_method(found.system, torch.device("cpu"))(Views(image=torch.rand(1, 3, 64, 96)))
    assert said.depth.shape == (1, 1, 64, 96)


def test_what_cannot_be_seen_is_refused_in_words(room, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("")
    monkeypatch.setattr(recipe, "open_model", lambda path: Model(room.system, SIZE, room.K, IMAGE))
    with pytest.raises(InputError, match="not empty"):
        slam(room.folder, Path("model"), tmp_path / "full", device="cpu")
    monkeypatch.setattr(recipe, "open_model", lambda path: Model(room.system))
    with pytest.raises(InputError, match="intrinsics"):
        slam(room.folder, Path("model"), tmp_path / "out", device="cpu")
    with pytest.raises(InputError, match="safetensors"):
        open_model(tmp_path / "none.safetensors")


@pytest.mark.parametrize("name", ["dispnet", "garg"])
def test_a_system_that_does_not_tell_depth_from_an_image_is_refused(name, tmp_path):
    config = presets(name)["small"]
    save_model(tmp_path / "model.safetensors", name, config, load(name)(config))
    with pytest.raises(InputError, match="tells depth from an image"):
        open_model(tmp_path / "model.safetensors")
