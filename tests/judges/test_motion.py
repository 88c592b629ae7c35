"""Path scores against evo, published numbers and cases whose answer is known."""

import itertools

import numpy as np
import pytest
import torch
from evo.core.metrics import APE, RPE, PoseRelation, Unit
from evo.core.sync import matching_time_indices as evo_sync
from evo.core.trajectory import PosePath3D

from epipole.formats import kitti, tum
from epipole.geometry.motion import se3_exp
from epipole.judges.camera import focal_error
from epipole.judges.motion import (
    MotionProtocol,
    align,
    ate,
    ate_zhou,
    judge_motion,
    kitti_segments,
    rpe,
    snippet_error,
)
from epipole.judges.paths import associate, constant_velocity, mean_motion, path_length, rebase, repeated
from epipole.types.errors import InputError


def random_path(frames: int, seed: int = 0, step: float = 0.3) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    steps = se3_exp(step * torch.randn(frames, 6, generator=generator, dtype=torch.float64)).numpy()
    path = [np.eye(4)]
    for T in steps[1:]:
        path.append(path[-1] @ T)
    return np.stack(path)


def straight(frames: int, step: float = 1.0) -> np.ndarray:
    path = np.tile(np.eye(4), (frames, 1, 1))
    path[:, 2, 3] = step * np.arange(frames)
    return path


def similar(path: np.ndarray, scale: float, seed: int = 5) -> np.ndarray:
    """The same path seen from another world of another scale."""
    T = random_path(2, seed, 2.0)[1]
    out = T @ path
    out[:, :3, 3] = scale * (path[:, :3, 3] @ T[:3, :3].T) + T[:3, 3]
    return out


@pytest.fixture
def kitti_09(shared_data) -> np.ndarray:
    return kitti_truth(shared_data, 9)


def kitti_truth(shared_data, sequence: int) -> np.ndarray:
    rows = np.load(shared_data / f"trajectories/kitti_gt/{sequence:02d}.npz")["poses"].astype(np.float64)
    path = np.tile(np.eye(4), (len(rows), 1, 1))
    path[:, :3] = rows.reshape(-1, 3, 4)
    return path


@pytest.mark.parametrize("alignment", ["none", "scale", "se3", "sim3"])
def test_only_sim3_forgives_a_similarity(alignment):
    path = random_path(60)
    axes = np.eye(4)
    axes[:3, :3] = random_path(2, 9, 1.0)[1, :3, :3]
    moved = similar(path, 0.37) @ axes  # and cameras whose axes point elsewhere, which rebasing does not undo
    assert (ate(moved, path, alignment) < 1e-9) == (alignment == "sim3")


def test_scale_alignment_forgives_scale_and_se3_does_not():
    path = random_path(60)
    scaled = path.copy()
    scaled[:, :3, 3] *= 7
    assert ate(scaled, path, "scale") < 1e-9
    assert ate(scaled, path, "se3") > 0.1
    assert ate(similar(path, 1.0), path, "se3") < 1e-9


@pytest.mark.parametrize(("alignment", "scale"), [("se3", False), ("sim3", True)])
def test_ate_is_evos(alignment, scale):
    estimate, truth = rebase(random_path(80, 1)), rebase(random_path(80, 2))
    theirs = PosePath3D(poses_se3=list(estimate.copy()))
    reference = PosePath3D(poses_se3=list(truth))
    theirs.align(reference, correct_scale=scale)
    metric = APE(PoseRelation.translation_part)
    metric.process_data((reference, theirs))
    assert ate(estimate, truth, alignment) == pytest.approx(metric.get_all_statistics()["rmse"], rel=1e-9)
    np.testing.assert_allclose(align(estimate, truth, alignment), np.array(theirs.poses_se3), atol=1e-9)


@pytest.mark.parametrize("delta", [1, 5])
def test_rpe_is_evos(delta):
    estimate, truth = random_path(80, 1), random_path(80, 2)
    paths = PosePath3D(poses_se3=list(truth)), PosePath3D(poses_se3=list(estimate))
    expected = []
    for relation in (PoseRelation.translation_part, PoseRelation.rotation_angle_deg):
        metric = RPE(relation, delta=delta, delta_unit=Unit.frames, all_pairs=True)
        metric.process_data(paths)
        expected.append(metric.get_all_statistics()["rmse"])
    assert rpe(estimate, truth, delta, alignment="none") == pytest.approx(expected, rel=1e-6)


