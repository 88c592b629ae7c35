"""Samples from what is named on the command line."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from epipole.cli import main
from epipole.recipes.samples import (
    Shape,
    described,
    flow_pairs,
    parse_all,
    parse_data,
    samples,
    sequences,
    stereo_pairs,
    world_for,
)
from epipole.sources.worlds import FIELDS, Spec, World
from epipole.types.errors import InputError
from epipole.types.views import Views
from tests.runs import FRAMES, write_truth
from tests.sources.test_pair_folders import write_flow, write_stereo

TINY = Shape(frames=2, gap=1, width=32, world_frames=3)


def same(a: Views, b: Views, names: set[str]) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


def test_names_of_data():
    room, part = parse_data("room:2-5"), parse_data("street@3-9")
    assert (room.place, room.scenes, room.frames) == ("room", range(2, 6), None)
    assert (part.place, part.scenes, part.frames) == ("street", range(1), range(3, 10))


def test_a_place_may_have_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a@0-1", "plain"):
        Path(name).mkdir()
    assert (parse_data("a@0-1").place, parse_data("a@0-1").frames) == ("a@0-1", None)
    assert (parse_data("plain@0-1").place, parse_data("plain@0-1").frames) == ("plain", range(2))


@pytest.mark.parametrize("text", ["nowhere", "castle:0-7", "room:5-2", "room@9-3", "room:x", "", "nowhere@0-3"])
def test_data_that_are_not_there_are_refused(text):
    with pytest.raises(InputError):
        parse_data(text)


def test_the_same_samples_have_one_description_wherever_they_lie(tmp_path):
    first, copy = write_truth(tmp_path / "a"), tmp_path / "b"
    shutil.copytree(first, copy)
    (copy / "notes").write_text("nothing that a sample shows")
    one, other = (described(parse_data(str(folder)), TINY) for folder in (first, copy))
    assert one | {"data": str(copy)} == other
    assert one["data"] == str(first)


@pytest.mark.parametrize("file", ["color/000003.png", "depth/000003.png", "intrinsics.txt", "poses.txt"])
def test_other_contents_have_another_description(tmp_path, file):
    folder = write_truth(tmp_path / "a")
    before = described(parse_data(str(folder)), TINY)
    (folder / file).write_bytes((folder / file).read_bytes() + b"1")
    assert described(parse_data(str(folder)), TINY) != before


def test_every_argument_is_in_the_description(tmp_path):
    folder = write_truth(tmp_path / "a")
    texts = [str(folder), f"{folder}@0-3", "room:1", "room:2", "room:1-2", "street:1", "room:1@0-1"]
    shapes = [replace(TINY, **{name: 48}) for name in ("frames", "gap", "width")]
    all_ = [described(parse_data(text), TINY) for text in texts]
    all_ += [described(parse_data(str(folder)), shape) for shape in shapes]
    all_ += [described(parse_data("room:1"), replace(TINY, world_frames=4)),
             described(parse_data(str(folder)), TINY, np.diag([50.0, 50, 1]))]
    bare = [{k: v for k, v in each.items() if k != "data"} for each in all_]
    assert all(a != b for i, a in enumerate(bare) for b in bare[:i])


def test_a_world_gives_clips_pairs_and_flow_and_keeps_them(tmp_path):
    world = World(Spec("room", scene=1, frames=3, width=32, height=24), FIELDS)
    data = parse_data("room:1")
    clips = samples(data, {"image", "K"}, TINY, tmp_path)
    assert len(clips) == 2
    assert same(clips[1], world.clip([1, 2]), {"image", "K", "depth", "T_world_camera"})
    pairs = samples(data, {"image", "disparity"}, TINY, tmp_path)
    assert len(pairs) == 3
    assert same(pairs[2], world.stereo(2), {"image", "disparity", "disparity_valid", "baseline", "depth"})
    flow = samples(data, {"image", "flow"}, TINY, tmp_path)
    assert same(flow[0], world.clip([0, 1]), {"image", "flow", "flow_valid", "occlusion"})
    kept = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(kept) == 2 + 1 + 1
    again = [samples(data, names, TINY, tmp_path)[i]
             for names, i in (({"image", "K"}, 1), ({"image", "disparity"}, 2), ({"image", "flow"}, 0))]
    assert all(torch.equal(a.image, b.image) for a, b in zip(again, (clips[1], pairs[2], flow[0]), strict=True))
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == kept
    (alone,) = sequences(parse_data("room:1@1-2"), TINY, tmp_path)
    assert len(alone) == 2
    assert torch.equal(alone[0].image[0], clips[1].image[0])


def test_a_table_gives_focal_stacks_and_what_is_farther_none(tmp_path, capsys):
    stacks = samples(parse_data("tabletop:1@1-1"), {"image", "focus"}, replace(TINY, frames=4), tmp_path)
    assert len(stacks) == 1
    assert stacks[0].image.shape == (4, 3, 24, 32)
    torch.testing.assert_close(1 / stacks[0].focus, torch.tensor([4.0, 3.0, 2.0, 1.0]))
    assert torch.equal(stacks[0].depth[3], World(Spec("tabletop", scene=1, frames=3, width=32, height=24))[1].depth[0])
    for place in ("room", str(write_truth(tmp_path / "truth"))):
        with pytest.raises(InputError, match="tabletop:0-7"):
            samples(parse_data(place), {"image", "focus"}, TINY, tmp_path)
    assert world_for({"image", "focus"}, 3) == "tabletop:3"


def test_a_system_for_focal_stacks_trains_from_a_table(tmp_path, capsys):
    command = ["train", "ddff", "--data", "tabletop@0-0", "--steps", "1", "--width", "32", "--device", "cpu"]
    assert main([*command, "-o", str(tmp_path / "m")]) == 0
    assert Path(capsys.readouterr().out.strip()).stat().st_size > 1e5


def test_a_folder_gives_clips_of_its_frames(tmp_path):
    folder = write_truth(tmp_path / "truth")
    clips = samples(parse_data(f"{folder}@2-6"), {"image", "depth", "depth_valid"}, TINY, tmp_path / "cache")
    assert len(clips) == 4
    assert clips[0].image.shape == (2, 3, 24, 32)
    torch.testing.assert_close(clips[0].image.mean((1, 2, 3)), torch.tensor([40.0, 60.0]) / 255)
    with pytest.raises(InputError, match=str(FRAMES)):
        samples(parse_data(f"{folder}@2-60"), {"image"}, TINY, tmp_path / "cache")


def test_folders_of_pairs_give_pairs_whatever_is_asked_for(tmp_path):
    stereo, flow = write_stereo(tmp_path / "s"), write_flow(tmp_path / "f")
    shape = Shape(width=30)
    pair = samples(parse_data(str(stereo)), {"image"}, shape, tmp_path / "cache")[1]
    assert pair.image.shape == (2, 3, 18, 30)
    assert pair.disparity[pair.disparity_valid].unique().tolist() == [4.5]
    moved = samples(parse_data(str(flow)), {"image"}, shape, tmp_path / "cache")[1]
    assert moved.flow[0, 0][moved.flow_valid[0, 0]].unique().tolist() == [-4.5]
    assert stereo_pairs(parse_data(str(stereo)), shape, tmp_path)[0].image.shape == (2, 3, 24, 40)
    assert len(flow_pairs(parse_data(f"{flow}@1-1"), shape, tmp_path)) == 1
    for find, folder in ((stereo_pairs, flow), (flow_pairs, stereo)):
        with pytest.raises(InputError):
            find(parse_data(str(folder)), shape, tmp_path)


@pytest.mark.parametrize("data", ["pairs", "world"])
def test_stereo_systems_train_from_pairs(tmp_path, capsys, data):
    place = str(write_stereo(tmp_path / "s")) if data == "pairs" else "world"
    command = ["train", "dispnet", "--data", place, "--steps", "1", "--width", "32", "--device", "cpu"]
    assert main([*command, "-o", str(tmp_path / "m")]) == 0
    assert Path(capsys.readouterr().out.strip()).stat().st_size > 1e5


def test_footage_is_no_stereo_pair(tmp_path, capsys):
    command = ["train", "dispnet", "--data", str(write_truth(tmp_path / "truth")), "-o", str(tmp_path / "m")]
    assert main(command) == 2
    assert "left/" in capsys.readouterr().err


def test_of_several_data_each_gives_as_many_samples(tmp_path):
    many, few = parse_all(["room:1-2", "street:1@0-0"])
    both = samples((many, few), {"image", "flow"}, TINY, tmp_path)
    alone = [samples(one, {"image", "flow"}, TINY, tmp_path) for one in (many, few)]
    assert [len(source) for source in alone] == [4, 1]
    assert len(both) == 8
    for i in range(8):
        assert torch.equal(both[i].image, alone[i % 2][i // 2 % len(alone[i % 2])].image)
    with pytest.raises(IndexError):
        both[8]


def test_data_whose_images_fit_no_batch_are_not_mixed(tmp_path):
    folder = write_stereo(tmp_path / "s", truth=False)
    with pytest.raises(InputError, match=r"2 images of 40x30 and those of .* 2 images of 40x24"):
        samples(parse_all(["room:1", folder]), {"image", "disparity"}, replace(TINY, width=40), tmp_path / "cache")
    with pytest.raises(InputError, match="no data"):
        parse_all([])


def test_several_data_have_one_description():
    one, other, both = (described(parse_all(texts), TINY) for texts in (["room:1"], "street:2@0-1",
                                                                        ["room:1", Path("street:2@0-1")]))
    assert one == described(parse_data("room:1"), TINY)
    assert both == one | {name: [one[name], other[name]] for name in ("data", "data_sha256", "data_frames")}
    assert both["data"] == ["room:1", "street:2@0-1"]
