"""The panel of what a network looks at."""

import base64
import re

import numpy as np

from epipole.viewer.preview import decode
from epipole.viewer.saliency import MARK, saliency_panel

X, Y = 30, 12


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    image, share = rng.random((2, 3, 24, 40)), np.zeros((2, 24, 40))
    share[:, 5:20, 10:38] = rng.random((2, 15, 28))
    html = saliency_panel(image, share, X, Y, 7.4)
    assert "7.4 px" in html
    found = [decode(base64.b64decode(code)) for code in re.findall(r"base64,([^\"]*)", html)]
    expected = np.round(255 * image * np.sqrt(share)[:, None]).transpose(0, 2, 3, 1)
    return [*found, *expected]


def test_an_image_is_bright_where_the_disparity_depends_on_it():
    left, right, *expected = pictures()
    for picture, wanted, x in ((left, expected[0], X), (right, expected[1], X - 7)):
        marked = (picture == MARK).all(-1)
        assert np.array_equal(picture[~marked], wanted[~marked])
        assert not picture[:5].any()
        assert sorted(np.argwhere(marked)[:, 1]) == sorted([x] * 8 + [x + k for k in (-4, -3, -2, -1, 1, 2, 3, 4)])
        assert not marked[Y, x]


def test_a_pixel_that_is_found_outside_has_no_cross_there():
    html = saliency_panel(np.ones((2, 3, 24, 40)), np.ones((2, 24, 40)), 3, 12, 30.0)
    right = decode(base64.b64decode(re.findall(r"base64,([^\"]*)", html)[1]))
    assert (right == 255).all()
