import html
import json
import re

import pytest

from epipole.viewer.markup import duration, number, quantity, script_data, table, text


@pytest.mark.parametrize("value", ["<script>alert(1)</script>", "a\"b'c&d", "e\u00e9\u4e2d"])
def test_text_is_safe_and_comes_back_whole(value):
    safe = text(value)
    assert not set(safe) & set("<>\"'")
    assert html.unescape(safe) == value


def test_undecodable_and_control_characters_become_visible():
    shown = text("clip\udcff\x00\x1b.mp4")
    assert shown == r"clip\udcff\x00\x1b.mp4"
    shown.encode("utf-8")


def test_no_content_ends_a_script_element():
    data = {"name": "</script><!-- &lt; \udcff"}
    body = re.fullmatch(r'<script type="application/json" id="x">(.*)</script>', script_data("x", data))
    assert body is not None
    assert "<" not in body[1]
    assert json.loads(body[1]) == data


@pytest.mark.parametrize(("value", "shown"), [
    (0.09341, "0.0934"), (0.9, "0.900"), (12.345, "12.3"), (1234.5, "1234"), (1000, "1000"), (0, "0"), (0.0, "0"),
    (1.5e-7, "1.50e-07"), (float("nan"), "not finite"), (-0.5, "-0.500"), ("<b>", "&lt;b&gt;"), (None, "None"),
])
def test_number(value, shown):
    assert number(value) == shown


def test_quantity_carries_its_unit():
    assert quantity(0.5, "m") == "0.500\u202fm"
    assert quantity(0.5, "") == "0.500"


@pytest.mark.parametrize(("seconds", "shown"), [
    (0.44, "0.4 s"), (12.4, "12 s"), (185.0, "3 min 05 s"), (3720.0, "1 h 02 min")])
def test_duration(seconds, shown):
    assert duration(seconds) == shown


def test_table_has_every_cell():
    made = table(("a", "b"), [["1", "2"], ["3", "4"]], (1,))
    assert re.findall(r"<t[hd](?: class=num)?>(.*?)</t", made) == list("ab1234")
