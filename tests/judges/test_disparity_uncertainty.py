"""The uncertainty of disparity, as the judge of deviations reads it."""

import numpy as np
import pytest

from epipole.judges.disparity import DisparityFrame
from epipole.judges.disparity_uncertainty import DisparityUncertaintyProtocol, uncertain_values
from epipole.judges.uncertainty import judge_uncertainty
from epipole.types.errors import InputError


def some(size=(5, 6)) -> tuple[DisparityFrame, np.ndarray]:
    r = np.random.default_rng(0)
    truth = r.uniform(1, 9, size)
    return DisparityFrame(truth + r.normal(size=size), truth, r.random(size) < 0.7), r.uniform(0.5, 2, size)


def test_known_pixels_alone_count_each_with_its_own_deviation():
    frame, deviation = some()
    found = uncertain_values(frame, deviation, DisparityUncertaintyProtocol())
    expected = [(p, g, s) for p, g, s, known in zip(*(x.flat for x in (frame.prediction, frame.truth, deviation,
                                                                       frame.valid)), strict=True) if known]
    np.testing.assert_array_equal(np.stack(found, 1), expected)
    few = uncertain_values(frame, deviation, DisparityUncertaintyProtocol(most=4))
    assert 1 <= len(few.truth) <= 4
    assert set(few.truth) <= set(found.truth)
    none = uncertain_values(frame._replace(valid=np.zeros_like(frame.valid)), deviation, DisparityUncertaintyProtocol())
    assert len(none.truth) == 0


def test_the_protocol_says_what_is_counted():
    frame, deviation = some()
    protocol = DisparityUncertaintyProtocol(most=7)
    scores = judge_uncertainty([uncertain_values(frame, deviation, protocol)], protocol)
    assert {"ause", "coverage_error_90"} <= {score.name for score in scores}
    assert all("at most 7 pixels of a pair" in score.protocol for score in scores)
    with pytest.raises(InputError, match="deviation"):
        uncertain_values(frame, deviation[:2], protocol)
