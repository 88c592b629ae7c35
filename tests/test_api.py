"""The library from Python."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import epipole
from epipole.api import default_out
from epipole.formats import ply
from epipole.recipes.learn_video.start import SHIPPED
from epipole.systems import SYSTEMS
from epipole.types.errors import InputError
from tests.runs import FRAMES, HEIGHT, WIDTH, K, true_depth, write_run, write_truth

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path) -> epipole.Run:
    return epipole.Run(write_run(tmp_path / "run", scale=0.5))


def test_import_alone_loads_nothing_heavy():
    program = "import sys, epipole\nassert 'learn' in dir(epipole)\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "numpy", "cv2", "epipole.api"}


def test_every_public_name_is_there():
    for name in epipole.__all__:
        assert getattr(epipole, name).__doc__, name
    with pytest.raises(AttributeError):
        _ = epipole.fly


def test_a_run_opens_on_what_was_learned(run):
    assert len(run.depth) == FRAMES
    np.testing.assert_allclose(run.depth[0], 0.5 * true_depth(0), rtol=1e-3)
    assert run.log_variance[0].shape == (HEIGHT, WIDTH)
    assert run.path.shape == (FRAMES, 4, 4)
    assert run.timestamps[1] == pytest.approx(1 / 30)
    np.testing.assert_array_equal(run.intrinsics, K)
    assert [(score.name, score.value) for score in run.scores] == [("peak_memory_mb", 900)]


def test_the_cloud_is_saved_as_it_is(run, tmp_path):
    run.cloud.save(tmp_path / "copy.ply")
    points, colors = ply.read(tmp_path / "copy.ply")
    np.testing.assert_array_equal(points, run.cloud.points)
    np.testing.assert_array_equal(colors, run.cloud.colors)


def test_the_report_is_one_file(run):
    report = run.report()
    assert report == run.folder / "report.html"
    assert "clip.mp4" in report.read_text()


def test_judging_takes_a_run_or_its_folder(run, tmp_path):
    truth = write_truth(tmp_path / "truth")
    assert run.judge(truth) == epipole.judge(run, truth) == epipole.judge(run.folder, truth)
    assert run.judge(truth)[0].value < 2e-3


@pytest.fixture
def learned(monkeypatch) -> list[dict]:
    calls: list[dict] = []

    def learn_video(clip: Path, out: Path, **options) -> Path:
        calls.append({"clip": clip, "out": out, **options})
        return write_run(out)

    monkeypatch.setitem(sys.modules, "epipole.recipes.learn_video", SimpleNamespace(learn_video=learn_video))
    return calls


def test_learn_returns_the_run(learned, tmp_path):
    run = epipole.learn("clip.mp4", tmp_path / "out", minutes=1, intrinsics="K.txt", quiet=True)
    assert isinstance(run, epipole.Run)
    assert run.folder == tmp_path / "out"
    assert learned == [{"clip": Path("clip.mp4"), "out": tmp_path / "out", "minutes": 1.0, "intrinsics": Path("K.txt"),
                        "truth": None, "seed": 0, "device": "auto", "quiet": True, "steps": None,
                        "start": SHIPPED, "scale": None, "rolling_shutter": 0.0}]


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused(learned, tmp_path, minutes):
    with pytest.raises(InputError):
        epipole.learn("clip.mp4", tmp_path, minutes=minutes)
    assert learned == []


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_a_seed_that_no_generator_takes_is_refused(learned, tmp_path, seed):
    for action in (lambda: epipole.learn("clip.mp4", tmp_path, seed=seed), lambda: epipole.demo(tmp_path, seed),
                   lambda: epipole.render(tmp_path, seed=seed),
                   lambda: epipole.train("sfmlearner", "room", tmp_path, seed=seed)):
        with pytest.raises(InputError, match="seed"):
            action()
    assert learned == []


def test_runs_are_named_after_their_clip(tmp_path, monkeypatch):
    (tmp_path / "a.frames").mkdir()
    monkeypatch.chdir(tmp_path / "a.frames")
    assert default_out("x/clip.mp4") == Path("runs/clip")
    assert default_out(tmp_path / "a.frames") == Path("runs/a.frames")
    assert default_out(".") == Path("runs/a.frames")


def test_a_clip_that_was_rendered_is_not_rendered_again(tmp_path):
    folder = epipole.render(tmp_path / "w", frames=2, seed=1, quiet=True)
    before = (folder / "poses.txt").stat().st_mtime_ns
    assert epipole.render(folder, frames=2, seed=1, quiet=True) == folder
    assert (folder / "poses.txt").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="another clip"):
        epipole.render(folder, frames=2, seed=2, quiet=True)
    assert (folder / "poses.txt").stat().st_mtime_ns == before


def test_training_needs_a_folder_of_frames(tmp_path):
    with pytest.raises(InputError):
        epipole.train("sfmlearner", tmp_path, tmp_path / "out", quiet=True)


def test_training_on_the_world_renders_it_beside_the_results(tmp_path, monkeypatch):
    def render(out: Path, **options) -> Path:
        return write_truth(out)

    monkeypatch.setattr("epipole.api.render", render)
    out = epipole.train("sfmlearner", "world", tmp_path / "m", steps=1, width=32, device="cpu", quiet=True)
    assert (out / "footage" / "poses.txt").is_file()
    assert (out / "model.safetensors").is_file()


def test_the_list_is_the_table_of_contents():
    systems = epipole.list_systems()
    assert [s.name for s in systems] == list(SYSTEMS)
    assert all("small" in s.presets and s.paper.startswith("http") for s in systems)
