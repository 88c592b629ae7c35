import json
from dataclasses import dataclass, fields, replace

import pytest

from epipole.judges.depth import DepthProtocol
from epipole.judges.motion import MotionProtocol
from epipole.judges.score import HIGHER, Score, advantage, better
from epipole.judges.views import ViewProtocol
from epipole.types.errors import InputError


def test_the_key_changes_with_every_argument():
    base = DepthProtocol()
    others = [replace(base, **change) for change in (
        {"scaling": "none"}, {"crop": "garg"}, {"near": 0.5}, {"cap": 80.0}, {"average": "pixels"})]
    assert len(fields(base)) == len(others) + 1  # the name
    assert len({p.key for p in [base, *others, MotionProtocol(), MotionProtocol("se3")]}) == 8


def test_judges_with_equal_arguments_have_keys_of_their_own():
    @dataclass(frozen=True)
    class Other(ViewProtocol):
        pass

    assert Other().arguments() == ViewProtocol().arguments()
    assert Other().key != ViewProtocol().key


def test_a_name_does_not_change_the_key_and_is_printed():
    named = replace(DepthProtocol(), name="kitti")
    assert named == DepthProtocol()
    assert named.key == DepthProtocol().key
    assert str(named) == f"kitti: {DepthProtocol()}"


def test_the_key_is_the_same_tomorrow():
    assert DepthProtocol().key == DepthProtocol().key
    assert len(DepthProtocol().key) == 8
    assert DepthProtocol().key in str(DepthProtocol())


def test_a_score_is_json():
    score = Score("ate", 0.5, "m", protocol="Sim(3)")
    assert json.loads(json.dumps(score.as_dict())) == {"name": "ate", "value": 0.5, "unit": "m", "protocol": "Sim(3)"}


def test_a_score_comes_back_from_its_dict():
    for score in (Score("delta_1", 0.9, "", "higher", "p", {"constant depth": 0.3}, "0123abcd"),
                  Score("ate", 0.5, "m")):
        assert Score.from_dict(score.as_dict()) == score


def test_scores_of_one_protocol_compare_and_others_refuse():
    garg, whole = DepthProtocol(crop="garg"), DepthProtocol()
    assert advantage(garg.score("abs_rel", 0.1), garg.score("abs_rel", 0.3)) == pytest.approx(0.2)
    assert advantage(garg.score("delta_1", 0.7), garg.score("delta_1", 0.9)) == pytest.approx(-0.2)
    for one, other, why in (
        (garg.score("abs_rel", 0.1), whole.score("abs_rel", 0.1), "different protocols"),
        (garg.score("abs_rel", 0.1), garg.score("rmse", 0.1), "different things"),
        (garg.score("rmse", 0.1, "m"), garg.score("rmse", 0.1), "no unit"),
        (Score("abs_rel", 0.1, protocol="mine"), Score("abs_rel", 0.1, protocol="mine"), "different protocols"),
    ):
        with pytest.raises(InputError, match=why):
            advantage(one, other)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_score_is_silently_no_number(value):
    with pytest.raises(InputError, match="abs_rel"):
        DepthProtocol().score("abs_rel", value)
    assert DepthProtocol().score("abs_rel", 1.0, baselines={"a": value, "b": 2.0}).baselines == {"b": 2.0}


def test_what_is_better_higher_is_known_by_name():
    assert {better(name) for name in HIGHER} == {"higher"}
    assert {better(name) for name in ("abs_rel", "d1", "bad_0.5", "chamfer", "ause", "coverage_error_90")} == {"lower"}
