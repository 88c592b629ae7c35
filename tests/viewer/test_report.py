import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from epipole.formats import kitti
from epipole.types.errors import InputError
from epipole.viewer.report import write_report
from tests.viewer.synthetic_run import load_about, path, save_about, write_run

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """Collects what is seen, and whether elements nest; raises on a stray end tag."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.seen.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.seen).split())


def page(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def change(folder: Path, **changes) -> None:
    save_about(folder, load_about(folder) | changes)


def test_parses_and_loads_nothing_from_elsewhere(run_folder):
    report = page(run_folder)
    for tag, name, value in report.attributes:
        if name in {"src", "href", "action", "data", "srcset", "poster"}:
            assert value.startswith("data:"), (tag, name, value)
    source = (run_folder / "report.html").read_text()
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|import\(", source)
    assert (run_folder / "report.html").stat().st_size < 15e6


def test_every_score_stands_there_with_protocol_and_baselines(run_folder):
    words = page(run_folder).words
    for score in load_about(run_folder)["scores"]:
        assert score["name"] in words
        assert score["protocol"] in words
        assert f"{score['value']:.3g}"[:5] in words
        for name, value in score.get("baselines", {}).items():
            assert f"{name} {value:.3f}" in words


def test_what_each_turn_gained_stands_there_where_the_run_says_it(tmp_path):
    folder = write_run(tmp_path / "run", frames=4)
    assert "Drift of scale" not in page(folder).words
    change(folder, turns=[{"name": "solve", "reprojection_px": 0.312, "scale_drift_percent": 14.2},
                          {"name": "rejoin <1>", "reprojection_px": float("nan"), "scale_drift_percent": 1.3}])
    words = page(folder).words
    for said in ("Drift of scale", "solve", "0.312", "14.2", "rejoin <1>", "not finite", "1.30"):
        assert said in words


def test_up_to_scale_stands_exactly_where_metres_are_unknown(tmp_path):
    unknown = write_report(write_run(tmp_path / "unknown", frames=4, scale="unknown")).read_text().lower()
    metres = write_report(write_run(tmp_path / "metres", frames=4, scale="metres")).read_text().lower()
    assert unknown.count("up to scale") >= 4
    assert "up to scale" not in metres
    assert "(m)" in metres
    assert "(m)" not in unknown


def test_strings_of_the_run_cannot_become_markup(tmp_path):
    evil = "<img src=x onerror=alert(1)>\"'</script>&\udcff\x07.mp4"
    folder = write_run(tmp_path / "run", frames=4, clip=evil)
    about = load_about(folder)
    about["scores"][0] |= {"name": evil, "protocol": evil, "unit": evil, "baselines": {evil: evil}}
    about["intrinsics"] |= {"verdict": evil, "source": evil}
    about["healthy"] = {evil: [0.0, 1.0]}
    about["phases"] = [{"name": evil, "seconds": 1.0}]
    about["skipped"] = [{"first": 0, "last": 1, "why": evil}]
    save_about(folder, about | {"warnings": [evil], "found": [evil], "versions": {evil: evil}})
    report = page(folder)
    assert "img" not in report.tags
    assert report.words.count("<img src=x onerror=alert(1)>") >= 8
    assert not any(name.startswith("on") for _, name, _ in report.attributes)
    assert r"\udcff\x07.mp4" in report.words


def test_warnings_and_an_unfinished_run_are_said_on_top(run_folder):
    assert not any(value == "alarms" for _, _, value in page(run_folder).attributes)
    change(run_folder, warnings=["The scale drifts by 12 %."], finished=False)
    words = page(run_folder).words
    assert words.index("This run is not finished") < words.index("The scale drifts by 12 %.") < words.index("Depth z")


@pytest.mark.parametrize(("name", "sentence"), [
    ("work", "pictures of the footage"), ("mask.npz", "what moved"), ("depth.npz", "depth"),
    ("log_variance.npz", "uncertainty"),
    ("path_kitti.txt", "camera path has not been written"), ("cloud.ply", "point cloud has not been written"),
    ("log.jsonl", "No training step")])
def test_a_missing_piece_is_a_sentence(run_folder, name, sentence):
    before = page(run_folder).words
    target = run_folder / name
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()
    after = page(run_folder).words
    absent = after.split("Not in this folder:")[-1]
    assert sentence in absent
    assert sentence not in before.split("Not in this folder:")[-1] or "Not in this folder" not in before


def test_a_run_that_has_only_begun_has_a_report(tmp_path):
    save_about(tmp_path, {"epipole": "0.1.0", "finished": False, "arguments": {"clip": "a b.mp4", "seed": 0}})
    words = page(tmp_path).words
    assert "This run is not finished" in words
    assert "Nothing has been learned yet" in words
    assert "epipole learn 'a b.mp4' --seed 0" in words


def test_a_damaged_file_is_named(run_folder):
    (run_folder / "cloud.ply").write_bytes(b"ply\n")
    assert "cloud.ply is damaged" in page(run_folder).words


def test_skipped_frames_intrinsics_and_what_it_takes_to_repeat(run_folder):
    words = page(run_folder).words
    for piece in ("4–5", "repeats the frame before", "estimated from the footage", "The footage turns enough",
                  "± 1.2 %", "ab" * 32, "2.13.0", "epipole learn clip.mp4 --minutes 10 --seed 3 --device cpu",
                  "9 min 44 s", "healthy 0 to 0.120"):
        assert piece in words


def test_marks_and_what_the_map_lacks_stand_there(run_folder):
    words = page(run_folder).words
    for piece in ("Moved or not confirmed", "Suspiciously far", "70 % entered the cloud", "12 % moved"):
        assert piece in words


def test_true_path_is_drawn_when_it_is_there(run_folder, tmp_path):
    about = load_about(run_folder)
    about["arguments"]["truth"] = str(tmp_path)
    save_about(run_folder, about)
    assert "true path" not in page(run_folder).words
    kitti.write_poses(tmp_path / "poses.txt", path(12))
    assert "true path" in page(run_folder).words
    kitti.write_poses(tmp_path / "poses.txt", path(5))
    assert "has 5 poses" in page(run_folder).words


def test_frames_handed_over_take_the_place_of_the_cache(run_folder):
    shutil.rmtree(run_folder / "work")
    without = write_report(run_folder).read_text()
    frames = ((i, np.full((48, 64, 3), 20 * i, np.uint8)) for i in range(12))
    given = write_report(run_folder, frames).read_text()
    assert "image/jpeg" not in without
    assert given.count("data:image/jpeg") == 12


def test_no_run_folder_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_steps_count_on_where_a_phase_begins_anew(run_folder):
    lines = [json.dumps({"phase": p, "step": s, "loss": {"a": 1.0}}) for p in "xy" for s in (0, 10, 20)]
    (run_folder / "log.jsonl").write_text("\n".join(lines))
    svg = re.search(r'aria-label="a over the steps".*?</svg>', write_report(run_folder).read_text())[0]
    marks = [float(u) for u in re.findall(r'class="phase" d="M([\d.]+)', svg)]
    assert marks == [46.0, 46.0 + (350 - 46 - 12) / 2]


@pytest.mark.parametrize(("arguments", "command"), [
    ({"clip": "a.mp4", "start": None, "steps": 3}, "epipole learn a.mp4 --steps 3 --from-scratch"),
    ({"clip": "a.mp4", "start": "shipped"}, "epipole learn a.mp4 --start shipped"),
    ({"clip": "a.mp4", "model": "run"}, "epipole slam a.mp4 --model run"),
])
def test_the_command_told_makes_the_same_run(tmp_path, arguments, command):
    folder = write_run(tmp_path / "run", frames=4)
    change(folder, arguments=arguments)
    assert command in page(folder).words
