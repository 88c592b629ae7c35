"""A run that found the truth up to scale scores perfectly; runs of other clips are refused."""

import json

import numpy as np
import pytest

from epipole.formats import kitti
from epipole.judges.depth import DepthProtocol
from epipole.judges.motion import MotionProtocol
from epipole.recipes.judge_run import judge_run, why_absent
from epipole.types.errors import InputError
from tests.runs import FRAMES, true_depth, true_path, write_run, write_truth


@pytest.fixture
def truth(tmp_path):
    return write_truth(tmp_path / "truth")


def values(*arguments, **options) -> dict[str, float]:
    return {score.name: score.value for score in judge_run(*arguments, **options)}


def test_the_truth_up_to_scale_scores_perfectly(tmp_path, truth):
    scores = values(write_run(tmp_path / "run", scale=0.25), truth)
    assert scores["abs_rel"] < 2e-3  # float16 and millimetres
    assert scores["delta_1"] == 1
    assert scores["scale_spread"] < 1e-3
    assert scores["ate"] < 1e-6
    assert scores["focal_error"] == pytest.approx(0)
    assert scores["wall_s"] == 63.5
    assert scores["peak_memory_mb"] == 900
    assert scores["flicker"] < 0.2
    assert set(scores) == {"abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "delta_1", "delta_2", "delta_3",
                           "scale_spread", "ause", "nll", "coverage_error_50", "coverage_error_90", "ece",
                           "error_correlation", "flicker", "hidden", "ate", "ate_percent", "ate_snippet",
                           "ate_snippet_rmse", "rpe_translation",
                           "rpe_rotation", "focal_error", "wall_s", "peak_memory_mb"}


def test_protocols_are_arguments(tmp_path, truth):
    run = write_run(tmp_path / "run", scale=0.5)
    scores = values(run, truth, DepthProtocol("none"), MotionProtocol("none"))
    assert scores["abs_rel"] == pytest.approx(0.5, abs=2e-3)
    offset = true_path()[:, :3, 3] - true_path()[0, :3, 3]
    assert scores["ate"] == pytest.approx(np.sqrt((0.25 * offset**2).sum(1).mean()), rel=1e-6)


def test_a_wrong_focal_length_is_seen(tmp_path, truth):
    assert values(write_run(tmp_path / "run", focal=1.07), truth)["focal_error"] == pytest.approx(7)


def test_every_score_says_how_it_was_measured_and_is_json(tmp_path, truth):
    scores = judge_run(write_run(tmp_path / "run"), truth)
    assert all(score.protocol for score in scores)
    entries = json.loads(json.dumps([score.as_dict() for score in scores]))
    assert all({"name", "value", "unit", "protocol"} <= entry.keys() for entry in entries)
    assert entries[0]["baselines"]["constant depth"] > 0.1


def test_the_mean_of_every_row_stands_beside(tmp_path, truth):
    """The true depth hardly changes but from row to row, so that this baseline is nearly right."""
    score = judge_run(write_run(tmp_path / "run"), truth)[0]
    assert score.baselines["mean per row"] < 0.3 * score.baselines["constant depth"]


def test_depth_that_is_surer_than_right_is_seen(tmp_path, truth):
    """Every second frame is 30 % too deep on its left, unscaled; the runs say that they are 14 and 1.8 % off."""
    def run(name: str, log_variance: float):
        folder = write_run(tmp_path / name, scale=1.0)
        depths = {f"{i:06d}": true_depth(i).astype(np.float16) for i in range(FRAMES)}
        for i in range(0, FRAMES, 2):
            depths[f"{i:06d}"][:, :20] *= 1.3
        np.savez(folder / "depth.npz", **depths)
        np.savez(folder / "log_variance.npz", **{n: np.full_like(d, log_variance) for n, d in depths.items()})
        return values(folder, truth, DepthProtocol("none"))

    honest, sure = run("honest", -4), run("sure", -8)
    assert sure["nll"] > honest["nll"]
    assert sure["flicker"] == honest["flicker"]
    assert sure["flicker"] > values(write_run(tmp_path / "right", scale=1.0), truth)["flicker"]


def test_frames_that_see_nothing_of_each_other_have_no_flicker(tmp_path, truth):
    folder = write_run(tmp_path / "run")
    path = true_path()
    path[:, 0, 3] = 1e4 * np.arange(FRAMES)
    kitti.write_poses(folder / "path_kitti.txt", path)
    scores = values(folder, truth)
    assert "flicker" not in scores
    assert scores["abs_rel"] < 2e-3


def test_only_what_the_truth_knows_is_judged(tmp_path, truth):
    run = write_run(tmp_path / "run")
    (truth / "poses.txt").unlink()
    assert not {"ate", "t_rel"} & values(run, truth).keys()
    (truth / "intrinsics.txt").unlink()
    assert "focal_error" not in values(run, truth)
    assert len(why_absent(truth)) == 2


def test_a_path_too_short_for_kittis_segments_is_said(truth):
    assert ["5.9" in reason or "6" in reason for reason in why_absent(truth)] == [True]


def test_the_truth_of_another_clip_is_refused(tmp_path, truth):
    run = write_run(tmp_path / "run")
    (truth / "color" / "000000.png").unlink()
    kitti.write_poses(truth / "poses.txt", true_path()[1:])
    with pytest.raises(InputError):
        judge_run(run, truth)


def test_a_truth_on_its_side_is_refused(tmp_path, truth):
    size = {"fx": 50, "fy": 50, "cx": 20, "cy": 30, "width": 48, "height": 64}
    run = write_run(tmp_path / "run", intrinsics=size)
    with pytest.raises(InputError):
        judge_run(run, truth)


def test_frames_without_truth_are_left_out(tmp_path, truth):
    run = write_run(tmp_path / "run")
    for i in range(3, FRAMES):
        (truth / "depth" / f"{i:06d}.png").unlink()
    score = judge_run(run, truth)[0]
    assert "3 images" in score.protocol
    assert score.value < 2e-3
