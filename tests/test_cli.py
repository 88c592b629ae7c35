"""The command line, in this process and as a person starts it."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from epipole import cli
from epipole.cli import main
from epipole.formats.run import WITHOUT_METRES
from epipole.recipes.learn_video.start import SHIPPED
from epipole.sources import augment
from epipole.systems import SYSTEMS
from epipole.types.errors import InputError
from epipole.types.known import Known
from tests.runs import FRAMES, write_run, write_truth
from tests.sources.clips import walking, write_video

ROOT = Path(__file__).parents[1]
COMMANDS = ("learn", "inspect", "judge", "scale", "mesh", "calibrate", "slam", "show", "train", "bench", "predict",
            "saliency", "list", "demo", "world")
SCALING = {"factor": 7.93, "spread_percent": 3.1, "frames": 180, "by": "camera height of 1.65 m above the ground"}
HEAVY = {"torch", "numpy", "cv2", "av", "scipy", "gtsam", "matplotlib", "plotly", "yaml", "rich"}


def started(*arguments: str | bytes, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "epipole", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(tmp_path / "run")


@pytest.fixture
def truth(tmp_path) -> Path:
    return write_truth(tmp_path / "truth")


class Calls(list[dict]):
    about: dict = {}  # noqa: RUF012


@pytest.fixture
def learned(monkeypatch, tmp_path) -> list[dict]:
    """Stands in for the learning itself: notes how it was called and leaves a finished run that says `calls.about`."""
    calls = Calls()

    def learn_video(clip: Path, out: Path, **options) -> Path:
        calls.append({"clip": clip, "out": out, **options})
        about = yaml.safe_load((write_run(out) / "run.yaml").read_text())
        (out / "run.yaml").write_text(yaml.safe_dump(about | calls.about))
        return out

    monkeypatch.setitem(sys.modules, "epipole.recipes.learn_video", SimpleNamespace(learn_video=learn_video))
    monkeypatch.chdir(tmp_path)
    return calls


@pytest.mark.parametrize("arguments", [[], *([c] for c in COMMANDS)])
def test_help_names_the_command_and_its_options(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(c in text for c in (arguments or COMMANDS))
    assert max(map(len, text.splitlines())) <= 100


def test_no_command_shows_the_help_and_is_an_error(capsys):
    assert main([]) == 2
    assert "learn" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    program = ("import sys\nfrom epipole.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
               "print(' '.join(sys.modules))")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "epipole.cli" in loaded
    assert not loaded & HEAVY


def test_judge_prints_scores_under_their_protocol(run, truth, capsys):
    assert main(["judge", str(run), "--truth", str(truth)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "median-scaled" in lines[0]
    assert lines[1].split()[0] == "abs_rel"
    assert "constant depth" in lines[1]
    assert any("Sim(3)" in line for line in lines)
    assert "t_rel" in err  # and why it is absent
    assert lines[-1] == "lengths: up to one unknown factor"


def test_judge_prints_json(run, truth, capsys):
    assert main(["judge", str(run), "--truth", str(truth), "--json"]) == 0
    out, err = capsys.readouterr()
    scores = {entry["name"]: entry for entry in json.loads(out)}
    assert "lengths: up to one unknown factor" in err.splitlines()
    assert scores["abs_rel"]["value"] < 2e-3
    assert scores["ate"]["unit"] == "m"
    assert all(entry["protocol"] for entry in scores.values())


def test_the_protocol_is_chosen_by_options(run, truth, capsys):
    command = ["judge", str(run), "--truth", str(truth), "--json"]
    assert main([*command, "--scaling", "none", "--crop", "garg", "--cap", "80", "--alignment", "se3"]) == 0
    scores = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert scores["abs_rel"]["value"] == pytest.approx(0.75, abs=2e-3)  # a quarter of the true scale
    assert "Garg crop" in scores["abs_rel"]["protocol"]
    assert scores["ate"]["value"] > 0.1


@pytest.mark.parametrize(("command", "code"), [
    (["judge", "none", "--truth", "truth"], 2), (["judge", "run", "--truth", "none"], 2),
    (["judge", "run", "--truth", "run/run.yaml"], 2), (["judge", "run/run.yaml", "--truth", "truth"], 2),
    (["slam", "none.mp4", "--model", "run"], 2),
    (["show", "none"], 2), (["inspect", "none.mp4"], 2), (["inspect", "run/run.yaml"], 2), (["inspect", "run"], 2),
    (["train", "none", "--data", "truth"], 2), (["train", "vid2depth", "--data", "run"], 2),
    (["train", "vid2depth", "--data", "truth", "--preset", "none"], 2), (["world", "none", "-o", "w"], 2),
    (["world", "room", "-o", "run/run.yaml", "--frames", "1"], 2),
    (["world", "room", "-o", "run/run.yaml/w", "--frames", "1"], 2), (["saliency", "none", "room:0"], 2),
    (["saliency", "run", "room:0"], 2)])
def test_what_the_user_can_mend_is_one_sentence(run, truth, tmp_path, monkeypatch, capsys, command, code):
    monkeypatch.chdir(tmp_path)
    assert main(command) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("epipole: ")


@pytest.mark.parametrize("command", [
    ["learn"], ["learn", "a.mp4", "--minutes", "0"], ["learn", "a.mp4", "--minutes", "ten"],
    ["learn", "a.mp4", "--intrinsics", "1,2,3"], ["judge", "run"], ["train", "vid2depth"], ["fly"],
    ["world", "room"], ["world", "room", "-o", "w", "--frames", "0"], ["bench", "chess"],
    ["bench", "depth", "--steps", "5", "--minutes", "1"], ["learn", "a.mp4", "--seed", str(2**70)],
    ["learn", "a.mp4", "--seed", "-1"], ["train", "vid2depth", "--data", "a", "--seed", str(2**64)],
    ["train", "vid2depth", "--data", "a", "--final", "1.5"],
    ["world", "room", "-o", "w", "--seed", "-1"], ["saliency", "m", "room:0", "--at", "3"],
    ["bench", "depth", "--seeds", "1", "eigen", "--fly"], ["list", "eigen"]])
def test_a_command_that_makes_no_sense_ends_with_2(command, capsys):
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["eigen", "garg", "--seeds", "1"], ["--seeds", "1", "eigen", "garg"],
                                   ["eigen", "--seeds", "1", "garg"]])
def test_systems_of_a_bench_may_stand_anywhere(words, monkeypatch):
    asked = {}
    monkeypatch.setitem(cli.ACTIONS, "bench", lambda options: asked.update(vars(options)))
    assert main(["bench", "depth", *words]) == 0
    assert asked["systems"] == ["eigen", "garg"]
    assert asked["seeds"] == 1


@pytest.mark.parametrize(("error", "code", "word"), [
    (InputError("first\nsecond"), 2, "first second"),
    (KeyboardInterrupt(), 130, "epipole: interrupted\n"),
    (OSError(errno.ENOSPC, "No space left on device", "cloud.ply"), 2, "cloud.ply: the disk is full"),
    (FileNotFoundError(errno.ENOENT, "No such file", "a.mp4"), 2, "a.mp4: there is no such file"),
    (PermissionError(errno.EACCES, "Permission denied", b"r\xff"), 2, "permission denied"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "d"), 2, "d: this is a folder")])
def test_errors_become_a_sentence_and_an_exit_code(monkeypatch, capsys, error, code, word):
    def fail(options):
        raise error

    monkeypatch.setitem(cli.ACTIONS, "list", fail)
    assert main(["list"]) == code
    err = capsys.readouterr().err
    assert word in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("command", "again"), [
    (["learn", "clip.mp4"], "; the same command goes on from here"),
    (["slam", "clip", "--model", "m"], "; the same command begins anew"), (["inspect", "clip.mp4"], "")])
def test_who_is_interrupted_is_told_what_the_same_command_does(monkeypatch, capsys, command, again):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.ACTIONS, command[0], interrupt)
    assert main(command) == 130
    assert capsys.readouterr().err == f"epipole: interrupted{again}\n"


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(errno.EIO, "Input/output error"), KeyError("depth")])
def test_what_nobody_foresaw_keeps_its_traceback(monkeypatch, error):
    def fail(options):
        raise error

    monkeypatch.setitem(cli.ACTIONS, "list", fail)
    with pytest.raises(type(error)):
        main(["list"])


def test_list_shows_every_system_and_its_paper(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SYSTEMS)
    assert all("http" in line and "small" in line for line in lines)


def test_learn_hands_everything_on(learned, truth, capsys):
    command = ["learn", "a.mp4", "-o", "r", "--minutes", "2.5", "--truth", str(truth), "--seed", "7", "--device", "cpu",
               "--steps", "30", "--start", "w.safetensors", "--scale", "height=1.65", "--rolling-shutter", "0.6"]
    learned.about = {"scale": "metres", "scaling": SCALING}
    assert main([*command, "--intrinsics", "1,2,3.5,4"]) == 0
    assert learned == [{"clip": Path("a.mp4"), "out": Path("r"), "minutes": 2.5, "intrinsics": (1, 2, 3.5, 4),
                        "truth": truth, "seed": 7, "device": "cpu", "quiet": False, "steps": 30,
                        "start": Path("w.safetensors"), "scale": Known(height=1.65), "rolling_shutter": 0.6}]
    *_, metres, report = capsys.readouterr().out.splitlines()
    assert report == f"report: {Path('r/report.html')}"
    assert all(word in metres for word in ("7.93 m", "camera height of 1.65 m", "180 frames", "3.1 %"))
    assert metres.startswith("lengths: metres; ")
    assert metres.removeprefix("lengths: metres; ") in Path("r/report.html").read_text()


def test_what_was_found_of_an_unknown_camera_is_told(learned, capsys):
    said = "The footage shows the focal length well. The lens bends straight lines: k1 = -0.166."
    learned.about = {"intrinsics": {"fx": 50, "fy": 50, "cx": 31.5, "cy": 23.5, "width": 64, "height": 48,
                                    "source": "estimated", "verdict": said}}
    assert main(["learn", "a.mp4"]) == 0
    assert said in capsys.readouterr().out.splitlines()


def test_metres_that_were_asked_for_and_not_found_are_a_sentence(learned, capsys):
    learned.about = {"warnings": [f"{WITHOUT_METRES}: no ground is seen"]}
    assert main(["learn", "a.mp4", "--scale", "height=1.65"]) == 2
    printed, err = capsys.readouterr()
    assert err == f"epipole: {WITHOUT_METRES}: no ground is seen\n"
    assert "report.html" in printed  # the rest was learned


@pytest.mark.parametrize("said", ["height", "height=-1", "height=tall", "size=3", "distance=1,2,3", "speed=-4",
                                  "speed=", "poses=a.txt,fps=0", "height=1,fps="])
def test_a_scale_that_says_nothing_is_refused_before_learning(learned, said, capsys):
    assert main(["learn", "a.mp4", f"--scale={said}"]) == 2
    assert learned == []
    err = capsys.readouterr().err
    assert err.startswith("epipole: ")
    assert err.count("\n") == 1


def test_learn_has_defaults(learned):
    assert main(["learn", "a.b.mp4", "--intrinsics", "K.txt"]) == 0
    assert learned[0] == {"clip": Path("a.b.mp4"), "out": Path("runs/a.b"), "minutes": 10.0,
                          "intrinsics": Path("K.txt"), "truth": None, "seed": 0, "device": "auto", "quiet": False,
                          "steps": None, "start": SHIPPED, "scale": None, "rolling_shutter": 0.0}


def test_learn_from_scratch_and_from_a_start_exclude_each_other(learned, capsys):
    assert main(["learn", "a.mp4", "--from-scratch"]) == 0
    assert learned[0]["start"] is None
    with pytest.raises(SystemExit) as stop:
        main(["learn", "a.mp4", "--from-scratch", "--start", "w.safetensors"])
    assert stop.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_a_truth_that_cannot_be_read_is_refused_before_learning(learned, tmp_path):
    assert main(["learn", "a.mp4", "--truth", str(tmp_path / "none")]) == 2
    assert learned == []


def test_demo_learns_the_clip_it_rendered_against_its_own_truth(learned, monkeypatch, capsys):
    monkeypatch.setattr("epipole.api.DEMO_FRAMES", 3)
    assert main(["demo", "-o", "d"]) == 0
    (call,) = learned
    assert call["clip"] == call["truth"] == Path("d/footage")
    assert call["intrinsics"] == Path("d/footage/intrinsics.txt")
    assert call["minutes"] < 3
    assert len(list(Path("d/footage/color").iterdir())) == 3
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {Path('d/report.html')}"


def test_inspect_says_what_the_footage_is_like(truth, capsys):
    assert main(["inspect", str(truth)]) == 0
    text = capsys.readouterr().out
    assert f"{FRAMES} images" in text
    assert main(["inspect", str(truth), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["width"], seen["height"], len(seen["times"])) == (64, 48, FRAMES)
    assert seen["refusal"]  # frames of one gray teach nothing


def test_show_writes_the_report_if_need_be_and_opens_it(run, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    assert main(["show", str(run), "--no-browser"]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert (run / "report.html").stat().st_size > 1000
    assert opened == []
    assert main(["show", str(run)]) == 0
    assert opened == [(run / "report.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert main(["show", str(run)]) == 2


def test_show_writes_a_stale_report_anew(run, capsys):
    report = run / "report.html"
    report.write_text("of another run")
    os.utime(report, ns=(0, (run / "run.yaml").stat().st_mtime_ns - 1))
    assert main(["show", str(run), "--no-browser"]) == 0
    assert report.stat().st_size > 1000


def test_training_on_other_data_in_the_same_folder_is_refused(truth, tmp_path, capsys):
    def command(data: Path, *more: str) -> list[str]:
        return ["train", "sfmlearner", "--data", str(data), "--steps", "1", "--width", "32", "-o", str(tmp_path / "m"),
                "--device", "cpu", *more]

    other = write_truth(tmp_path / "other")
    (other / "intrinsics.txt").write_text((other / "intrinsics.txt").read_text() + "\n")
    assert main(command(truth)) == 0
    model = (tmp_path / "m" / "model.safetensors").read_bytes()
    for again, differs in ((command(other), "data_sha256"), (command(truth, "--gap", "2", "--frames", "2"), "gap")):
        assert main(again) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        assert differs in line
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == model


def test_train_says_that_data_is_not_there(capsys):
    assert main(["train", "sfmlearner", "--data", "none"]) == 2
    assert "there is no data 'none'" in capsys.readouterr().err


def test_train_leaves_a_model(truth, tmp_path, capsys):
    command = ["train", "sfmlearner", "--data", str(truth), "--steps", "1", "--width", "32", "-o", str(tmp_path / "m")]
    assert main([*command, "--device", "cpu"]) == 0
    model = Path(capsys.readouterr().out.strip())
    assert model == tmp_path / "m" / "model.safetensors"
    assert model.stat().st_size > 1e5


def test_train_is_told_how_fast_and_from_how_much_to_learn(truth, tmp_path):
    assert main(["train", "sfmlearner", "--data", str(truth), "--steps", "1", "--width", "32", "-o",
                 str(tmp_path / "m"), "--rate", "5e-4", "--final", "0.05", "--batch", "2", "--device", "cpu"]) == 0
    asked = yaml.safe_load((tmp_path / "m" / "run.yaml").read_text())["arguments"]
    assert (asked["learning_rate"], asked["final"], asked["batch_size"]) == (5e-4, 0.05, 2)


def test_train_mixes_what_several_data_show(truth, tmp_path, capsys):
    other = write_truth(tmp_path / "other")
    command = ["train", "sfmlearner", "--steps", "1", "--width", "32", "--device", "cpu", "-o", str(tmp_path / "m")]
    assert main([*command, "--data", str(truth), f"{other}@0-3"]) == 0
    arguments = yaml.safe_load((tmp_path / "m" / "run.yaml").read_text())["arguments"]
    assert arguments["data"] == [str(truth), f"{other}@0-3"]
    assert arguments["data_frames"] == [None, [0, 3]]
    assert arguments["samples"] == 2 * (FRAMES - 2)
    assert main([*command, "--data", str(truth)]) == 2
    assert "data_sha256" in capsys.readouterr().err
    assert main([*command, "--data", str(truth), "none"]) == 2
    assert "there is no data 'none'" in capsys.readouterr().err


def test_train_takes_a_video_whose_intrinsics_are_given(tmp_path, capsys):
    video = write_video(tmp_path / "walk.mp4", walking(4))
    command = ["train", "vid2depth", "--data", str(video), "--steps", "1", "--width", "32", "-o", str(tmp_path / "m"),
               "--device", "cpu"]
    assert main(command) == 2
    assert "intrinsics" in capsys.readouterr().err
    assert main([*command, "--intrinsics", "100,100,79.5,59.5"]) == 0
    assert (tmp_path / "m" / "model.safetensors").stat().st_size > 1e5


def test_train_augments_what_flow_and_stereo_learn_from(truth, tmp_path, capsys, monkeypatch):
    def command(system: str) -> list[str]:
        return ["train", system, "--data", str(truth), "--frames", "2", "--width", "64", "--steps", "1", "--augment",
                "-o", str(tmp_path / system), "--device", "cpu"]

    assert main(command("sfmlearner")) == 2
    assert "sfmlearner" in capsys.readouterr().err
    windows, draw = [], augment.drawn
    monkeypatch.setattr(augment, "drawn", lambda *how: windows.append(how) or draw(*how))
    assert main(command("unflow")) == 0
    assert len(windows) >= 4  # one for every sample of the batch


def test_world_writes_a_plain_folder(tmp_path, capsys):
    assert main(["world", "room", "-o", str(tmp_path / "w"), "--frames", "2", "--seed", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "w")
    assert len((tmp_path / "w" / "poses.txt").read_text().splitlines()) == 2


def test_ctrl_c_is_one_line_and_130(tmp_path):
    process = started("world", "room", "-o", str(tmp_path / "w"), "--frames", "5000")
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "w" / "color").is_dir() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.decode().splitlines()[-1] == "epipole: interrupted"
    assert b"Traceback" not in err


def test_a_reader_that_leaves_is_no_error():
    process = started("list")
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait() == 0
    assert err == b""


def test_names_that_are_not_utf8_are_names(run, truth, tmp_path):
    odd = os.fsencode(tmp_path) + b"/odd\xff"
    os.rename(run, odd)
    shown = started("show", odd, "--no-browser")
    out, err = shown.communicate()
    assert (shown.returncode, err) == (0, b"")
    assert out.decode().strip().endswith("report.html")
    judged = started("judge", odd, "--truth", os.fsencode(truth), "--json")
    assert json.loads(judged.communicate()[0])[0]["name"] == "abs_rel"
    missing = started("judge", odd + b"none", "--truth", os.fsencode(truth))
    assert missing.communicate()[1].count(b"\n") == 1
    assert missing.returncode == 2


def test_scale_writes_metres_and_says_how_sure_it_is(run, truth, capsys):
    assert main(["scale", str(run), "--poses", str(truth / "poses.txt")]) == 0
    said = capsys.readouterr().out
    assert "4 m" in said            # the run's unit
    assert "differ by 0.0 %" in said
    assert "All lengths are in metres" in (run / "report.html").read_text()


@pytest.mark.parametrize("arguments", [[], ["--height", "1", "--speed", "2"], ["--height", "-1"],
                                       ["--distance", "1,2,3"], ["--distance", "0,1,1,2,2,-3"]])
def test_scale_wants_one_thing_known(run, arguments, capsys):
    with pytest.raises(SystemExit):
        main(["scale", str(run), *arguments])
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--poses", "none.txt"], ["--gps", "none.gpx"], ["--imu", "none.csv"],
                                       ["--stereo", "none"], ["--stereo", "none", "--baseline", "1"],
                                       ["--speed", "1", "--start", "3"]])
def test_scale_that_cannot_be_found_is_a_sentence(run, arguments, capsys):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert main(["scale", str(run), *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("epipole: ")
    assert said.count("\n") == 1
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("arguments", [["mesh", "RUN"], ["calibrate", "RUN/depth.npz", "--board", "9x6"]])
def test_what_mesh_and_calibrate_cannot_read_is_a_sentence(run, arguments, capsys):
    assert main([word.replace("RUN", str(run)) for word in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("epipole: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("size", ["9", "9x", "0x6", "ax6"])
def test_a_board_has_rows_and_columns(size, capsys):
    with pytest.raises(SystemExit):
        main(["calibrate", "clip.mp4", "--board", size])
    assert "--board" in capsys.readouterr().err


def test_show_live_names_the_page_and_opens_it(run, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    page = SimpleNamespace(watch=lambda folder, port, tell: tell(f"http://127.0.0.1:{port}"))
    monkeypatch.setitem(sys.modules, "epipole.viewer.live", page)
    assert main(["show", str(run), "--live", "--port", "9000"]) == 0
    assert opened == ["http://127.0.0.1:9000"]
    assert "http://127.0.0.1:9000" in capsys.readouterr().out