def test_straight_line_ten_per_cent_too_long():
    truth = straight(1001)
    long = straight(1001, 1.1)
    plain = kitti_segments(long, truth, "none")
    assert plain.used == 440
    assert plain.t_rel == pytest.approx(10.04, abs=0.005)  # each segment overshoots its length by one step
    assert plain.r_rel == pytest.approx(0, abs=1e-9)
    assert kitti_segments(long, truth, "scale").t_rel == pytest.approx(0, abs=1e-9)
    assert kitti_segments(long, truth, "sim3").t_rel == pytest.approx(0, abs=1e-9)


def naive_segments(estimate, truth) -> tuple[float, float]:
    distance = [0.0]
    for a, b in itertools.pairwise(truth):
        distance.append(distance[-1] + float(np.linalg.norm(b[:3, 3] - a[:3, 3])))
    t, r = [], []
    for first in range(0, len(truth), 10):
        for length in range(100, 801, 100):
            last = next((k for k in range(first, len(truth)) if distance[k] > distance[first] + length), None)
            if last is None:
                continue
            E = np.linalg.inv(np.linalg.inv(estimate[first]) @ estimate[last]) @ (
                np.linalg.inv(truth[first]) @ truth[last])
            t.append(np.linalg.norm(E[:3, 3]) / length)
            r.append(np.arccos(np.clip((np.trace(E[:3, :3]) - 1) / 2, -1, 1)) / length)
    return 100 * float(np.mean(t)), float(np.degrees(100 * np.mean(r)))


def test_segments_equal_their_naive_twin():
    truth, estimate = random_path(300, 3, 1.5), random_path(300, 4, 1.5)
    fast = kitti_segments(estimate, truth, "none")
    assert (fast.t_rel, fast.r_rel) == pytest.approx(naive_segments(estimate, truth), rel=1e-6)


@pytest.mark.parametrize(("file", "t_rel", "r_rel", "error"), [
    ("example_0_09.txt", 2.869, 0.249, 8.387), ("example_1_09.txt", 2.528, 0.288, 10.729)])
def test_result_files_score_as_measured_independently(shared_data, kitti_09, file, t_rel, r_rel, error):
    frames, estimate = kitti.read_numbered_poses(shared_data / "trajectories/kitti_results" / file)
    truth = kitti_09[frames]
    segments = kitti_segments(estimate, truth)
    assert segments.t_rel == pytest.approx(t_rel, abs=1e-3)
    assert segments.r_rel == pytest.approx(r_rel, abs=1e-3)
    assert ate(estimate, truth) == pytest.approx(error, abs=1e-3)


@pytest.mark.parametrize(("sequence", "mean", "sd"), [(9, 0.0323, 0.0260), (10, 0.0237, 0.0234)])
def test_mean_odometry_has_zhous_published_error(shared_data, sequence, mean, sd):
    """Zhou 2017, table 3, row "Mean Odom.": the mean motion of sequences 00-08, repeated."""
    truth = kitti_truth(shared_data, sequence)
    step = np.array([-0.0006, -0.0175, 0.9574])
    estimate = np.tile(np.eye(4), (len(truth), 1, 1))
    estimate[:, :3, 3] = np.arange(len(truth))[:, None] * step
    assert ate_zhou(estimate, truth) == pytest.approx((mean, sd), abs=1e-4)
    if sequence == 9:
        assert ate_zhou(estimate, truth, rmse=True)[0] == pytest.approx(0.0723, abs=1e-4)


def test_snippets_have_a_scale_of_their_own():
    g = np.array([[0, 0, 0], [0, 0, 1.0], [0, 0, 2.0]])
    assert snippet_error(0.01 * g, g) == pytest.approx(0)
    p = np.array([[0, 0, 0], [0, 0, 1.0], [0, 3.0, 2.0]])
    s = 5 / 14
    expected = np.sqrt((1 - s) ** 2 + (3 * s) ** 2 + (2 - 2 * s) ** 2)
    assert snippet_error(p, g) == pytest.approx(expected / 3)
    assert snippet_error(p, g, rmse=True) == pytest.approx(expected / np.sqrt(3))


def test_a_path_that_stands_still_has_an_error_and_not_a_nan():
    truth = random_path(40)
    still = np.tile(np.eye(4), (40, 1, 1))
    expected = np.sqrt(((truth[:, :3, 3] - truth[:, :3, 3].mean(0)) ** 2).sum(1).mean())
    assert ate(still, truth) == pytest.approx(expected)
    assert np.isfinite(ate_zhou(still, truth)).all()


