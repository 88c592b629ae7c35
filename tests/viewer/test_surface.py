import numpy as np
import pytest

from epipole.viewer.surface import Triangles, area, thinned


def sheet(n: int) -> Triangles:
    """A wave over a square of side 2, n by n vertices, whose colours follow their place."""
    v, u = np.mgrid[:n, :n]
    points = np.stack([2 * u / (n - 1), 2 * v / (n - 1), 0.05 * np.sin(u / 20)], -1).reshape(-1, 3)
    a = (n * v + u)[:-1, :-1].ravel()
    faces = np.concatenate([np.stack([a, a + 1, a + n], 1), np.stack([a + 1, a + n + 1, a + n], 1)])
    return Triangles(points.astype(np.float32), (127 * points[:, [0, 1, 0]]).astype(np.uint8), faces, len(faces))


@pytest.mark.parametrize("most", [100, 1000])
def test_thinned_keeps_place_colour_and_extent(most):
    mesh = sheet(100)
    few = thinned(mesh, most)
    assert 0.3 * most < len(few.vertices) <= most
    assert few.total == mesh.total
    assert area(few) == pytest.approx(area(mesh), rel=0.35)
    size = 2 * np.sqrt(area(mesh) / most)
    assert np.abs(few.vertices[:, 2] - 0.05 * np.sin(few.vertices[:, 0] * 99 / 40)).max() < size
    assert np.abs(few.colours[:, 1] - 127 * few.vertices[:, 1]).max() < 3
    assert len(set(map(tuple, few.faces.tolist()))) == len(few.faces)
    assert few.faces.max() < len(few.vertices)


def test_a_small_mesh_stays_as_it_is():
    mesh = sheet(5)
    assert thinned(mesh, 25) is mesh


def test_area_of_a_square():
    corners = np.array([[0, 0, 1], [2, 0, 1], [2, 2, 1], [0, 2, 1]], np.float32)
    assert area(Triangles(corners, np.zeros((4, 3), np.uint8), np.array([[0, 1, 2], [0, 2, 3]]), 2)) == pytest.approx(4)
