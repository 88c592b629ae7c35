import json

import numpy as np
import pytest

from epipole.formats import kitti
from epipole.types.errors import InputError
from epipole.viewer.run_folder import RunFolder, evenly
from tests.viewer.synthetic_run import load_about, path, save_about


def test_reads_what_was_written(run_folder):
    run = RunFolder(run_folder)
    assert run.frames == list(range(12))
    depth = run.depth([0, 7])
    written = np.load(run_folder / "depth.npz")["000007"]
    assert depth.depth.shape == depth.log_variance.shape == (2, 1, 48, 64)
    assert np.array_equal(depth.depth[1, 0].numpy(), written.astype(np.float32))
    assert np.allclose(run.motion.T_first_camera.numpy(), path(12), atol=1e-6)
    assert len(run.log) == 200
    assert sorted(run.previews()) == list(range(12))


def test_cloud_is_a_part_of_the_file(run_folder):
    run = RunFolder(run_folder)
    whole, part = run.cloud(10**9), run.cloud(500)
    assert whole.total == part.total == len(whole.points) == 12 * 48 * 64
    assert len(part.points) == 500
    colours = {tuple(p): tuple(c) for p, c in zip(whole.points.tolist(), whole.colours.tolist(), strict=True)}
    assert all(tuple(c) == colours[tuple(p)] for p, c in
               zip(part.points.tolist(), part.colours.tolist(), strict=True))


def test_absent_files_are_none_or_empty(run_folder):
    for name in ("depth.npz", "path_kitti.txt", "cloud.ply", "log.jsonl"):
        (run_folder / name).unlink()
    run = RunFolder(run_folder)
    assert (run.frames, run.motion, run.cloud(10), run.log, run.damaged) == ([], None, None, [], [])
    assert run.depth([0]) is None


def test_damaged_files_are_remembered(run_folder):
    for name in ("depth.npz", "path_kitti.txt", "cloud.ply"):
        content = (run_folder / name).read_bytes()
        (run_folder / name).write_bytes(content[: len(content) // 2 - 1])
    run = RunFolder(run_folder)
    assert (run.frames, run.motion, run.cloud(10)) == ([], None, None)
    assert sorted(run.damaged) == ["cloud.ply", "depth.npz", "path_kitti.txt"]


def test_a_log_line_cut_short_is_left_out(run_folder):
    with (run_folder / "log.jsonl").open("a") as file:
        file.write(json.dumps({"phase": "joint", "step": 9, "loss": {"a": 1}})[:-9])
    assert len(RunFolder(run_folder).log) == 200


def test_truth_is_found_by_the_arguments(run_folder, tmp_path):
    assert RunFolder(run_folder).truth is None
    truth = tmp_path / "truth"
    truth.mkdir()
    about = load_about(run_folder)
    about["arguments"]["truth"] = str(truth)
    save_about(run_folder, about)
    assert RunFolder(run_folder).truth is None
    kitti.write_poses(truth / "poses.txt", path(12))
    assert RunFolder(run_folder).truth.T_first_camera.shape == (12, 4, 4)


@pytest.mark.parametrize("content", [None, b"", b"a: [", b"\xff\xfe\x00", b"- 1"])
def test_a_folder_without_a_readable_run_yaml_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"run\.yaml"):
        RunFolder(tmp_path)


def test_evenly_keeps_both_ends():
    assert evenly(range(10), 4) == [0, 3, 6, 9]
    assert evenly([5, 6], 4) == [5, 6]
    assert len(set(evenly(range(1000), 150))) == 150
