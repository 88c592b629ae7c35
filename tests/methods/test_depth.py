"""Depth that looks at nothing."""

import numpy as np
import torch

from epipole.methods.depth import ConstantDepth, RowDepth
from epipole.types.views import Views


def test_a_constant_is_everywhere():
    depth = ConstantDepth(2.5)(Views(image=torch.rand(2, 3, 3, 8, 10))).depth
    assert depth.shape == (2, 3, 1, 8, 10)
    assert (depth == 2.5).all()


def test_rows_lie_where_their_share_of_the_image_does():
    rows = torch.tensor([1.0, 4.0, 2.0], dtype=torch.float64)
    depth = RowDepth(rows)(Views(image=torch.rand(2, 1, 3, 8, 10))).depth
    assert depth.shape == (2, 1, 1, 8, 10)
    expected = np.interp((np.arange(8) + 0.5) * 3 / 8 - 0.5, np.arange(3), rows.numpy())
    np.testing.assert_allclose(depth[1, 0, 0, :, 7].numpy(), expected, rtol=1e-6)
    assert (depth == depth[..., :1]).all()
