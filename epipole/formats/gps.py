"""Where a satellite receiver was, from a GPX file, an NMEA 0183 log, or lines `t lat lon [alt]`: metres east, north and
up of the first fix, on the ellipsoid of WGS 84."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float64

from ..types.errors import InputError
from .numbers import read_table
from .track import Track, rising

SEMI_MAJOR, FLATTENING = 6378137.0, 1 / 298.257223563      # of WGS 84; m
WHAT = "fixes of a satellite receiver: GPX, NMEA sentences, or lines t lat lon [alt] in s, degrees and m"
DAY = 86400.0


class Fix(NamedTuple):
    """Degrees and m; NaN for a height that was not told."""

    time: float
    latitude: float
    longitude: float
    height: float


def read_gps(path: str | Path) -> Track:
    """Positions east, north and up of the first fix. Times of GPX and NMEA count from the first fix, those of a text
    file are as they stand there. Where any fix lacks its height, none counts. Raises InputError for any other file."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    first = text.lstrip()[:1]
    fixes = _gpx(text, path) if first == "<" else _nmea(text, path) if first == "$" else _lines(path)
    time, latitude, longitude, height = np.array(fixes, dtype=np.float64).T
    if (np.abs(latitude) > 90).any() or (np.abs(longitude) > 180).any():
        raise InputError(f"{path} has a latitude beyond 90 or a longitude beyond 180 degrees; it should hold {WHAT}")
    height = np.zeros_like(height) if np.isnan(height).any() else height
    return Track(time, east_north_up(latitude, longitude, height))


def east_north_up(
    latitude: Float64[np.ndarray, "n"], longitude: Float64[np.ndarray, "n"], height: Float64[np.ndarray, "n"]
) -> Float64[np.ndarray, "n 3"]:
    """Degrees, and m above the ellipsoid, to m in the axes east, north and up at the first of them: through the
    coordinates centred in and fixed to the earth (NIMA TR8350.2, section 4.2)."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    e2 = FLATTENING * (2 - FLATTENING)
    across = SEMI_MAJOR / np.sqrt(1 - e2 * np.sin(phi) ** 2)        # radius of curvature in the prime vertical
    ring = (across + height) * np.cos(phi)
    fixed = np.stack([ring * np.cos(lam), ring * np.sin(lam), (across * (1 - e2) + height) * np.sin(phi)], 1)
    (sp, cp), (sl, cl) = ((math.sin(a[0]), math.cos(a[0])) for a in (phi, lam))
    axes = np.array([[-sl, cl, 0.0], [-sp * cl, -sp * sl, cp], [cp * cl, cp * sl, sp]])
    return (fixed - fixed[0]) @ axes.T


def _lines(path: str | Path) -> list[Fix]:
    table = read_table(path, (3, 4), WHAT)
    rising(table[:, 0], path)
    return [Fix(t, lat, lon, *(height or [math.nan])) for t, lat, lon, *height in table.tolist()]


def _gpx(text: str, path: str | Path) -> list[Fix]:
    """The points of all tracks in the order of their times."""
    try:
        points = [e for e in ElementTree.fromstring(text).iter() if _name(e) == "trkpt"]
        fixes = [_of_point(point) for point in points]
    except (ElementTree.ParseError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a GPX file whose points all have their latitude, longitude and time "
                         f"({error})") from error
    return _later(fixes, path, "points of a track")


def _name(element: ElementTree.Element) -> str:
    """Without the namespace, which changes with the version."""
    return element.tag.rpartition("}")[2]


def _of_point(point: ElementTree.Element) -> Fix:
    said = {_name(child): (child.text or "").strip() for child in point}
    time = datetime.fromisoformat(said["time"])
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return Fix(time.timestamp(), float(point.attrib["lat"]), float(point.attrib["lon"]), float(said.get("ele", "nan")))


def _nmea(text: str, path: str | Path) -> list[Fix]:
    """GGA sentences, or RMC where there are none. A sentence that was cut short or garbled is passed over."""
    sentences = [words for line in text.splitlines() if (words := _words(line)) is not None]
    fixes = [fix for words in sentences if words[0][-3:] == "GGA" and (fix := _gga(words)) is not None]
    fixes = fixes or [fix for words in sentences if words[0][-3:] == "RMC" and (fix := _rmc(words)) is not None]
    days = np.cumsum(np.diff([fix.time for fix in fixes], prepend=fixes[0].time if fixes else 0) < -DAY / 2).tolist()
    return _later([fix._replace(time=fix.time + DAY * day) for fix, day in zip(fixes, days, strict=True)], path,
                  "GGA or RMC sentences with a fix")


def _words(line: str) -> list[str] | None:
    """None where the sum of the sentence's characters is not the one behind its star."""
    said, star, check = line.strip().partition("*")
    if not said.startswith("$") or (star and check.upper() != f"{reduce(xor, said[1:].encode(), 0):02X}"):
        return None
    return said[1:].split(",")


def _gga(words: list[str]) -> Fix | None:
    """time, latitude, N or S, longitude, E or W, quality, satellites, dilution, height."""
    try:
        return _fix(words[1], words[2:6], float(words[9] or "nan")) if words[6] not in ("", "0") else None
    except (ValueError, IndexError):
        return None


def _rmc(words: list[str]) -> Fix | None:
    """time, A for a valid fix, latitude, N or S, longitude, E or W."""
    try:
        return _fix(words[1], words[3:7], math.nan) if words[2] == "A" else None
    except (ValueError, IndexError):
        return None


def _fix(time: str, place: list[str], height: float) -> Fix:
    """hhmmss.s, ddmm.m and dddmm.m to s and degrees. Raises ValueError for other words."""
    def degrees(word: str, side: str) -> float:
        whole, minutes = divmod(float(word), 100)
        return (whole + minutes / 60) * {"N": 1, "E": 1, "S": -1, "W": -1}.get(side, math.nan)

    seconds = 3600 * int(time[:2]) + 60 * int(time[2:4]) + float(time[4:])
    latitude, longitude = degrees(*place[:2]), degrees(*place[2:4])
    if not math.isfinite(latitude + longitude):
        raise ValueError("a position needs its hemisphere")
    return Fix(seconds, latitude, longitude, height)


def _later(fixes: list[Fix], path: str | Path, what: str) -> list[Fix]:
    """Those that are later than all before them, times counted from the first: loggers repeat themselves."""
    kept: list[Fix] = []
    for fix in fixes:
        if not kept or fix.time > kept[-1].time:
            kept.append(fix)
    if len(kept) < 2:
        raise InputError(f"{path} has fewer than two {what}; it should hold {WHAT}")
    return [fix._replace(time=fix.time - kept[0].time) for fix in kept]
