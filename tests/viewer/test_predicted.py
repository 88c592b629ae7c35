"""The picture of a prediction."""

import numpy as np
import pytest
from PIL import Image

from epipole.viewer.colour import GREY
from epipole.viewer.predicted import paint_flow, panels_of, write_prediction

IMAGE = np.full((3, 6, 8), 0.5, np.float32)


def test_directions_have_hues_and_lengths_saturation():
    flow = np.zeros((2, 1, 5))
    flow[0, 0, :4], flow[1, 0, 4] = (0, 2, -2, np.nan), 1
    picture, longest = paint_flow(flow)
    assert longest == pytest.approx(2, rel=0.05)
    still, right, left, unknown, down = picture[0].astype(int)
    assert (still == 255).all()
    assert (unknown == GREY).all()
    assert right[0] == 255
    assert right[1] < 10  # red
    assert left[1] == left[2] == 255
    assert left[0] < 10  # its opposite
    assert 100 < down.min() < 140  # half as long, half as full


def test_panels_are_the_image_what_was_seen_and_how_unsure():
    ramp = np.linspace(1, 4, 48, dtype=np.float32).reshape(6, 8)
    titles = [panel.title for panel in panels_of(IMAGE, {"disparity": ramp, "deviation": ramp})]
    assert titles == ["Image", "Disparity (px)", "Uncertainty (px)"]
    panels = panels_of(IMAGE, {"depth": ramp, "deviation": 0.1 * ramp}, "m")
    assert [panel.title for panel in panels] == ["Image", "Depth (m)", "Uncertainty"]
    assert all(10 <= value <= 40 for value, _ in panels[2].ticks)  # per cent
    assert all(1 <= value <= 4 for value, _ in panels[1].ticks)
    assert (panels[0].picture == 128).all()
    np.testing.assert_array_equal(panels[1].picture[0, 0], panels[1].colours[0])  # the nearest


def test_the_picture_shows_them_side_by_side(tmp_path):
    found = {"flow": np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)}
    width, height = Image.open(write_prediction(tmp_path / "a.png", IMAGE, found)).size
    assert width == pytest.approx(2 * 420, abs=2)
    assert 315 < height < 420
