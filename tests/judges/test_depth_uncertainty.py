"""Log depth that errs as it says is calibrated, whatever its scale."""

import numpy as np
import pytest

from epipole.judges.depth import DepthFrame, DepthProtocol
from epipole.judges.depth_uncertainty import DepthUncertaintyProtocol, UncertainDepth, judge_depth_uncertainty
from epipole.judges.score import advantage
from epipole.types.errors import InputError

H, W = 40, 60


def image(seed: int = 0, scale: float = 1.0, claimed: float = 1.0) -> UncertainDepth:
    """Laplace errors of log depth by a deviation that varies over the image; `claimed` times as large as it says."""
    r = np.random.default_rng(seed)
    truth = r.uniform(1, 9, (H, W))
    deviation = r.uniform(0.05, 0.5, (H, W))
    error = deviation * r.laplace(0, np.sqrt(0.5), (H, W))
    y, x = np.mgrid[:H, :W]
    frame = DepthFrame(scale * truth * np.exp(error), np.stack([x, y], -1).reshape(-1, 2).astype(np.float64),
                       truth.ravel(), W, H)
    return UncertainDepth(frame, 2 * np.log(deviation / claimed))


def values(frames, **options) -> dict[str, float]:
    scores = judge_depth_uncertainty(frames, DepthUncertaintyProtocol(shape="laplace", **options))
    return {s.name: s.value for s in scores}


def test_depth_that_errs_as_it_says_is_calibrated_at_any_scale():
    plain, scaled = (values([image(k, scale) for k in range(3)]) for scale in (1.0, 0.2))
    assert plain["ece"] < 4  # the median is not that of the errors
    assert plain["error_correlation"] > 0.3
    assert plain["ause"] < 0.5
    for name, value in plain.items():
        assert scaled[name] == pytest.approx(value, abs=1e-6)


def test_half_of_the_deviation_covers_too_little_and_ranks_as_well():
    right, sure = values([image()]), values([image(claimed=2.0)])
    assert sure["coverage_error_90"] > 10 > right["coverage_error_90"] + 5
    assert sure["ause"] == pytest.approx(right["ause"])


def test_a_wrong_scale_is_an_error_where_nothing_is_scaled():
    assert values([image(scale=1.5)], depth=DepthProtocol("none"))["nll"] > values([image()])["nll"] + 0.3


def test_one_scale_for_all_is_that_of_the_depth_judge():
    frames = [image(k, scale=0.2) for k in range(3)]
    alone = values(frames, depth=DepthProtocol("ratio"))["nll"]
    assert values(frames, depth=DepthProtocol("global"))["nll"] == pytest.approx(alone, abs=0.02)


def test_only_so_many_pixels_of_the_crop_and_range_count():
    whole, some = values([image()]), values([image()], most=H * W // 4)
    assert some["nll"] != whole["nll"]
    assert some["nll"] == pytest.approx(whole["nll"], abs=0.2)
    with pytest.raises(InputError, match="no value"):
        values([image()], depth=DepthProtocol(cap=0.5))


def test_the_way_depth_is_scaled_belongs_to_the_protocol():
    one, other = (judge_depth_uncertainty([image()], DepthUncertaintyProtocol(depth=depth))[0]
                  for depth in (DepthProtocol("median"), DepthProtocol("none")))
    with pytest.raises(InputError, match="different protocols"):
        advantage(one, other)
    named = DepthUncertaintyProtocol(depth=DepthProtocol("median", name="a name"))
    assert named.key == one.key
