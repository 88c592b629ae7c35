"""What is known in metres, in words."""

from pathlib import Path

import pytest

from epipole.types.errors import InputError
from epipole.types.known import Known, known


@pytest.mark.parametrize(("words", "meant"), [
    ("height=1.65", Known(height=1.65)),
    ("distance=12,80,200,310.5,204,2.4", Known(distance=(12.0, 80.0, 200.0, 310.5, 204.0, 2.4))),
    ("poses=a=b,c.txt", Known(poses=Path("a=b,c.txt"))),
    ("poses=track.txt,fps=29.97", Known(poses=Path("track.txt"), fps=29.97)),
    ("speed=13.9", Known(speed=13.9)),
    ("gps=a,b.gpx", Known(gps=Path("a,b.gpx"))),
    ("gps=a.gpx,start=-2.5,fps=30", Known(gps=Path("a.gpx"), start=-2.5, fps=30.0)),
    ("imu=imu.csv,start=3", Known(imu=Path("imu.csv"), start=3.0)),
    ("stereo=a/right,baseline=0.12", Known(stereo=Path("a/right"), baseline=0.12)),
    ("speed=v.txt,fps=10", Known(speed=Path("v.txt"), fps=10.0)),
])
def test_words_and_what_they_mean(words, meant):
    assert known(words) == meant
    assert str(meant) == words


@pytest.mark.parametrize("words", ["", "height", "height=", "height=0", "height=inf", "height=nan", "height=a",
                                   "width=3", "distance=1,2,3,4,5", "distance=1,2,3,4,5,-6", "distance=nan,1,2,3,4,5",
                                   "distance=inf,1,2,3,4,5", "speed=0", "speed=2,fps=", "speed=2,fps=-1", "1.65",
                                   "gps=", "gps=a,start=", "gps=a,start=inf", "gps=a,start=b", "stereo=a",
                                   "stereo=a,baseline=0", "height=2,baseline=1", "imu=", "speed=2,start=3"])
def test_other_words_are_refused_in_one_sentence(words):
    with pytest.raises(InputError) as error:
        known(words)
    assert "\n" not in str(error.value)
