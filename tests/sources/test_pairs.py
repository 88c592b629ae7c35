"""The stereo pairs of a world."""

import torch

from epipole.geometry.rectified import depth_of_disparity
from epipole.sources.source import Source
from epipole.sources.worlds import FIELDS, Spec, World
from epipole.sources.worlds.pairs import Pairs
from epipole.types.pairs import rectified_pair
from epipole.types.views import Views

WORLD = World(Spec("room", difficulty=0, frames=2, width=32, height=24), FIELDS)


def test_a_world_s_pairs_are_rectified_and_metric():
    pairs = Pairs(WORLD)
    assert isinstance(pairs, Source)
    assert len(pairs) == 2
    batch = Views.collate([pairs[1]])
    left, right = rectified_pair(batch, "a test")
    assert left.shape == right.shape == (1, 3, 24, 32)
    torch.testing.assert_close(left[0], WORLD[1].image[0])
    known = batch.depth_valid & (batch.disparity > 0)
    depth = depth_of_disparity(batch.disparity.clamp(min=1e-6), batch.K, batch.baseline)
    torch.testing.assert_close(depth[known], batch.depth[known], rtol=1e-4, atol=1e-4)
