"""Depth maps of one static plane agree; a frame that is scaled, or moves without its path, does not."""

import numpy as np
import pytest

from epipole.judges.flicker import FlickerFrame, FlickerProtocol, judge_flicker
from epipole.types.errors import InputError

K = np.array([[40.0, 0, 15.5], [0, 40.0, 11.5], [0, 0, 1]])


def plane(x: float, z: float, scale: float = 1.0) -> FlickerFrame:
    """Seen from (x, 0, z): the plane Z = 8 + 0.3 X of the world."""
    u = (np.arange(32) - 15.5) / 40
    depth = (8 + 0.3 * x - z) / (1 - 0.3 * u)
    T = np.eye(4)
    T[:3, 3] = x, 0, z
    return FlickerFrame(scale * np.broadcast_to(depth, (24, 32)), K, T)


def values(frames, *arguments) -> dict[str, float]:
    return {s.name: s.value for s in judge_flicker(frames, *arguments)}


def test_a_static_plane_does_not_flicker():
    scores = judge_flicker(plane(0.2 * i, 0.5 * i) for i in range(5))
    assert {s.name: s.value for s in scores} == {"flicker": pytest.approx(0, abs=1e-12), "hidden": 0}
    assert scores[0].baselines["constant depth"] > 0.02  # it comes no nearer
    assert "4 pairs" in scores[0].protocol


def test_a_scaled_frame_flickers_by_its_scale():
    standing = [plane(0, 0), plane(0, 0, 1.1), plane(0, 0)]
    assert values(standing)["flicker"] == pytest.approx(0.1 / 2.1)
    assert values([plane(0, 0), plane(0, 0)])["flicker"] == pytest.approx(0, abs=1e-12)


def test_points_behind_what_is_seen_are_hidden_and_counted():
    near = plane(0, 0)
    covered = near.depth.copy()
    covered[:, 16:] /= 2  # half of the second frame is covered by something at half the depth
    scores = values([near, near._replace(depth=covered)])
    assert scores["hidden"] == pytest.approx(50, abs=0.2)  # a pixel on the edge may round out of view
    assert scores["flicker"] == pytest.approx(0, abs=1e-12)
    assert values([near, near._replace(depth=covered)], FlickerProtocol(hidden=2.0))["hidden"] == 0


def test_what_cannot_be_judged_is_refused():
    away = plane(0, 0)
    away.T_world_camera[0, 3] = 1000
    for frames in ([], [plane(0, 0)], [plane(0, 0), away]):
        with pytest.raises(InputError, match="see the same"):
            judge_flicker(frames)
    for value in (np.nan, 0.0, -1.0, np.inf):
        with pytest.raises(InputError, match="positive and finite"):
            judge_flicker([plane(0, 0), plane(0, 0)._replace(depth=np.full((24, 32), value))])