def test_scores_carry_units_and_leave_out_what_the_path_is_too_short_for():
    truth = straight(60)
    names = {s.name: s for s in judge_motion(similar(truth, 2.0), truth)}
    assert set(names) == {"ate", "ate_percent", "ate_snippet", "ate_snippet_rmse", "rpe_translation", "rpe_rotation"}
    assert set(s.name for s in judge_motion(straight(4), straight(4))) == {
        "ate", "ate_percent", "rpe_translation", "rpe_rotation"}
    assert [s.name for s in judge_motion(straight(1), straight(1))] == ["ate"]
    assert names["ate"].unit == "m"
    long = {s.name: s for s in judge_motion(straight(400, 1.1), straight(400))}
    assert {"t_rel", "r_rel"} <= set(long)
    assert "t_rel" not in {s.name for s in judge_motion(straight(400), straight(400), unit="units of the truth")}


def test_ate_percent_is_of_the_true_path():
    truth, estimate = random_path(50, 1), random_path(50, 2)
    names = {s.name: s.value for s in judge_motion(estimate, truth, MotionProtocol("se3"))}
    assert names["ate_percent"] == pytest.approx(100 * names["ate"] / path_length(truth))
    assert path_length(straight(60)) == pytest.approx(59)


def test_focal_error_compares_shares_of_the_image():
    K = np.array([[110.0, 0, 80], [0, 95, 60], [0, 0, 1]])
    K_true = np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]])
    assert focal_error(K, (160, 120), K_true, (320, 240)) == pytest.approx((10 + 5) / 2)
    assert focal_error(K_true, (320, 240), K_true, (320, 240)) == 0


def test_a_path_shorter_than_the_window_is_refused():
    with pytest.raises(InputError):
        ate_zhou(straight(4), straight(4), window=5)
    with pytest.raises(InputError):
        rpe(straight(3), straight(3), delta=3)


@pytest.mark.parametrize(("sequence", "mean", "sd"), [(9, 0.0323, 0.0260), (10, 0.0237, 0.0234)])
def test_mean_odometry_follows_from_the_training_sequences(shared_data, sequence, mean, sd):
    """The same row, with the mean motion measured from sequences 00-08 and read off the judge's own baselines."""
    step = mean_motion(kitti_truth(shared_data, s) for s in range(9))
    assert step[:3, 3] == pytest.approx([-0.0006, -0.0175, 0.9574], abs=1e-4)
    truth = kitti_truth(shared_data, sequence)
    still = np.tile(np.eye(4), (len(truth), 1, 1))
    scores = {s.name: s for s in judge_motion(still, truth, mean=step)}
    assert scores["ate_snippet"].baselines["train-set mean motion"] == pytest.approx(mean, abs=2e-4)
    assert ate_zhou(repeated(step, np.arange(len(truth))), truth) == pytest.approx((mean, sd), abs=2e-4)


@pytest.mark.parametrize("rmse", [False, True])
def test_snippet_errors_equal_their_naive_twin(rmse):
    estimate, truth = random_path(30, 1), random_path(30, 2)
    errors = []
    for i in range(26):
        p = [(np.linalg.inv(estimate[i]) @ estimate[i + k])[:3, 3] for k in range(5)]
        g = [(np.linalg.inv(truth[i]) @ truth[i + k])[:3, 3] for k in range(5)]
        s = sum(a @ b for a, b in zip(p, g, strict=True)) / sum(a @ a for a in p)
        square = sum(((s * a - b) ** 2).sum() for a, b in zip(p, g, strict=True))
        errors.append(np.sqrt(square / 5) if rmse else np.sqrt(square) / 5)
    assert ate_zhou(estimate, truth, 5, rmse) == pytest.approx((np.mean(errors), np.std(errors)))
    scores = {s.name: s.value for s in judge_motion(estimate, truth)}
    assert scores["ate_snippet_rmse" if rmse else "ate_snippet"] == pytest.approx(np.mean(errors))


def test_constant_velocity_is_exact_where_velocity_is_constant():
    turning = repeated(random_path(2, 3)[1], np.arange(150))
    scores = {s.name: s for s in judge_motion(random_path(150), turning)}
    assert max(s.baselines["constant velocity"] for s in scores.values()) < 1e-4
    assert max(s.baselines["mean motion"] for s in scores.values()) < 1e-4


