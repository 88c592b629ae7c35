"""Types of what matches between two views say."""

import pytest
import torch

from epipole.types.predictions import Essential, Fundamental, Homography, Matches
from epipole.types.views import Views

YES = torch.ones(2, 5, dtype=torch.bool)
RIGHT = [
    (Views, {"matches": torch.rand(2, 5, 4), "matches_valid": YES, "K": torch.eye(3).expand(2, 2, 3, 3)}),
    (Matches, {"matches": torch.rand(2, 5, 4), "matches_valid": YES, "confidence": torch.rand(2, 5)}),
    (Fundamental, {"F": torch.rand(2, 3, 3), "inlier": YES}),
    (Essential, {"E": torch.rand(2, 3, 3), "T_second_first": torch.eye(4).expand(2, 4, 4), "inlier": YES}),
    (Homography, {"H": torch.rand(2, 3, 3), "inlier": YES}),
]
WRONG = [
    (Views, "matches_valid", YES[:, :4]), (Views, "matches", torch.rand(2, 5, 2)),
    (Views, "matches_valid", YES.float()),
    (Matches, "confidence", torch.rand(2, 6)), (Fundamental, "F", torch.rand(3, 3, 3)),
    (Essential, "T_second_first", torch.rand(2, 3, 4)), (Homography, "H", torch.rand(2, 9)),
    (Homography, "inlier", YES[0]),
]


@pytest.mark.parametrize(("kind", "fields"), RIGHT)
def test_fields_are_what_was_given(kind, fields):
    batch = kind(**fields)
    assert batch.fields().keys() == fields.keys()
    single = kind(**{name: value[0] for name, value in fields.items()})
    assert kind.collate([single, single]).fields().keys() == fields.keys()


@pytest.mark.parametrize(("kind", "name", "value"), WRONG)
def test_axes_must_agree(kind, name, value):
    with pytest.raises(TypeError, match=name):
        kind(**dict(RIGHT)[kind] | {name: value})
