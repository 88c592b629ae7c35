"""`epipole world` and its switches."""

from pathlib import Path

import pytest

from epipole.cli import main


def world(tmp_path: Path, *more: str, family: str = "room") -> int:
    return main(["world", family, "-o", str(tmp_path / "w"), "--frames", "1", *more])


def test_plain_folders_take_further_truth_and_are_left_as_they_are(tmp_path, capsys):
    assert world(tmp_path, "--truth", "semantic, normals") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "w")
    first = (tmp_path / "w" / "semantic" / "000000.png").stat().st_mtime_ns
    assert (tmp_path / "w" / "normals" / "000000.png").is_file()
    assert world(tmp_path, "--truth", "semantic") == 0
    assert (tmp_path / "w" / "semantic" / "000000.png").stat().st_mtime_ns == first
    assert world(tmp_path, "--truth", "semantic,instance") == 0
    assert (tmp_path / "w" / "instance" / "000000.png").is_file()


def test_the_layout_of_kitti_and_a_mesh(tmp_path):
    assert world(tmp_path, "--layout", "kitti", "--mesh", str(tmp_path / "room.ply")) == 0
    assert (tmp_path / "w" / "sequences" / "00" / "image_3" / "000000.png").is_file()
    assert (tmp_path / "w" / "poses" / "00.txt").is_file()
    assert (tmp_path / "room.ply").stat().st_size > 10_000


def test_the_layout_of_tartanair_comes_in_its_own_size(tmp_path, capsys, monkeypatch):
    """Rendered at a fraction of it, for speed."""
    from dataclasses import replace

    from epipole.sources.worlds import LAYOUTS, layouts

    asked = []

    def small(spec, folder, **options):
        asked.append(spec)
        return layouts.write_tartanair(replace(spec, width=32, height=24), folder, **options)

    monkeypatch.setitem(LAYOUTS, "tartanair", LAYOUTS["tartanair"]._replace(write=small))
    assert world(tmp_path, "--layout", "tartanair", "--difficulty", "2") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "w" / "room" / "Hard" / "P000")
    assert (asked[0].width, asked[0].height, asked[0].fov, asked[0].baseline) == (640, 480, 90, 0.25)


@pytest.mark.parametrize(("options", "word"), [
    (["--truth", "smell"], "there is no truth 'smell' to write; there are normals, semantic, instance, flow"),
    (["--truth", ""], "there is no truth ''"),
    (["--truth", "flow", "--layout", "kitti"], "ask for further truth with plain only"),
    (["--mesh", "w.obj"], ".ply or .glb"), (["--mesh", "nowhere/w.ply"], "nowhere/w.ply"),
])
def test_what_cannot_be_written_is_one_sentence_before_anything_is_rendered(tmp_path, monkeypatch, capsys, options,
                                                                            word):
    monkeypatch.chdir(tmp_path)
    assert world(tmp_path, *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert word in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(("family", "file"), [("shapes", "corners.csv"), ("digits", "labels.csv"),
                                              ("slopes", "questions.csv")])
def test_drawn_pictures_come_with_their_labels_in_their_own_size(tmp_path, capsys, family, file):
    assert world(tmp_path, family=family) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "w")
    assert (tmp_path / "w" / file).read_text().count("\n") > 1
    assert (tmp_path / "w" / "contact_sheet.png").is_file()
    first = (tmp_path / "w" / file).stat().st_mtime_ns
    assert world(tmp_path, family=family) == 0
    assert (tmp_path / "w" / file).stat().st_mtime_ns == first


@pytest.mark.parametrize("options", [["--truth", "flow"], ["--mesh", "w.ply"], ["--layout", "kitti"]])
def test_what_is_drawn_has_no_more_than_its_labels(tmp_path, capsys, options):
    assert world(tmp_path, *options, family="digits") == 2
    assert "digits are drawn flat" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_a_clip_is_made_again_from_its_yaml_as_it_was_or_changed(tmp_path):
    from epipole.sources.worlds import Spec

    asked = ["--width", "48", "--height", "32", "--motion", "orbit", "--seed", "3", "--difficulty", "2"]
    assert world(tmp_path, *asked) == 0
    spec = Spec.from_yaml(tmp_path / "w" / "world.yaml")
    assert spec == Spec("room", 2, 3, frames=1, width=48, height=32, motion="orbit")
    again = ["world", str(tmp_path / "w" / "world.yaml"), "-o"]
    assert main([*again, str(tmp_path / "again")]) == 0
    for name in ("color/000000.jpg", "depth/000000.png", "poses.txt", "world.yaml"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "w" / name).read_bytes()
    assert main([*again, str(tmp_path / "other"), "--seed", "4", "--frames", "2"]) == 0
    assert Spec.from_yaml(tmp_path / "other" / "world.yaml").frames == 2
    assert (tmp_path / "other" / "poses.txt").read_bytes() != (tmp_path / "w" / "poses.txt").read_bytes()


@pytest.mark.parametrize("file", ["nowhere.yaml", "broken.yaml"])
def test_a_yaml_that_makes_no_world_is_refused(tmp_path, capsys, file):
    (tmp_path / "broken.yaml").write_text("family: moon")
    assert world(tmp_path, family=str(tmp_path / file)) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_every_family_is_named_where_one_is_unknown(tmp_path, capsys):
    assert world(tmp_path, family="moon") == 2
    assert "room" in (err := capsys.readouterr().err)
    assert "flying" in err
    assert "chairs" in err
    assert "digits" in err


def test_a_layout_that_there_is_not_ends_with_the_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        world(tmp_path, "--layout", "scroll")
    assert end.value.code == 2
    assert "kitti" in capsys.readouterr().err
