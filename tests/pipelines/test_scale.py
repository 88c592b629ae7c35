"""The factor to metres, by everything that can be known; each beside what a naive twin says."""

import math

import pytest
import torch

from epipole.geometry.camera import intrinsics
from epipole.geometry.motion import se3, so3_exp
from epipole.pipelines.scale import (
    agreed,
    by_distance,
    by_fixes,
    by_height,
    by_path,
    by_speed,
    directions,
    world_points,
)
from epipole.sources.worlds.families.street import EYE
from epipole.sources.worlds.spec import Spec
from epipole.sources.worlds.world import World
from epipole.types.errors import InputError
from tests.geometry.test_ground import HEIGHT, floor
from tests.geometry.test_ground import K as FLOOR_K

UNIT = 0.17         # of the map, in m^-1
F64 = torch.float64


def spiral(n: int = 60) -> torch.Tensor:
    a = torch.linspace(0, 5, n, dtype=F64)
    return torch.stack([8 * a.cos(), 0.3 * (3 * a).sin(), 6 * a], 1)


def test_by_height_beside_frames_without_ground():
    frames = [UNIT * floor(tilt) for tilt in (0.0, 4.0, 8.0, 6.0)] + [torch.full((1, 60, 80), 0.5, dtype=F64)]
    found = by_height(frames, FLOOR_K, HEIGHT)
    assert found.factor == pytest.approx(1 / UNIT, rel=2e-3)
    assert found.frames == 4
    assert found.spread_percent < 0.5


def test_by_height_on_a_street_with_kerbs_cars_and_houses():
    world = World(Spec("street", difficulty=2, frames=120, width=96, height=72), {"depth", "depth_valid"})
    views = [world[i] for i in range(0, 120, 24)]
    depths = [UNIT * torch.where(view.depth_valid, view.depth, torch.nan)[0].double() for view in views]
    for along in (None, directions(world.poses, 3)[::24]):
        found = by_height(depths, world.K, EYE, along)
        assert found.factor == pytest.approx(1 / UNIT, rel=0.02)
        assert found.frames >= 4
        assert found.spread_percent < 3
        assert not found.doubt


WALL = torch.full((1, 60, 80), 2.0, dtype=F64)


def floor_beside_a_wall(columns: int) -> torch.Tensor:
    return torch.where(torch.arange(80) < columns, floor(10.0), WALL)


@pytest.mark.parametrize(("frames", "down", "said"), [
    ([floor(4.0)] * 4 + [WALL] * 4, 4.0, []), ([floor(4.0)] * 4 + [WALL] * 5, 4.0, ["only 4 of 9 frames"]),
    ([floor_beside_a_wall(26)] * 4, 10.0, []), ([floor_beside_a_wall(16)] * 4, 10.0, ["% of a frame"]),
    ([floor(4.0)] * 4, -0.5, []), ([floor(4.0)] * 4, 10.0, ["degrees"]),
    ([floor_beside_a_wall(16)] * 4 + [WALL] * 5, 4.0, ["4 of 9", "% of a frame", "degrees"])])
def test_a_ground_that_is_hardly_seen_is_doubtful(frames, down, said):
    way = torch.tensor([0.0, -math.sin(math.radians(down)), math.cos(math.radians(down))], dtype=F64)
    doubt = by_height(frames, FLOOR_K, HEIGHT, way.expand(len(frames), 3)).doubt
    assert len(doubt.split(", ")) == max(1, len(said))
    assert all(words in doubt for words in said)
    assert bool(doubt) == bool(said)


def test_directions_are_those_of_the_camera():
    path = se3(so3_exp(torch.tensor([[0.0, a, 0.0] for a in (0.0, 0.5, 1.0)], dtype=F64)),
               torch.tensor([[0.0, 0, 0], [1, 0, 1], [2, 0, 4]], dtype=F64))
    found = directions(path, 1)
    torch.testing.assert_close(found[0], torch.tensor([1.0, 0, 1], dtype=F64))
    turned = path[2, :3, :3].T @ torch.tensor([1.0, 0, 3], dtype=F64)
    torch.testing.assert_close(found[2], turned)


