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


def test_every_family_is_named_where_one_is_unknown(tmp_path, capsys):
    assert world(tmp_path, family="moon") == 2
    assert "room" in (err := capsys.readouterr().err)
    assert "flying" in err
    assert "chairs" in err


def test_a_layout_that_there_is_not_ends_with_the_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        world(tmp_path, "--layout", "scroll")
    assert end.value.code == 2
    assert "kitti" in capsys.readouterr().err
