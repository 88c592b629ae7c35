import io
import json

import pytest
import torch

from epipole.engine.log import Log, Pace, Progress, clock_face, read_log
from epipole.types.errors import InputError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_time_left_follows_the_measured_rate():
    clock = Clock()
    pace = Pace(100, clock=clock)
    assert pace.seconds_left is None
    for i in range(1, 11):
        clock.now = 2.0 * i
        pace.reach(i)
    assert pace.rate == pytest.approx(0.5)
    assert pace.seconds_left == pytest.approx(180)


def test_time_left_forgets_a_pace_that_is_over():
    clock = Clock()
    pace = Pace(1000, clock=clock, window=30.0)
    for i in range(1, 101):  # 100 slow units, then fast ones
        clock.now = i
        pace.reach(i)
    for i in range(1, 401):
        clock.now = 100 + 0.1 * i
        pace.reach(100 + i)
    assert pace.rate == pytest.approx(10, rel=0.01)
    assert pace.seconds_left == pytest.approx(50, rel=0.01)


def test_what_an_earlier_run_did_is_not_throughput():
    clock = Clock()
    pace = Pace(100, done=80, clock=clock)
    clock.now = 1.0
    pace.reach(81)
    assert pace.rate == pytest.approx(1)
    assert pace.seconds_left == pytest.approx(19)


FACES = [(None, "-:--"), (0.0, "0:00"), (59.6, "1:00"), (75.0, "1:15"), (3725.0, "1:02:05")]


@pytest.mark.parametrize(("seconds", "face"), FACES)
def test_clock_face(seconds, face):
    assert clock_face(seconds) == face


def test_without_a_terminal_a_line_every_ten_seconds_and_at_the_end():
    out, clock = io.StringIO(), Clock()
    with Progress(out, clock=clock) as progress:
        progress.phase("learn", 35)
        for i in range(35):
            clock.now += 1.0
            progress.reach(i + 1)
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["10/35", "20/35", "30/35", "35/35"]
    assert lines[0] == "learn: 10/35 steps  1 steps/s  0:25 left"


def test_the_end_of_all_phases_is_told_where_it_is_expected_and_until_it_is_past():
    out, clock = io.StringIO(), Clock()
    with Progress(out, every=10.0, clock=clock) as progress:
        progress.expect(100.0)
        progress.phase("look", 20)
        for done in (1, 2):
            clock.now += 10
            progress.reach(done)
        clock.now += 90
        progress.reach(20)
    lines = out.getvalue().splitlines()
    assert lines[0].endswith("left, about 1:30 in all")
    assert lines[1].endswith("left, about 1:20 in all")
    assert lines[2].endswith("0:00 left")


def test_on_a_terminal_a_bar_shows_phase_pace_and_time_left():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out, clock = Terminal(), Clock()
    with Progress(out, clock=clock) as progress:
        with progress.working("adjust"):
            pass
        progress.phase("decode", 100, unit="frames")
        clock.now = 10.0
        progress.reach(50)
    assert "decode" in out.getvalue()
    assert "5 frames/s" in out.getvalue()
    assert "0:10 left" in out.getvalue()
    assert "adjust" in out.getvalue()
    assert "done" in out.getvalue()


def test_a_phase_of_unknown_length_is_named_as_it_begins():
    out = io.StringIO()
    with Progress(out) as progress, progress.working("adjust"):
        assert out.getvalue() == "adjust ...\n"


def test_a_line_of_the_log_is_the_documented_one(tmp_path):
    log = Log(tmp_path / "work" / "log.jsonl", "learn")
    log.start(0, 10)
    log.step(0, {"depth": torch.tensor(0.5), "smooth": 0.25})
    log.step(1, {"depth": 9.0}, write=False)
    line, = (json.loads(x) for x in (tmp_path / "work" / "log.jsonl").read_text().splitlines())
    assert set(line) == {"phase", "step", "seconds", "loss"}
    assert (line["phase"], line["step"], line["loss"]) == ("learn", 0, {"depth": 0.5, "smooth": 0.25})
    assert 0 <= line["seconds"] < 10


def test_resuming_cuts_the_steps_that_are_taken_again_and_half_a_line(tmp_path):
    path = tmp_path / "log.jsonl"
    for phase in ("first", "second"):
        log = Log(path, phase)
        log.start(0, 5)
        for step in range(5):
            log.step(step, {"a": float(step)})
    with path.open("a") as file:
        file.write('{"phase": "second", "st')
    text = path.read_text().splitlines()
    old = [json.loads(line) for line in text[:-1]]
    old[7]["seconds"] = 70.0
    path.write_text("\n".join(json.dumps(line) for line in old) + "\n" + text[-1])

    log = Log(path, "second")
    log.start(3, 5)
    log.step(3, {"a": 3.0})
    lines = read_log(path)
    assert [(line["phase"], line["step"]) for line in lines] == [("first", s) for s in range(5)] + [
        ("second", s) for s in range(4)]
    assert 70 <= lines[-1]["seconds"] < 80  # the clock goes on where it stopped


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"\0\0\0", b"12", b"{}", b'{"phase": "a", "step": "x"}'])
def test_a_damaged_line_is_a_sentence_that_names_it(tmp_path, damage):
    path = tmp_path / "log.jsonl"
    log = Log(path, "learn")
    log.start(0, 3)
    for step in range(3):
        log.step(step, {"a": 1.0})
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], damage, *lines[2:]]))
    for read in (lambda: read_log(path), lambda: Log(path, "learn").start(1, 3)):
        with pytest.raises(InputError, match="line 2"):
            read()
    path.write_bytes(b"\n".join([*lines[:2], damage]))  # the last one, cut by a kill
    assert [line["step"] for line in read_log(path)] == [0, 1]
    path.unlink()
    with pytest.raises(InputError, match=r"log\.jsonl"):
        read_log(path)


def test_progress_begins_where_the_training_resumes(tmp_path):
    out, clock = io.StringIO(), Clock()
    log = Log(None, "learn", Progress(out, clock=clock))
    log.start(90, 100)
    clock.now = 10.0
    log.step(90, {})
    assert out.getvalue() == "learn: 91/100 steps  0.1 steps/s  1:30 left\n"


def test_a_log_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError):
        Log(tmp_path / "file" / "log.jsonl").start(0, 1)
