import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from epipole.viewer.plots import Frame, equal_frame, loss_plot, share_bar, smooth, timeline


def test_frame_places_the_corners_of_its_window():
    frame = Frame((-1.0, 3.0), (10.0, 20.0))
    assert frame.at(-1.0, 10.0) == (frame.left, frame.height - frame.bottom)
    assert frame.at(3.0, 20.0) == (frame.width - frame.right, frame.top)


@pytest.mark.parametrize("points", [
    np.array([[0, 0], [10, 1.0]]), np.array([[0, 0], [1, 30.0]]), np.array([[2.0, 2.0]]), np.array([[0, 0], [5, 0.0]])])
def test_axes_are_equal_and_hold_all_points(points):
    frame = equal_frame(points)
    (u0, v0), (u1, v1) = frame.place(np.array([[0, 0], [1e-3, 1e-3]]) + points[0])
    assert u1 - u0 == pytest.approx(v0 - v1, rel=0.02)
    placed = frame.place(points)
    assert (placed >= [frame.left, frame.top]).all()
    assert (placed <= [frame.width - frame.right, frame.height - frame.bottom]).all()


def test_a_gap_in_the_data_interrupts_the_line():
    frame = Frame((0.0, 4.0), (0.0, 1.0))
    frame.line(np.array([[0, 0], [1, 1], [2, np.nan], [3, 0], [4, 1]], np.float64), "curve")
    assert re.sub(r"[^ML]", "", re.search(r'd="(.*?)"', frame.parts[0])[1]) == "MLML"


def test_smooth_is_the_mean_of_the_finite_neighbours():
    values = np.array([1.0, np.nan, 3.0, 5.0, 7.0])
    naive = [np.nanmean(values[max(0, i - 1) : i + 2]) for i in range(5)]
    assert np.allclose(smooth(values, 3), naive)


def test_healthy_band_stands_at_its_values():
    steps = np.arange(50.0)
    values = np.linspace(1, 0.1, 50)
    svg = loss_plot("photometric", steps, values, [(0.0, "a & b")], (0.1, 0.4))
    band = next(e for e in ET.fromstring(svg).iter() if e.get("class") == "healthy")
    top = max(np.percentile(values, 98), 0.4) * 1.08
    frame = Frame((0.0, 49.0), (0.0, float(top)), width=350, height=210)
    assert float(band.get("y")) == pytest.approx(frame.at(0.0, 0.4)[1], abs=0.2)
    assert float(band.get("height")) == pytest.approx(frame.at(0.0, 0.1)[1] - frame.at(0.0, 0.4)[1], abs=0.2)
    assert "healthy" not in loss_plot("photometric", steps, values, [], None)


def test_loss_without_a_finite_value_is_still_a_plot():
    ET.fromstring(loss_plot("x", np.arange(3.0), np.full(3, np.nan), [], None))


def test_share_bar_and_timeline_measure_the_whole():
    widths = [float(w) for w in re.findall(r"width:([\d.]+)%", share_bar([("a", 1.0), ("b", 3.0)]))]
    assert widths == [25, 75]
    svg = ET.fromstring(timeline(100, [0, 99], [(10, 19)]))
    gap = next(e for e in svg.iter() if e.get("class") == "gap")
    assert (float(gap.get("x")), float(gap.get("width"))) == (100, 100)
