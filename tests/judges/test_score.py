import json
from dataclasses import fields, replace

from epipole.judges.depth import DepthProtocol
from epipole.judges.motion import MotionProtocol
from epipole.judges.score import Score


def test_the_key_changes_with_every_argument():
    base = DepthProtocol()
    others = [replace(base, **change) for change in (
        {"scaling": "none"}, {"crop": "garg"}, {"near": 0.5}, {"cap": 80.0})]
    assert len(fields(base)) == len(others)
    assert len({p.key for p in [base, *others, MotionProtocol(), MotionProtocol("se3")]}) == 7


def test_the_key_is_the_same_tomorrow():
    assert DepthProtocol().key == DepthProtocol().key
    assert len(DepthProtocol().key) == 8
    assert DepthProtocol().key in str(DepthProtocol())


def test_a_score_is_json():
    score = Score("ate", 0.5, "m", protocol="Sim(3)")
    assert json.loads(json.dumps(score.as_dict())) == {"name": "ate", "value": 0.5, "unit": "m", "protocol": "Sim(3)"}


def test_a_score_comes_back_from_its_dict():
    for score in (Score("delta_1", 0.9, "", "higher", "p", {"constant depth": 0.3}), Score("ate", 0.5, "m")):
        assert Score.from_dict(score.as_dict()) == score