def test_spread_is_that_of_the_frames():
    tilted = [s * floor(6.0) for s in (0.9, 1.0, 1.0, 1.1, 1.2)]
    found = by_height(tilted, FLOOR_K, HEIGHT)
    assert found.factor == pytest.approx(1.0, rel=3e-3)
    assert found.spread_percent == pytest.approx(148.26 * (1 - 1 / 1.1), rel=0.03)


def test_without_ground_or_agreement_it_is_refused():
    with pytest.raises(InputError, match="0 of 4"):
        by_height([torch.full((1, 60, 80), 3.0)] * 4, FLOOR_K, HEIGHT)
    with pytest.raises(InputError, match="differ"):
        agreed([1.0, 2.0, 4.0, 8.0], "height", "")


def test_by_path_in_another_frame_of_reference_with_outliers(generator):
    truth, R = spiral(), so3_exp(torch.tensor([0.3, -1.0, 2.0], dtype=F64))
    metres = truth @ R.T + torch.tensor([400.0, -20, 9], dtype=F64)
    metres = metres + 0.02 * torch.randn(metres.shape, generator=generator, dtype=F64)
    metres[::12] += 7.0
    found = by_path(UNIT * truth, metres)
    assert found.factor == pytest.approx(1 / UNIT, rel=5e-3)
    assert found.spread_percent < 2
    naive = (metres[1:] - metres[0]).norm(dim=1) / (UNIT * (truth[1:] - truth[0]).norm(dim=1))
    assert abs(float(naive.mean()) * UNIT - 1) > 0.02           # what outliers do to the simple ratio


def test_paths_of_other_shapes_are_refused(generator):
    with pytest.raises(InputError, match="shapes"):
        by_path(spiral(), torch.randn(60, 3, generator=generator, dtype=F64))
    with pytest.raises(InputError):
        by_path(spiral(), torch.zeros(60, 3, dtype=F64))
    with pytest.raises(InputError):
        by_path(torch.zeros(60, 3, dtype=F64), spiral())


def test_by_speed_of_a_path_that_trembles(generator):
    times = torch.arange(240, dtype=F64) / 24
    speed = 5 + 3 * (times / 2).sin()
    along = torch.cumulative_trapezoid(speed, times)
    place = torch.zeros(240, 3, dtype=F64)
    place[1:, 2] = UNIT * along
    trembling = place + UNIT * 0.02 * torch.randn(place.shape, generator=generator, dtype=F64)
    found = by_speed(trembling, times, speed)
    assert found.factor == pytest.approx(1 / UNIT, rel=0.01)
    arc = float(along[-1] / trembling.diff(dim=0).norm(dim=1).sum()) * UNIT
    assert abs(arc - 1) > abs(found.factor * UNIT - 1)


def test_a_camera_that_stands_has_no_scale():
    times = torch.arange(50, dtype=F64) / 10
    for place, speed in ((torch.zeros(50, 3, dtype=F64), 5.0), (spiral(50), 0.0)):
        with pytest.raises(InputError):
            by_speed(place, times, torch.full((50,), speed, dtype=F64))
    with pytest.raises(InputError):
        by_speed(spiral(5), times[:5], torch.ones(5, dtype=F64))        # half a second


