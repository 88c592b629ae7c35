import base64
import json
import re
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest
import torch

from epipole.geometry.motion import se3, so3_exp
from epipole.types.predictions import Depth, Motion
from epipole.viewer.marks import MOVED
from epipole.viewer.panels import aligned, depth_panel, motion_panel, shrink_exactly
from epipole.viewer.preview import decode
from tests.viewer.synthetic_run import path


def island(html: str, name: str) -> dict:
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', html)[1])


def picture(address: str) -> np.ndarray:
    return decode(base64.b64decode(address.split(",")[1]))


@pytest.fixture
def motion() -> Motion:
    return Motion(T_first_camera=torch.from_numpy(path(30)).float())


def test_depth_and_its_colour_go_together_over_all_frames():
    """Every pixel of every frame, taken back from its colour, gives its depth to within a step of the scale."""
    z = torch.rand(4, 1, 6, 8, generator=torch.Generator().manual_seed(0)) * 3 + 0.5
    z[2] = z[0]
    data = island(depth_panel(Depth(depth=z), [0, 5, 9, 12], {}, "m"), "player-data")
    [layer] = data["layers"]
    assert layer["pictures"][0] == layer["pictures"][2]
    look = layer["lookup"]
    step = (look["high"] - look["low"]) / 255
    for frame, address in enumerate(layer["pictures"]):
        colours = [["".join(f"{c:02x}" for c in p) for p in row] for row in picture(address).tolist()]
        shown = [[look["table"].index(colour) for colour in row] for row in colours]
        inverse = np.clip(1 / z[frame, 0].double().numpy(), look["low"], look["high"])
        assert np.abs(look["low"] + step * np.array(shown) - inverse).max() <= 0.501 * step


def test_depth_panel_has_a_screen_for_each_thing_it_was_given():
    depth = Depth(depth=torch.ones(2, 1, 4, 5), log_variance=torch.randn(2, 1, 4, 5))
    html = depth_panel(depth, [0, 3], {}, "up to scale", 30.0, {3: "key frame"})
    assert html.count("<canvas") == 2
    data = island(html, "player-data")
    assert data["frames"] == [0, 3]
    assert data["notes"] == ["", "key frame"]
    assert data["layers"][1]["lookup"]["kind"] == "deviation"
    assert depth_panel(None, [0], {}, "m") == ""


def test_marks_are_pictures_of_the_frames_that_have_them():
    depth, mask = Depth(depth=torch.ones(3, 1, 4, 5)), np.arange(20).reshape(4, 5) < 5
    html = depth_panel(depth, [0, 3, 6], {}, "m", masks={MOVED: [mask, None, mask & False]})
    [mark] = island(html, "player-data")["marks"]
    assert mark["percent"] == [25.0, None, 0.0]
    assert mark["pictures"][1:] == ["", ""]
    code = np.frombuffer(base64.b64decode(mark["pictures"][0].split(",")[1]), np.uint8)
    image = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)
    assert image.shape == (256, 320, 4)
    assert image[:64, :, 3].any()
    assert not image[64:, :, 3].any()
    assert (image[image[..., 3] > 0][:, :3].max(0) == MOVED.colour[::-1]).all()
    assert MOVED.name in html
    assert "checkbox" not in depth_panel(depth, [0, 3, 6], {}, "m")


def test_a_legend_says_what_its_ends_stand_for():
    html = depth_panel(Depth(depth=torch.linspace(1, 8, 400).reshape(1, 1, 20, 20)), [0], {}, "m")
    assert "near, ≤ 1.1" in html
    assert "far, ≥ 7.9" in html


def test_shrink_exactly_keeps_only_colours_that_were_there():
    image = np.random.default_rng(0).integers(0, 255, (50, 700, 3)).astype(np.uint8)
    small = shrink_exactly(image)
    assert small.shape[1] <= 320
    assert {tuple(p) for p in small.reshape(-1, 3).tolist()} <= {tuple(p) for p in image.reshape(-1, 3).tolist()}


def test_path_is_drawn_from_above_and_from_the_side_in_equal_axes(motion):
    html = motion_panel(motion, "m")
    views = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html)]
    centres = motion.T_first_camera[:, :3, 3].numpy()
    for svg, (a, b, sign) in zip(views, ((0, 2, 1), (0, 1, -1)), strict=True):
        spots = np.array(json.loads(svg.get("data-track")))
        assert (spots[:, 0] == np.arange(30)).all()
        du, dv = np.ptp(spots[:, 1]) / np.ptp(centres[:, a]), np.ptp(spots[:, 2]) / np.ptp(centres[:, b])
        assert du == pytest.approx(dv, rel=0.03)
        rise = centres[-1, b] - centres[0, b]
        assert np.sign(spots[0, 2] - spots[-1, 2]) == np.sign(sign * rise)
    assert "true path" not in html


def test_truth_that_differs_by_a_similarity_falls_on_the_path(motion):
    T = motion.T_first_camera
    R, t = so3_exp(torch.tensor([0.3, -1.0, 0.5])), torch.tensor([4.0, -2, 7])
    centres = 2.5 * T[:, :3, 3] @ R.mT + t
    truth = Motion(T_first_camera=se3(R @ T[:, :3, :3], centres))
    assert np.allclose(aligned(truth, motion), T[:, :3, 3].numpy(), atol=1e-5)
    assert "true path" in motion_panel(motion, "m", truth)
