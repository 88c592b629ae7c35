"""The ground under a camera, in rendered depth of known height, beside a naive twin by least squares."""

import math

import pytest
import torch

from epipole.geometry.camera import intrinsics, normalise, pixel_grid
from epipole.geometry.consensus import consensus
from epipole.geometry.ground import Ground, ground, plane
from epipole.geometry.motion import so3_exp
from epipole.geometry.scores import Ransac

K = intrinsics(60.0, 60.0, 39.5, 29.5)
HEIGHT, DOWN = 1.65, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)


def floor(tilt: float = 0.0, height: float = HEIGHT, wall: float = 20.0) -> torch.Tensor:
    """Depth [1 60 80] of a floor and a wall behind it, by a camera that looks down by `tilt` degrees."""
    rays = normalise(K, pixel_grid(60, 80, K))
    n = so3_exp(torch.tensor([math.radians(tilt), 0, 0], dtype=torch.float64)) @ DOWN
    along = torch.einsum("c,chw->hw", n, rays)
    z = torch.where(along > 1e-6, height / along.clamp(min=1e-6), torch.inf)
    return z.clamp(max=wall)[None]


def height_of(found: Ground | None) -> float:
    assert found is not None
    return 1 / float(found.plane.norm())


@pytest.mark.parametrize("degrees", [0.0, 10.0, 35.0])
def test_the_height_is_found(generator, degrees):
    found = ground(floor(degrees), K, generator)
    assert height_of(found) == pytest.approx(HEIGHT, rel=1e-3)
    assert found is not None
    n = found.plane / found.plane.norm()
    assert float(n @ DOWN) == pytest.approx(math.cos(math.radians(degrees)), abs=1e-3)


def test_noise_things_and_holes_do_not_move_it(generator):
    z = floor(5.0)
    z = z * (1 + 0.02 * torch.randn(z.shape, generator=generator))
    z[:, 30:, 20:45] = 3.0        # a car
    z[:, ::7] = torch.nan
    assert height_of(ground(z, K, generator)) == pytest.approx(HEIGHT, rel=0.01)


def test_height_goes_with_the_unit(generator):
    a, b = (height_of(ground(s * floor(8.0), K, generator)) for s in (1.0, 0.01))
    assert b == pytest.approx(0.01 * a, rel=1e-4)


def test_a_table_is_not_the_ground(generator):
    z = floor(30.0)
    table = floor(30.0, 0.6)
    z[:, 36:, :] = torch.where(torch.arange(80) < 70, table, z)[:, 36:]
    assert int((z == table).sum()) > 0.3 * z.numel()
    assert height_of(ground(z, K, generator)) == pytest.approx(HEIGHT, rel=0.01)


def test_where_no_ground_is_seen_nothing_is_said(generator):
    assert ground(torch.full((1, 60, 80), 4.0), K, generator) is None              # a wall
    assert ground(torch.full((1, 60, 80), torch.nan), K, generator) is None
    assert ground(floor(), K, generator, valid=torch.zeros(1, 60, 80, dtype=torch.bool)) is None


def test_down_is_where_it_is_said_to_be(generator):
    turned = floor(20.0).transpose(1, 2)                                           # the camera on its side
    K_turned = intrinsics(60.0, 60.0, 29.5, 39.5)
    assert ground(turned, K_turned, generator) is None
    assert height_of(ground(turned, K_turned, generator, down=DOWN.roll(-1))) == pytest.approx(HEIGHT, rel=1e-3)


def test_a_camera_that_moves_along_the_ground_bears_depth_that_is_off_by_row(generator):
    """Depth 8 % too large below and right at the horizon: carried on to below the camera, the plane is far too low."""
    off = 1 + 0.08 * torch.linspace(-1, 1, 60, dtype=torch.float64).clamp(min=0)[:, None]
    z, way = floor(4.0) * off, torch.tensor([0.0, -math.sin(math.radians(4)), math.cos(math.radians(4))])
    alone, along = (height_of(ground(z, K, generator, along=a)) for a in (None, 3 * way))
    assert alone > 1.06 * HEIGHT
    assert HEIGHT < along < 1.06 * HEIGHT
    found = ground(z, K, generator, along=way)
    assert found is not None
    assert abs(float(found.plane / found.plane.norm() @ way.double())) < 1e-6


@pytest.mark.parametrize("aslant", [-8.0, 0.0, 3.0])
def test_what_is_seen_of_the_ground_is_told(generator, aslant):
    """Its share by the rows that show it, and how far it lies from a way that a camera looking down 4 degrees takes."""
    z, down = floor(4.0), math.radians(4 + aslant)
    way = torch.tensor([0.0, -math.sin(down), math.cos(down)])
    for along, tilt in ((way, abs(aslant)), (torch.zeros(3), 0), (None, 0)):
        found = ground(z, K, generator, along=along)
        assert found is not None
        assert found.share == pytest.approx(float((z < 20).double().mean()), abs=0.03)
        assert found.tilt == pytest.approx(tilt, abs=0.1)


@pytest.mark.parametrize(("columns", "seen"), [(40, False), (43, False), (49, True), (70, True)])
def test_a_table_above_things_without_a_floor_is_not_the_ground(generator, columns, seen):
    """Below it lie things at all heights, so that no plane fits there; a few of them may be mirrors and mistakes."""
    table = floor(30.0, 0.6)
    things = table * (1.3 + torch.rand(table.shape, generator=generator, dtype=table.dtype))
    found = ground(torch.where(torch.arange(80) < columns, table, things), K, generator)
    assert (found is not None) == seen
    if seen:
        assert height_of(found) == pytest.approx(0.6, rel=0.02)


def test_much_below_the_ground_that_is_no_plane_changes_nothing(generator):
    z, way = floor(4.0), torch.tensor([0.0, -math.sin(math.radians(4)), math.cos(math.radians(4))])
    z[:, 36:, :35] *= 1.2 + torch.rand(24, 35, generator=generator)
    assert height_of(ground(z, K, generator, along=way)) == pytest.approx(HEIGHT, rel=1e-3)
    assert height_of(ground(z, K, generator)) == pytest.approx(HEIGHT, rel=0.02)     # the foot of the wall pulls at it


def test_a_way_that_is_not_along_the_ground_or_unknown_changes_nothing(generator):
    z = floor(6.0)
    for way in (torch.zeros(3), torch.tensor([0.0, 1.0, 0.2])):
        assert height_of(ground(z, K, generator, along=way)) == pytest.approx(HEIGHT, rel=1e-3)


def test_the_plane_agrees_with_least_squares_over_its_points(generator):
    points = torch.rand(60, 3, generator=generator, dtype=torch.float64) * torch.tensor([8.0, 0, 8.0]) - 4
    points[:, 1] = 1.5 + 0.05 * points[:, 0] + 0.01 * torch.randn(60, generator=generator, dtype=torch.float64)
    best = consensus(points, plane(DOWN, 0.7), Ransac(0.2), generator)
    twin = torch.linalg.lstsq(points, torch.ones(60, 1, dtype=torch.float64)).solution[:, 0]
    torch.testing.assert_close(best.model[0], twin, rtol=2e-3, atol=2e-3)


def test_points_on_a_line_make_no_plane():
    line = torch.arange(3, dtype=torch.float64)[:, None] * torch.tensor([1.0, 0, 2.0], dtype=torch.float64)
    q, valid = plane(DOWN, 0.5).solve(torch.stack([line + 1, torch.eye(3, dtype=torch.float64)]))
    assert not valid[0]
    assert valid[1]
    assert q.isfinite().all()
