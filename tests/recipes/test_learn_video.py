"""The main job end to end: what it leaves, that it goes on after anything, and what it costs."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

import epipole
from epipole.cli import main
from epipole.engine.log import read_log
from epipole.formats import mesh
from epipole.formats.run import RunFiles
from epipole.recipes.judge_run import judge_run
from epipole.recipes.learn_video import folder, learn_video, program
from epipole.recipes.learn_video.agree import JoinedDepth
from epipole.recipes.learn_video.correspond import KeyImages
from epipole.recipes.learn_video.predict import Predictor
from epipole.recipes.learn_video.solve import load_solution
from epipole.recipes.learn_video.stages import Run
from epipole.recipes.train import load_model
from epipole.sources.findings import Look
from epipole.sources.plain import read_truth
from epipole.sources.worlds import Spec, write_world
from epipole.types.errors import InputError
from epipole.types.known import known
from tests.recipes.parts import killed_soon_after, started

ROOT = Path(__file__).parents[2]
FRAMES, STEPS = 40, 30
SPEC = Spec(seed=3, frames=FRAMES, width=96, height=72, speed=5.0)
CONTRACT = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    return write_world(SPEC, tmp_path_factory.mktemp("clip") / "room")


def options(room: Path, **changes) -> dict:
    return {"steps": STEPS, "intrinsics": room / "intrinsics.txt", "truth": room, "device": "cpu"} | changes


@pytest.fixture(scope="module")
def learned(room, tmp_path_factory) -> epipole.Run:
    return epipole.learn(room, tmp_path_factory.mktemp("runs") / "run", quiet=True, **options(room))


def same_files(out: Path, reference: Path) -> None:
    """Asserts that two runs are equal, byte for byte, in everything but times."""
    timed = {"run.yaml", "log.jsonl", "work/costs.json", "report.html"}
    files, others = ({p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file()} for f in (out, reference))
    assert files - timed == others - timed
    for name in files - timed:
        assert (out / name).read_bytes() == (reference / name).read_bytes(), name
    logs = [[(line["phase"], line["step"], line["loss"]) for line in read_log(f / "log.jsonl")]
            for f in (out, reference)]
    assert logs[0] == logs[1]
    abouts = [RunFiles(f).about for f in (out, reference)]
    for about in abouts:
        about["scores"] = [s for s in about["scores"] if s["name"] not in ("wall_s", "peak_memory_mb")]
        about["phases"] = [p["name"] for p in about["phases"]]
    assert abouts[0] == abouts[1]


def test_everything_that_the_contract_names_is_there(learned):
    names = re.findall(r"^\| `([^`]+)`", CONTRACT, re.MULTILINE)
    assert len(names) >= 14
    for name in names:
        path = learned.folder / name.replace("NNNNNN", "000007")
        assert path.is_dir() if name.endswith("/") else path.stat().st_size > 0, name
    assert len(list((learned.folder / "depth").iterdir())) == FRAMES
    assert not [p for p in learned.folder.rglob(".*")]


def test_run_yaml_has_the_contracts_entries(learned):
    expected = yaml.safe_load(re.search(r"```yaml\n(.*?)```", CONTRACT, re.DOTALL)[1])
    assert expected.keys() == learned.about.keys()
    for name in ("arguments", "versions", "footage", "intrinsics", "depth"):
        assert expected[name].keys() == learned.about[name].keys(), name
    assert learned.finished
    assert learned.about["arguments"]["steps"] == STEPS
    assert learned.about["footage"]["frames"] == FRAMES
    assert all(entry.keys() >= expected["phases"][0].keys() for entry in learned.about["phases"])


def test_the_path_is_right_and_depth_is_there_for_every_frame(learned, room):
    scores = {s.name: s for s in judge_run(learned.folder, room)}
    assert scores["ate_percent"].value < 2
    assert scores["focal_error"].value == pytest.approx(0, abs=1e-6)
    assert all(np.isfinite(s.value) for s in scores.values())
    assert len(learned.depth) == len(learned.log_variance) == len(learned.path) == FRAMES
    for i in range(FRAMES):
        assert np.isfinite(learned.depth[i]).all()
        assert (learned.depth[i] > 0).all()
        assert np.isfinite(learned.log_variance[i]).all()
    names = [s.name for s in learned.scores]
    assert len(names) == len(set(names))
    assert {"abs_rel", "ate", "wall_s", "peak_memory_mb", "self_reprojection", "self_photometric"} <= set(names)


def test_the_model_is_the_one_whose_depth_is_in_the_files(learned):
    system = load_model(learned.folder / "model.safetensors")
    work, factor = learned.folder / "work", learned.about["depth"]["model_factor"]
    keys = KeyImages.open(work / "dense" if (work / "dense").exists() else work / "keys")
    assert learned.about["key_frames"] == keys.key_frames.tolist()
    predicted = factor * Predictor(system)(keys.colour[[1]]).depth[0]
    ratio = learned.depth[int(keys.key_frames[1])] / predicted  # it was joined with what flow measured
    assert abs(np.log(np.median(ratio))) < 0.3
    path = load_solution(work / "path-4.safetensors")
    again = JoinedDepth(work / "joined", keys, path, Look.from_json((work / "look.json").read_text(encoding="utf-8")))
    np.testing.assert_allclose(learned.depth[int(keys.key_frames[1])], factor * again(1).depth, rtol=2e-3)


def test_the_report_tells_of_the_finished_run(learned):
    assert learned.reported
    page = (learned.folder / "report.html").read_text(encoding="utf-8")
    assert "This run is not finished" not in page
    assert f"{STEPS}" in page


def test_two_at_once_in_one_folder_are_one_too_many(room, tmp_path):
    out = tmp_path / "run"
    first = started(room, out, options(room))
    try:
        until = time.monotonic() + 60
        while not (out / "work" / "chain").exists() and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(InputError, match="another process"):
            epipole.learn(room, out, quiet=True, **options(room))
        assert first.is_alive()
    finally:
        first.kill()
        first.join()


def test_the_focal_length_is_found_where_nobody_gives_it(room, tmp_path):
    run = epipole.learn(room, tmp_path / "run", quiet=True, **options(room, intrinsics=None, steps=2))
    scores = {s.name: s.value for s in run.scores}
    assert run.about["intrinsics"]["source"] == "estimated"
    assert run.about["intrinsics"]["sd_percent"] >= 0
    assert scores["focal_error"] < 10
    assert scores["ate_percent"] < 4


MARKS = ("work/.keys.part", "work/.chain.part", "work/chain", "work/path-2.safetensors", "work/learn 1-going",
         "work/path-3.safetensors", "work/learn 2-going", "work/learn 2-going", "work/path-4.safetensors",
         "work/.joined.part", "work/joined", "work/.preview.part", "depth.npz", "cloud.ply")  # fmt: skip


def test_killed_at_any_stage_the_same_command_ends_the_same(learned, room):
    out, rng = Path(os.fsdecode(os.fsencode(learned.folder.parent) + b"/odd\xff name")), random.Random(0)
    killed = [killed_soon_after(out / mark, started(room, out, options(room)), 0.05, rng) for mark in MARKS]
    assert sum(killed) >= 8
    last = started(room, out, options(room))
    last.join()
    assert last.exitcode == 0
    same_files(out, learned.folder)
    run = epipole.Run(out)
    assert "odd" in run.report().name or run.reported
    assert sum(p["seconds"] for p in run.about["phases"]) <= {s.name: s.value for s in run.scores}["wall_s"] + 1


def prepared(out: Path, learned: epipole.Run, steps: int) -> Path:
    """A run of so many steps of which all that comes before learning is done."""
    for name in ("keys", "chain", "matched", "wide", "dense", "between"):
        shutil.copytree(learned.folder / "work" / name, out / "work" / name)
    for name in ("look.json", "path-1.safetensors", "path-2.safetensors", "path-dense.safetensors"):
        shutil.copy(learned.folder / "work" / name, out / "work" / name)
    decided = json.loads((learned.folder / "work" / "arguments.json").read_text())
    (out / "work" / "arguments.json").write_text(json.dumps(decided | {"steps": steps}))
    return out


def test_ctrl_c_while_learning_is_one_sentence_and_130(learned, room, tmp_path):
    out = prepared(tmp_path / "run", learned, 10**6)
    command = [sys.executable, "-m", "epipole", "learn", room, "-o", out, "--steps", "1000000",
               "--intrinsics", room / "intrinsics.txt", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while not read_if_there(out / "log.jsonl") and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        printed, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert printed == ""
    assert err.splitlines()[-1] == "epipole: interrupted; the same command goes on from here"
    assert "Traceback" not in err
    assert (out / "work" / "learn 1-going").stat().st_size > 1e6
    assert not (out / "run.yaml").exists()


def read_if_there(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.fixture
def no_learning(monkeypatch) -> None:
    def never(*_):
        raise AssertionError("nothing was left to do")

    monkeypatch.setattr(program, "look_at", never)


@pytest.fixture
def copied(learned, tmp_path) -> Path:
    return Path(shutil.copytree(learned.folder, tmp_path / "run"))


def test_a_finished_run_is_left_as_it_is(copied, room, no_learning):
    before = {p: p.stat().st_mtime_ns for p in copied.rglob("*")}
    again = epipole.learn(room, copied, quiet=True, **options(room))
    epipole.learn(room, copied, quiet=True, **options(room, truth=None))
    assert {p: p.stat().st_mtime_ns for p in copied.rglob("*")} == before
    assert again.finished


def test_a_finished_run_is_judged_by_another_truth(copied, room, tmp_path, no_learning):
    other = Path(shutil.copytree(room, tmp_path / "other"))
    shutil.rmtree(other / "depth")
    before = RunFiles(copied).about
    run = epipole.learn(room, copied, quiet=True, **options(room, truth=other))
    names = [s.name for s in run.scores]
    assert run.about["arguments"]["truth"] == str(other)
    assert "ate" in names
    assert "abs_rel" not in names
    assert len(names) == len(set(names))
    kept = [[s for s in about["scores"] if s["name"] in folder.OWN] for about in (before, run.about)]
    assert kept[0] == kept[1]
    assert run.reported
    shutil.rmtree(other / "color")
    with pytest.raises(InputError):
        epipole.learn(room, copied, quiet=True, **options(room, truth=other))
    assert RunFiles(copied).about == run.about


def check_metres(folder: Path, room: Path) -> None:
    """A run that was given metres by the true path has them."""
    run, true = RunFiles(folder), read_truth(room).T_world_camera[:, :3, 3]
    assert run.about["scale"] == "metres"
    assert run.about["scaling"]["spread_percent"] < 35
    assert run.about["arguments"]["scale"] == f"poses={room / 'poses.txt'}"
    length = [np.linalg.norm(np.diff(path, axis=0), axis=1).sum() for path in (run.path[:, :3, 3], true)]
    assert length[0] == pytest.approx(length[1], rel=0.05)


def test_a_finished_run_is_given_metres(copied, room, no_learning, capsys):
    command = ["learn", str(room), "-o", str(copied), "--steps", str(STEPS), "--device", "cpu", "--intrinsics",
               str(room / "intrinsics.txt"), "--scale", f"poses={room / 'poses.txt'}"]
    assert main(command) == 0
    check_metres(copied, room)
    assert " m by the known positions" in capsys.readouterr().out
    assert " m by the known positions" in (copied / "report.html").read_text(encoding="utf-8")
    before = {p: p.stat().st_mtime_ns for p in copied.rglob("*")}
    assert main(command) == 0
    assert {p: p.stat().st_mtime_ns for p in copied.rglob("*")} == before


def test_metres_are_found_at_the_end_of_learning_and_once_only(copied, room):
    scale = known(f"poses={room / 'poses.txt'}")
    corners, grey = np.eye(3, dtype=np.float32), np.zeros((3, 3), np.uint8)
    for name in ("depth.npz", "cloud.ply"):  # learned again but for what stands in the work folder
        (copied / name).unlink(missing_ok=True)
        mesh.write_ply(copied / "mesh.ply", corners, np.array([[0, 1, 2]]), grey)
        learn_video(room, copied, quiet=True, scale=scale, **options(room))
        check_metres(copied, room)
        assert not (copied / "mesh.ply").exists()  # its unit was another one
    about = RunFiles(copied).about
    assert about["finished"]
    assert "scale" in [phase["name"] for phase in about["phases"]]


def test_a_scale_that_cannot_be_is_refused_before_learning(room, tmp_path, monkeypatch, capsys):
    def never(*_, **__):
        raise AssertionError("the scale had to be refused first")

    monkeypatch.setattr(program, "key_images", never)
    command = ["learn", str(room), "-o", str(tmp_path / "run"), "--steps", "1", "--scale"]
    even = np.c_[np.arange(0, 99, 0.02), np.zeros((4950, 5)), np.full(4950, 9.81)]
    np.savetxt(tmp_path / "even.txt", even, fmt="%g")
    np.savetxt(tmp_path / "fixes.txt", [[900, 47, 8], [999, 48, 8]], fmt="%g")
    for said in (f"poses={tmp_path / 'none.txt'}", f"distance={FRAMES},1,1,9,9,2", "speed=3", "stereo=none,baseline=1",
                 f"gps={tmp_path / 'fixes.txt'},fps=2", f"imu={tmp_path / 'even.txt'},fps=2",
                 f"stereo={tmp_path.parent},baseline=1"):
        assert main([*command, said]) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("epipole: ")


def test_what_a_finished_run_lost_is_made_again(copied, learned, room):
    (copied / "depth.npz").unlink()
    shutil.rmtree(copied / "colmap")
    learn_video(room, copied, quiet=True, **options(room))
    same_files(copied, learned.folder)


@pytest.mark.parametrize("name", ["look.json", "chain/flow.npy", "joined/joined.npy"])
def test_a_damaged_file_of_the_work_folder_is_named(copied, room, name):
    (copied / "depth.npz").unlink()  # or it would be finished
    (copied / "work" / name).write_bytes(b"")
    with pytest.raises(InputError, match=name.split("/")[-1]):
        learn_video(room, copied, quiet=True, **options(room))


@pytest.mark.parametrize("change", [{"seed": 1}, {"steps": 31}, {"minutes": 3.0},
                                    {"intrinsics": (90.0, 90.0, 47.0, 35.0)}])  # fmt: skip
def test_the_folder_of_another_run_is_refused(copied, room, change):
    before = {p: p.stat().st_mtime_ns for p in copied.rglob("*")}
    with pytest.raises(InputError, match=next(iter(change))):
        learn_video(room, copied, quiet=True, **options(room, **change))
    assert {p: p.stat().st_mtime_ns for p in copied.rglob("*")} == before


def test_what_interrupted_parts_took_counts(tmp_path):
    def interrupted() -> None:
        with Run(tmp_path, None).phase("learn 1", steps=5):
            time.sleep(0.3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    second = Run(tmp_path, None)
    assert second.seconds >= 0.3
    with second.phase("learn 1", steps=5):
        time.sleep(0.3)
    with second.phase("export"):
        pass
    third = Run(tmp_path, None)
    assert [p["name"] for p in third.phases] == ["learn 1", "export"]
    assert third.phases[0]["seconds"] == pytest.approx(0.6, abs=0.15)
    assert third.seconds >= 0.6
    assert third.peak_mb > 50


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 200 kB; `resize` makes it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(disk)], check=True)


def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(disk, learned, room, capsys):
    out, ended = disk / "run", []
    command = ["learn", str(room), "-o", str(out), "--steps", str(STEPS), "--device", "cpu",
               "--intrinsics", str(room / "intrinsics.txt"), "--truth", str(room)]
    for kilobytes in (200, 1500, 8000, 30_000, 43_000, 10**6):
        resize(disk, kilobytes)
        ended.append(main(command))
        sentences = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epipole:")]
        assert len(sentences) == (ended[-1] == 2)
        assert all("the disk is full" in sentence for sentence in sentences)
        assert ended[-1] == 0 or not (out / "run.yaml").exists() or not RunFiles(out).finished
    assert ended[-1] == 0
    assert ended.count(2) >= 3
    for name in ("depth.npz", "path_kitti.txt", "model.safetensors", "cloud.ply", "mask.npz"):
        assert (out / name).read_bytes() == (learned.folder / name).read_bytes()


@pytest.mark.slow
def test_depth_beats_a_constant_one_after_some_hundred_steps(tmp_path):
    room = write_world(Spec(seed=3, frames=60, width=128, height=96, speed=4.0), tmp_path / "room")
    run = epipole.learn(room, tmp_path / "run", quiet=True, **options(room, steps=400))
    abs_rel = next(s for s in run.scores if s.name == "abs_rel")
    assert abs_rel.value < 0.7 * abs_rel.baselines["constant depth"]
    own = {s.name: s for s in run.scores if s.name.startswith("self_")}
    assert own["self_reprojection"].value < 0.7 * own["self_reprojection"].baselines["constant depth"]


MEASURED = """
import sys
from pathlib import Path
from epipole.recipes.learn_video import learn_video
learn_video(Path(sys.argv[1]), Path(sys.argv[2]), steps=3, device="cpu", quiet=True, intrinsics=(90, 90, 47.5, 35.5))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def peak_mb(clip: Path, out: Path) -> float:
    """The largest resident set of a process that learns the clip."""
    done = subprocess.run([sys.executable, "-c", MEASURED, clip, out], cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    return int(done.stdout) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say")
def test_memory_does_not_grow_with_the_clip(room, tmp_path):
    images = sorted((room / "color").iterdir())
    for name, turns in (("short", 1), ("long", 10)):
        (tmp_path / name).mkdir()
        played = [image for turn in range(turns) for image in (images if turn % 2 == 0 else images[::-1])]
        for i, image in enumerate(played):
            (tmp_path / name / f"{i:06d}.jpg").hardlink_to(image)
    short, long = (peak_mb(tmp_path / name, tmp_path / f"{name}-run") for name in ("short", "long"))
    assert long < 1.15 * short + 50, (short, long)