def test_constant_velocity_goes_on_as_the_true_path_came():
    truth = straight(4)
    truth[:, 2, 3] = [0, 1, 3, 6]
    first, last = np.array([0, 1, 2, 1]), np.array([1, 2, 3, 3])
    assert constant_velocity(truth, first, last)[:, 2, 3] == pytest.approx([1, 1, 2, 2])
    scores = {s.name: s for s in judge_motion(truth, truth, MotionProtocol("none"))}
    assert scores["rpe_translation"].baselines["constant velocity"] == pytest.approx(np.sqrt((0 + 1 + 1) / 3))
    assert scores["ate"].baselines["constant velocity"] == pytest.approx(np.sqrt((0 + 0 + 1 + 9) / 4))
    assert scores["ate"].baselines["mean motion"] == pytest.approx(np.sqrt((0 + 1 + 1 + 0) / 4))


def test_mean_motion_is_blind_to_where_paths_lie():
    step = random_path(2, 3, 0.2)[1]
    path = repeated(step, np.arange(9))
    np.testing.assert_allclose(mean_motion([path, random_path(2, 5)[1] @ path, path[:1]]), step, atol=1e-9)
    with pytest.raises(InputError):
        mean_motion([path[:1]])


def test_paths_of_other_frames_or_times_are_refused_in_words():
    path, times = random_path(20), np.arange(20) / 10
    broken = path.copy()
    broken[[3, 7], 0, 3] = np.nan
    for estimate, truth, stamps, why in (
        (path[:19], path, None, "19 poses and the true one 20"),
        (path, path, (times[:19], times), "19 estimated and 20 true times"),
        (path, path, (times + 0.1, times), "up to 0.1 s apart"),
        (path, path, (times * np.nan, times), "apart"),
        (broken, path, None, "2 poses of the estimated path"),
        (path, broken, None, "2 poses of the true path"),
        (path[:0], path[:0], None, "without poses"),
    ):
        with pytest.raises(InputError, match=why):
            judge_motion(estimate, truth, times=stamps)
    assert judge_motion(path, path, times=(times + 0.005, times))[0].value < 1e-9


def test_stamps_are_associated_as_evo_does(shared_data):
    folder = shared_data / "trajectories/evo"
    (t_true, _), (t_estimate, _) = (tum.read(folder / f"freiburg1_xyz-{n}.txt") for n in ("groundtruth", "rgbdslam"))
    theirs = evo_sync(t_estimate, t_true, 0.01)  # theirs must be given the shorter one first
    for i, j in (associate(t_estimate, t_true, 0.01), associate(t_true, t_estimate, 0.01)[::-1]):
        np.testing.assert_array_equal(i, theirs[0])
        np.testing.assert_array_equal(j, theirs[1])


def test_a_stamp_is_used_once_and_far_ones_not_at_all():
    i, j = associate(np.array([0.0, 1.0, 1.004, 5.0]), np.array([0.001, 1.003, 2.0, 3.0, 4.0]), 0.01)
    assert (i.tolist(), j.tolist()) == ([0, 2], [0, 1])
    assert [x.tolist() for x in associate(np.array([1.0]), np.array([1.001]))] == [[0], [0]]
    for others in (np.array([7.0, 8.0]), np.zeros(0)):
        with pytest.raises(InputError):
            associate(np.array([0.0, 1.0]), others)


def test_real_tracks_of_tum_have_evos_error_after_matching(shared_data):
    folder = shared_data / "trajectories/evo"
    (t_true, true), (t_estimate, estimate) = (
        tum.read(folder / f"freiburg1_xyz-{name}.txt") for name in ("groundtruth", "rgbdslam_drift"))
    i, j = associate(t_true, t_estimate)
    theirs, reference = PosePath3D(poses_se3=list(rebase(estimate[j]))), PosePath3D(poses_se3=list(rebase(true[i])))
    theirs.align(reference, correct_scale=False)
    metric = APE(PoseRelation.translation_part)
    metric.process_data((reference, theirs))
    score = judge_motion(estimate[j], true[i], MotionProtocol("se3"), times=(t_estimate[j], t_true[i]))[0]
    assert score.value == pytest.approx(metric.get_all_statistics()["rmse"], rel=1e-6)
    with pytest.raises(InputError, match="match them"):
        judge_motion(estimate, true)
