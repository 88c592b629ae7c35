"""The scene from exact flow: focal length, path, and what is said of them."""

import numpy as np
import pytest
import torch

from epipole.geometry.anchors import Scene
from epipole.geometry.motion import se3_inverse
from epipole.judges.motion import ate, path_length
from epipole.recipes.learn_video.solve import (
    DOUBTFUL,
    SHARED_FOCAL,
    UNSEEN,
    Solution,
    edges_of,
    focal_deviation,
    guessed_intrinsics,
    load_solution,
    network_intrinsics,
    network_size,
    refine,
    save_solution,
    solve,
    unit,
    verdict,
)
from epipole.types.errors import InputError

N, SIZE = 20, (96, 64)


def error(solution: Solution, truth: Solution) -> float:
    """ATE after Sim(3), per cent of the path."""
    path, true = (se3_inverse(s.scene.T_camera_world).double().numpy() for s in (solution, truth))
    return 100 * ate(path, true) / path_length(true)


def test_the_path_follows_from_exact_flow(exact):
    found = solve([exact.store], N, exact.solution.scene.K, SIZE, seed=0)
    assert found.lost == []
    assert error(found, exact.solution) < 0.3
    assert torch.equal(found.scene.K, exact.solution.scene.K)
    assert float(found.scene.inverse_depth.median()) == pytest.approx(1, rel=1e-5)
    edges, _ = edges_of([exact.store])
    seen = torch.zeros_like(found.scene.inverse_depth).index_add_(0, edges.source, edges.weight) > 1
    ratio = (found.scene.inverse_depth / exact.solution.scene.inverse_depth)[seen]
    assert float((ratio / ratio.median() - 1).abs().median()) < 0.01


def test_the_focal_length_follows_from_exact_flow(exact):
    found = solve([exact.store], N, None, SIZE, seed=0)
    true = float(exact.world.K[0, 0])
    assert float(found.scene.K[0, 0]) == pytest.approx(true, rel=0.03)
    assert error(found, exact.solution) < 1
    again = refine(found, edges_of([exact.store])[0], free_focal=True)
    assert float(again.scene.K[0, 0]) == pytest.approx(true, rel=0.03)
    assert again.cost <= found.cost + 1e-3
    assert again.focal_spread < UNSEEN


def test_refining_with_learned_depth_keeps_its_unit(exact):
    doubled = exact.solution.scene.inverse_depth / 2
    T = exact.solution.scene.T_camera_world.clone()
    T[:, :3, 3] *= 2
    start = exact.solution._replace(scene=Scene(T, doubled, exact.solution.scene.K))
    edges, _ = edges_of([exact.store])
    kept = refine(start, edges, False, prior=doubled, prior_weight=1.0)
    assert float(kept.scene.inverse_depth.median()) == pytest.approx(float(doubled.median()), rel=0.02)
    assert error(kept, exact.solution) < 0.1
    assert float(refine(start, edges, False).scene.inverse_depth.median()) == pytest.approx(1, rel=1e-5)


def test_a_unit_scene_reprojects_as_before(exact):
    scene = exact.solution.scene
    T = scene.T_camera_world.clone()
    T[:, :3, 3] *= 3
    changed = unit(Scene(T, scene.inverse_depth / 3, scene.K))
    expected = unit(scene)
    assert float(expected.inverse_depth.median()) == pytest.approx(1)
    torch.testing.assert_close(changed.T_camera_world, expected.T_camera_world)
    torch.testing.assert_close(changed.inverse_depth, expected.inverse_depth)


def test_verdicts_follow_the_spread():
    said = [verdict(s, False) for s in (0.5 * DOUBTFUL, 1.5 * DOUBTFUL, 1.5 * UNSEEN)]
    assert [word in s for word, s in zip((" well", " poorly", " hardly"), said, strict=True)] == [True] * 3
    assert "--intrinsics" not in said[0]
    assert all("--intrinsics" in s for s in said[1:])
    assert "1.5 %" in verdict(1.5, False)
    assert "expect 2 %" in verdict(0.3, False)  # thirds that agree may all be wrong alike
    assert focal_deviation(0.0) == SHARED_FOCAL < focal_deviation(5.0) < 6
    assert verdict(50.0, True) == verdict(0.0, True)
    assert "given" in verdict(0.0, True)


@pytest.mark.parametrize(("footage", "aspect"),
                         [((320, 240), 4 / 3), ((1920, 1080), 16 / 9), ((1080, 1920), 9 / 16), ((1241, 376), 3.3),
                          ((96, 72), 4 / 3), ((160, 120), 4 / 3)])  # fmt: skip
def test_the_networks_size_is_near_the_footages_shape(footage, aspect):
    w, h = network_size(*footage)
    assert w % 32 == h % 32 == 0
    assert abs(np.log(w / h / aspect)) < 0.3
    assert w * h <= 1.5 * 20480
    assert w * h < footage[0] * footage[1]


def test_intrinsics_scale_with_the_pixels_centre():
    K = guessed_intrinsics(640, 480, 1.0)
    assert float(K[0, 0]) == 640
    small = network_intrinsics(K, (640, 480), (160, 120))
    torch.testing.assert_close(small, torch.tensor([[160.0, 0, 79.5], [0, 160.0, 59.5], [0, 0, 1]]))


def test_solutions_come_back(exact, tmp_path):
    solution = exact.solution._replace(lost=[3, 7], focal_spread=1.25, cost=0.1 + 0.2)
    save_solution(tmp_path / "s", solution)
    back = load_solution(tmp_path / "s")
    assert all(torch.equal(a, b) for a, b in zip(back.scene, solution.scene, strict=True))
    assert torch.equal(back.pixels, solution.pixels)
    assert back[2:] == solution[2:]
    with pytest.raises(InputError):
        load_solution(tmp_path)
    save_solution(tmp_path / "t", solution)
    assert (tmp_path / "s").read_bytes() == (tmp_path / "t").read_bytes()
