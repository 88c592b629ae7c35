"""Fixes of satellite receivers in the files that loggers write."""

import math

import numpy as np
import pytest

from epipole.formats.gps import east_north_up, read_gps
from epipole.types.errors import InputError

TIMES = np.array([0.0, 1.0, 2.5, 4.0])
LATITUDE = np.array([-33.85, -33.8501, -33.8503, -33.8507])
LONGITUDE = np.array([151.21, 151.2102, 151.2101, 151.2104])
HEIGHT = np.array([20.0, 21, 19, 22])
START = 1_714_521_598       # two seconds before midnight UTC


def gpx(times: bool = True, heights: bool = True) -> str:
    def point(t: float, lat: float, lon: float, h: float) -> str:
        stamp = np.datetime64(round(1000 * (START + t)), "ms")
        return (f'<trkpt lat="{lat!r}" lon="{lon!r}">' + (f"<ele>{h}</ele>" if heights else "")
                + (f"<time>{stamp}Z</time>" if times else "") + "</trkpt>")

    rows = map(point, TIMES, LATITUDE.tolist(), LONGITUDE.tolist(), HEIGHT)
    return ('<?xml version="1.0"?>\n<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
            + "".join(rows) + "</trkseg></trk></gpx>")


def sentence(said: str) -> str:
    total = 0
    for character in said:
        total ^= ord(character)
    return f"${said}*{total:02X}\r\n"


def angle(degrees: float, digits: int) -> str:
    whole = int(abs(degrees))
    return f"{whole:0{digits}d}{60 * (abs(degrees) - whole):010.7f}"


def nmea(kind: str = "GGA") -> str:
    lines = []
    for t, lat, lon, h in zip(TIMES, LATITUDE, LONGITUDE, HEIGHT, strict=True):
        day = (START + t) % 86400
        time = f"{int(day // 3600):02d}{int(day // 60 % 60):02d}{day % 60:06.3f}"
        place = f"{angle(lat, 2)},S,{angle(lon, 3)},E"
        lines.append(sentence(f"GPGGA,{time},{place},1,08,0.9,{h},M,20.0,M,,") if kind == "GGA"
                     else sentence(f"GNRMC,{time},A,{place},0.5,54.7,010524,,"))
    return "".join(lines)


def metres(heights: bool = True) -> np.ndarray:
    return east_north_up(LATITUDE, LONGITUDE, HEIGHT if heights else np.zeros(4))


@pytest.mark.parametrize("lat", [0.0, 30.0, -45.0, 80.0])
def test_east_north_and_up_by_the_radii_of_curvature(lat):
    """The naive twin: metres a radian along the meridian and along the parallel, for a step of some ten metres."""
    a, e2 = 6378137.0, 0.00669437999014
    w = 1 - e2 * math.sin(math.radians(lat)) ** 2
    north, east = a * (1 - e2) / w**1.5, a / math.sqrt(w) * math.cos(math.radians(lat))
    found = east_north_up(np.array([lat, lat + 1e-4]), np.array([179.99996, -179.99999]), np.array([0.0, 3.0]))[1]
    np.testing.assert_allclose(found, [math.radians(5e-5) * east, math.radians(1e-4) * north, 3], atol=1e-3)


def test_known_lengths_on_the_earth():
    """A degree of latitude is 110.574 km long at the equator; from the equator to the pole it is a chord of both
    semi-axes; and the earth bends away from its tangent by s^2 / 2 R."""
    degree = east_north_up(np.array([-0.5, 0.5]), np.zeros(2), np.zeros(2))[1]
    assert np.linalg.norm(degree) == pytest.approx(110574, abs=2)
    pole = east_north_up(np.array([0.0, 90.0]), np.zeros(2), np.zeros(2))[1]
    np.testing.assert_allclose(pole, [0, 6356752.3142, -6378137.0], atol=1e-3)
    bent = east_north_up(np.zeros(2), np.array([0.0, 0.1]), np.zeros(2))[1]
    assert bent[2] == pytest.approx(-bent[0] ** 2 / 2 / 6378137, rel=1e-4)


@pytest.mark.parametrize("layout", ["gpx", "gpx 1.0 without a namespace", "nmea", "rmc", "lines"])
def test_every_layout_tells_the_same_places(tmp_path, layout):
    heights, path = layout != "rmc", tmp_path / "track"
    match layout:
        case "gpx":
            path.write_text("\ufeff" + gpx(), encoding="utf-8")
        case "nmea" | "rmc":
            path.write_text(nmea("GGA" if heights else "RMC"))
        case "lines":
            np.savetxt(path, np.c_[TIMES, LATITUDE, LONGITUDE, HEIGHT], fmt="%.12g")
        case _:
            path.write_text(gpx().replace(' xmlns="http://www.topografix.com/GPX/1/1"', ""))
    track = read_gps(path)
    np.testing.assert_allclose(track.times, TIMES, atol=1e-6)
    np.testing.assert_allclose(track.positions, metres(heights), atol=2e-3)


def test_heights_that_only_some_fixes_have_do_not_count(tmp_path):
    (tmp_path / "a").write_text(gpx().replace("<ele>19.0</ele>", ""))
    np.testing.assert_allclose(read_gps(tmp_path / "a").positions, metres(False), atol=1e-6)


def test_garbled_and_repeated_sentences_are_passed_over(tmp_path):
    first, second, *others = nmea().splitlines(keepends=True)
    lost = sentence("GPGGA,235959.000,,,,,0,00,,,M,,M,,")
    cut = second[: len(second) // 2] + "\r\n"
    wrong = second.replace("151", "251")
    (tmp_path / "log").write_text("".join([first, "$GPGSV,1,1\r\n", wrong, cut, lost, second, second, *others]))
    track = read_gps(tmp_path / "log")
    np.testing.assert_allclose(track.times, TIMES, atol=1e-6)
    np.testing.assert_allclose(track.positions, metres(), atol=2e-3)


@pytest.mark.parametrize("text", ["", "<gpx><trkpt", gpx(times=False), "<gpx></gpx>", "$GPGGA,1,2,3", "a b c",
                                  "0 91 3\n1 90 3", "0 1 181\n1 2 180", "1 2 3\n0 2 3", "0 1\n1 2", '{"a": 3}'])
def test_other_files_are_one_sentence(tmp_path, text):
    (tmp_path / "track").write_text(text)
    with pytest.raises(InputError, match="track") as error:
        read_gps(tmp_path / "track")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError):
        read_gps(tmp_path / "none")
