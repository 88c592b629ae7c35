"""The lens of footage whose camera nobody gave: found beside the focal length, told in words, and undone once."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

import epipole
from epipole.geometry.anchors import Edges, Scene
from epipole.geometry.brown_conrady import BrownConrady
from epipole.recipes.learn_video import lens as module
from epipole.recipes.learn_video.lens import Lens, calibration, find_lens, refocused, remove_bent, seen_through_own_lens
from epipole.recipes.learn_video.solve import Solution
from epipole.recipes.learn_video.stages import Run
from epipole.sources.footage import Footage
from epipole.sources.straight import Straight, source_pixels
from epipole.sources.worlds import Spec, write_world
from epipole.types.errors import InputError
from tests.geometry.planted import disturbed, noisy, planted

SOURCE, SIZE = (240, 180), (120, 90)
BENT = Lens(focal=200.0, k1=-0.2, spread=0.01, corner=-8.0)


class Flat(Footage):
    """Footage that nobody reads."""

    def count(self) -> int:
        raise NotImplementedError

    sha256 = read = count  # type: ignore[assignment]


@pytest.fixture
def flat() -> Flat:
    return Flat(Path("clip"), *SOURCE, None, None)


def as_a_pinhole(k1: float) -> tuple[Solution, Edges]:
    """What a lens shows, and about the path that a pinhole would be given for it."""
    scene, edges, pixels = planted(12, 30, k1=k1)
    start = disturbed(scene, 0.01, 0.05, 0.05)._replace(lens=torch.zeros(0))
    return Solution(Scene(*(field.float() for field in start)), pixels.float(), [], 0.0, 0.0), noisy(edges, 0.1)


@pytest.mark.parametrize("k1", [-0.2, 0.15])
def test_the_lens_is_found_from_a_path_that_knows_of_none(k1):
    lens = find_lens(*as_a_pinhole(k1), SOURCE, SIZE)
    assert lens.k1 == pytest.approx(k1, rel=0.05)
    assert lens.focal == pytest.approx(200, rel=0.01)
    assert lens.spread < 0.02
    assert lens.corner == pytest.approx(k1 * 0.7465**3 * 100, rel=0.06)
    assert lens.bends


def test_where_there_is_no_lens_none_is_found():
    lens = find_lens(*as_a_pinhole(0.0), SOURCE, SIZE)
    assert abs(lens.k1) < 0.01
    assert not lens.bends
    assert lens.focal == pytest.approx(200, rel=0.01)


def test_a_part_alone_is_no_certainty():
    solution, edges = as_a_pinhole(-0.2)
    few = Scene(solution.scene.T_camera_world[:5], solution.scene.inverse_depth[:5], solution.scene.K)
    some = edges.subset((edges.source < 5) & (edges.target < 5))
    lens = find_lens(solution._replace(scene=few), some, SOURCE, SIZE)
    assert lens.k1 == pytest.approx(-0.2, rel=0.2)
    assert not lens.bends
    assert "by few key frames" in lens.text(False)


@pytest.mark.parametrize(("frames", "parts"), [(9, 1), (10, 2), (12, 3)])
def test_parts_that_are_too_short_are_not_counted(monkeypatch, frames, parts):
    """Thirds of 10 are 4, 4 and 2 frames, of which the last tells nothing."""
    def told(scene: Scene, _: Edges, __: torch.Tensor, part: torch.Tensor, **___: Any) -> Any:
        k1 = torch.tensor([-0.1 if 4 <= int(part[0]) < 8 else -0.2], dtype=torch.float64)
        return SimpleNamespace(scene=scene._replace(lens=k1))

    monkeypatch.setattr(module, "adjust_some", told)
    solution, edges = as_a_pinhole(0.0)
    few = solution.scene._replace(inverse_depth=solution.scene.inverse_depth[:frames])
    lens = find_lens(solution._replace(scene=few), edges, SOURCE, SIZE)
    assert lens.parts == parts
    assert lens.bends == (parts > 1)
    said = ["few key frames", "two parts of the footage differ by 0.050", "thirds of the footage differ by 0.047"]
    assert said[parts - 1] in lens.text(lens.bends)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_how_sure_is_by_the_standard_error_of_as_many_parts_as_there_are(parts):
    told = np.random.default_rng(parts).normal(-0.2, 0.1, parts)
    error = float(np.std(told, ddof=1)) / parts**0.5
    for k1, bends in ((-1.5 * error, False), (-1.7 * error, True)):
        assert BENT._replace(k1=k1, spread=float(np.std(told)), parts=parts).bends == bends
    assert not BENT._replace(spread=np.inf, parts=1).bends


def test_what_is_said_of_a_lens():
    unsure, weak = BENT._replace(spread=0.2), BENT._replace(k1=-0.01, corner=-0.4)
    assert BENT.bends
    assert not unsure.bends
    assert not weak.bends
    assert "k1 = -0.200" in BENT.text(True)
    assert "straightened" in BENT.text(True)
    assert "epipole calibrate" in BENT.text(False)  # it bends, but could not be undone
    assert "epipole calibrate" in unsure.text(False)
    assert "hardly bends" in weak.text(False)


def test_a_lens_is_decided_once_and_what_it_bent_is_removed_once(tmp_path, flat, monkeypatch):
    run, asked = Run(tmp_path, None), list[int]()
    (run.work / "keys").mkdir(parents=True)
    (run.work / "path-1.safetensors").touch()

    def first() -> Any:
        asked.append(1)
        return [SimpleNamespace(size=SIZE)], cast(Solution, None)

    monkeypatch.setattr(module, "edges_of", lambda _: [None])
    monkeypatch.setattr(module, "find_lens", lambda *_: BENT)
    straight, said = seen_through_own_lens(run, flat, first)
    assert isinstance(straight, Straight)
    assert said == BENT.text(True)
    assert not (run.work / "keys").exists()
    assert not (run.work / "path-1.safetensors").exists()
    (run.work / "keys").mkdir()  # of the straightened footage
    again, _ = seen_through_own_lens(run, flat, first)
    assert isinstance(again, Straight)
    np.testing.assert_array_equal(again.K, straight.K)
    assert (run.work / "keys").exists()
    assert asked == [1]


def test_a_kill_while_the_bent_is_removed_leaves_nothing_of_it(tmp_path):
    for name in module.MADE[1:3]:  # the first was gone already
        (tmp_path / name).mkdir()
        (tmp_path / name / "flow.npy").touch()
    remove_bent(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["straightened"]


def test_a_lens_that_leaves_no_picture_is_told_of_and_left(tmp_path, flat):
    run = Run(tmp_path, None)
    folding = BENT._replace(k1=-2.0)
    with pytest.raises(InputError):
        Straight(flat, calibration(flat, folding.focal, folding.k1))
    run.work.mkdir()
    (run.work / "lens.json").write_text(json.dumps(folding._asdict()))
    (run.work / "keys").mkdir()
    same, said = seen_through_own_lens(run, flat, lambda: pytest.fail("decided already"))
    assert same is flat
    assert "epipole calibrate" in said
    assert (run.work / "keys").exists()


def test_another_focal_length_means_another_k1_of_the_same_pixels(flat):
    straight = Straight(flat, calibration(flat, 200.0, -0.2))
    K = straight.K.copy()
    K[[0, 1], [0, 1]] *= 1.05
    longer = refocused(straight, K)
    assert isinstance(longer, Straight)
    np.testing.assert_allclose(longer.K, K, rtol=1e-6)
    assert float(cast(BrownConrady, longer.lens.camera).k1) == pytest.approx(-0.2 * 1.05**2)
    for at, same in zip(source_pixels(longer.lens, longer.K, SOURCE), source_pixels(straight.lens, straight.K, SOURCE),
                        strict=True):
        torch.testing.assert_close(at.double(), same.double(), rtol=0, atol=1e-3)
    assert refocused(flat, K) is flat


@pytest.mark.slow
def test_a_lens_that_nobody_gave_is_found_and_undone(tmp_path, monkeypatch):
    spec = Spec(seed=3, frames=40, width=96, height=72, speed=5.0, fov=65.0, distortion=(-0.18, 0.0, 0.0, 0.0, 0.0))
    room = write_world(spec, tmp_path / "room")
    found = {}
    for name, bent in (("lens", module.BENT), ("pinhole", np.inf)):
        monkeypatch.setattr(module, "BENT", bent)
        run = epipole.learn(room, tmp_path / name, quiet=True, steps=2, device="cpu", truth=room)
        found[name] = run.about, {score.name: score.value for score in run.scores}
    about, scores = found["lens"]
    assert about["lens"]["k1"] == pytest.approx(-0.18, rel=0.15)
    assert about["intrinsics"]["source"] == "estimated"
    assert "was straightened" in about["intrinsics"]["verdict"]
    assert found["pinhole"][0]["lens"] is None
    assert scores["focal_error"] < min(8, 0.5 * found["pinhole"][1]["focal_error"])
    assert scores["ate_percent"] < 0.8 * found["pinhole"][1]["ate_percent"]