def wall_seen(x: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth of a wall 4 m ahead, and the pose of a camera x m to the right of the first; both in the map's unit."""
    return torch.full((1, 48, 64), UNIT * 4, dtype=F64), se3(torch.eye(3, dtype=F64), torch.tensor([UNIT * x, 0, 0]))


def test_by_distance_in_every_frame_that_sees_both_ends():
    K = intrinsics(50.0, 50.0, 31.5, 23.5)
    depths, poses = zip(*(wall_seen(x) for x in (0.0, 0.3, -0.4, 9.0)), strict=True)
    pixels = torch.tensor([[20.0, 45], [10, 30]], dtype=F64)
    ends = world_points(depths[0], poses[0], K, pixels)
    metres = 4 / 50 * math.hypot(25, 20)
    found = by_distance(depths, torch.stack(poses), K, ends, metres)
    assert found.factor == pytest.approx(1 / UNIT, rel=1e-6)
    assert (found.frames, found.spread_percent) == (3, pytest.approx(0, abs=1e-6))
    alone = by_distance(depths[:1], torch.stack(poses[:1]), K, ends, metres)
    assert (alone.frames, alone.spread_percent) == (1, None)
    nearer = [depths[0], 0.5 * depths[1], depths[2], depths[3]]       # one frame shows something before the wall
    assert by_distance(nearer, torch.stack(poses), K, ends, metres).frames == 2
    with pytest.raises(InputError, match="outside"):
        world_points(depths[0], poses[0], K, pixels + 40)


def walked(n: int) -> torch.Tensor:
    """A way through streets, a position a second at 1.4 m/s, turning after every 40 s."""
    angle = 0.5 * math.pi * torch.tensor([(0, 1, 1, 2, 1, 0, 0, 3)[k // 40 % 8] for k in range(n)], dtype=F64)
    return 1.4 * torch.stack([angle.cos(), torch.zeros_like(angle), angle.sin()], 1).cumsum(0)


def fixes(place: torch.Tensor, off: float, generator: torch.Generator) -> torch.Tensor:
    """In axes of their own, off by so much along each (m), every fifteenth half as far again from where they are."""
    there = place @ so3_exp(torch.tensor([-1.2, 0.4, 0.3], dtype=F64)).mT
    there = there + off * torch.randn(there.shape, generator=generator, dtype=F64)
    there[::15] += 0.5 * (there[::15] - there.mean(0))
    return there


def test_by_fixes_that_are_off_by_metres(generator):
    """The spread is that of pieces a tenth of the path long, which says what noise does to them."""
    place = walked(300)
    for off, close in ((0.5, 0.004), (3.0, 0.02)):
        found = by_fixes(UNIT * place, fixes(place, off, generator))
        assert found.factor == pytest.approx(1 / UNIT, rel=close)
        lag = 30
        alone = 100 * math.sqrt(2) * off / float((place[lag:] - place[:-lag]).norm(dim=1).median())
        assert 0.5 * alone < found.spread_percent < 1.6 * alone


def test_noise_makes_no_fix_longer(generator):
    """Ratios of lengths, as clean positions have them, would say too much."""
    place = walked(120)
    found = [by_fixes(UNIT * place, fixes(place, 4.0, generator)).factor * UNIT for _ in range(20)]
    assert sum(found) / 20 == pytest.approx(1, abs=0.02)
    assert max(abs(f - 1) for f in found) < 0.15


def test_pieces_are_as_long_as_the_noise_demands(generator):
    """Of 17 m a tenth is 1.7 m, beside which fixes that are 0.5 m off say nothing."""
    place = torch.stack([torch.linspace(0, 17, 100, dtype=F64), torch.zeros(100), 0.01 * walked(100)[:, 2]], 1)
    there = place + 0.5 * torch.randn(place.shape, generator=generator, dtype=F64)
    found = by_fixes(UNIT * place, there)
    assert found.factor == pytest.approx(1 / UNIT, rel=0.05)
    assert found.spread_percent < 20


def test_a_way_no_longer_than_the_noise_is_refused(generator):
    for place in (walked(12), 0.05 * walked(300), torch.zeros(50, 3, dtype=F64)):
        with pytest.raises(InputError, match="GPS") as error:
            by_fixes(UNIT * place, fixes(place, 4.0, generator))
        assert "\n" not in str(error.value)
