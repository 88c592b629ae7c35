"""The octahedral map against a twin point by point, and the closed surface against trimesh."""

import math

import pytest
import torch
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from epipole.geometry.octahedral import closed_faces, from_octahedral, octahedral_directions, sealed, to_octahedral

LIKE = torch.zeros((), dtype=torch.float64)
numbers = st.floats(-1, 1, allow_subnormal=False)


def one_direction(u: float, v: float) -> list[float]:
    """Where the octahedron is met above (u, v), by hand: the lower half is folded over the edge x + y = 1."""
    x, y, z = u, v, 1 - abs(u) - abs(v)
    if z < 0:
        x, y = math.copysign(1 - abs(v), u), math.copysign(1 - abs(u), v)
    length = math.sqrt(x * x + y * y + z * z)
    return [x / length, y / length, z / length]


def test_directions_are_those_of_a_twin() -> None:
    side = [-1 + 2 * k / 6 for k in range(7)]
    twin = torch.tensor([[one_direction(u, v) for u in side] for v in side], dtype=torch.float64)
    torch.testing.assert_close(octahedral_directions(7, LIKE), twin.permute(2, 0, 1))
    assert octahedral_directions(7, LIKE)[:, 3, 3].tolist() == [0, 0, 1]
    assert octahedral_directions(7, LIKE)[:, 0, 6].tolist() == [0, 0, -1]
    assert octahedral_directions(7, LIKE)[:, 3, 6].tolist() == [1, 0, 0]


@given(numbers, numbers, numbers)
def test_there_and_back_is_the_same_direction(x: float, y: float, z: float) -> None:
    d = torch.tensor([x, y, z], dtype=torch.float64)
    if float(d.norm()) > 1e-3:
        uv = to_octahedral(d)
        assert float(uv.abs().max()) <= 1
        torch.testing.assert_close(from_octahedral(uv), d / d.norm(), atol=1e-12, rtol=0)


def test_no_direction_is_the_middle_and_gradients_are_finite() -> None:
    d = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    to_octahedral(d).sum().backward()
    assert to_octahedral(d).tolist() == [[0, 0]]
    assert bool(d.grad.isfinite().all())


def test_gradients_are_those_of_finite_differences() -> None:
    gen = torch.Generator().manual_seed(0)
    d = torch.randn(9, 3, generator=gen, dtype=torch.float64, requires_grad=True)
    uv = (2 * torch.rand(9, 2, generator=gen, dtype=torch.float64) - 1).requires_grad_()
    assert torch.autograd.gradcheck(to_octahedral, d)
    assert torch.autograd.gradcheck(from_octahedral, uv)


@pytest.mark.parametrize("size", [3, 4, 9, 32])
def test_pixels_that_are_sealed_are_the_same_point_and_no_others(size: int) -> None:
    points = octahedral_directions(size, LIKE).flatten(1).T
    apart = (points[:, None] - points).norm(dim=-1) < 1e-9
    index = sealed(size).flatten()
    assert torch.equal(apart, index[:, None] == index)


@pytest.mark.parametrize("size", [3, 4, 9, 32])
def test_the_surface_is_one_closed_sphere_that_faces_outward(size: int) -> None:
    points = octahedral_directions(size, LIKE).flatten(1).T
    mesh = trimesh.Trimesh(points.numpy(), closed_faces(size).numpy(), process=False)
    mesh.remove_unreferenced_vertices()
    assert mesh.is_watertight
    assert mesh.euler_number == 2
    assert len(mesh.faces) == 2 * (size - 1) ** 2 - 4 * (size % 2 == 0)
    assert 0.25 < mesh.volume < 4 / 3 * math.pi
    if size == 32:
        assert mesh.volume == pytest.approx(4 / 3 * math.pi, rel=0.01)


def test_an_octahedron_of_odd_size_is_met_exactly() -> None:
    """No triangle cuts its edges short."""
    d = octahedral_directions(9, LIKE)
    points = (d / d.abs().sum(0)).flatten(1).T
    mesh = trimesh.Trimesh(points.numpy(), closed_faces(9).numpy(), process=False)
    assert mesh.volume == pytest.approx(4 / 3)


def test_an_image_without_an_inside_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        closed_faces(2)


def test_single_precision_stays() -> None:
    d: Tensor = octahedral_directions(5, torch.zeros((), dtype=torch.float32))
    assert d.dtype == torch.float32
