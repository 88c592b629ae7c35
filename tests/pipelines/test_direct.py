"""Direct alignment of views of a textured plane, whose depth and motion are exact."""

import pytest
import torch
from torch import Tensor

from epipole.geometry.motion import angle, se3_exp, se3_inverse
from epipole.pipelines.direct import Config, align, reference, sizes, slope
from tests.scene import plane_views

CONFIG = Config(smallest=16)
H, W = 64, 96


def grey(image: Tensor) -> Tensor:
    return image.mean(0, keepdim=True)[None]


class Pair:
    """A key frame and a view of the plane, the view moved by a twist."""

    def __init__(self, *twist: float) -> None:
        T = se3_exp(torch.tensor([[0.0] * 6, list(twist)]))
        views = plane_views(T[None], H, W)
        self.key, self.view = (grey(views.image[0, k]) for k in range(2))
        self.K, self.depth = views.K[0, 0], views.depth[0, :1]
        self.T_view_key = se3_inverse(T[1])

    def align(self, depth: Tensor | None = None, variance: Tensor | None = None, start: Tensor | None = None):
        depth = self.depth if depth is None else depth
        variance = torch.full_like(depth, 1e-6) if variance is None else variance
        return align(reference(self.key, depth, variance, self.K, CONFIG), self.view, self.K,
                     torch.eye(4) if start is None else start, CONFIG)

    def errors(self, T: Tensor) -> tuple[float, float]:
        """Length in units of the plane's distance, 3, and angle."""
        off = se3_inverse(self.T_view_key) @ T
        return float(off[:3, 3].norm()) / 3, float(angle(off[:3, :3]))


@pytest.mark.parametrize("twist", [(0.1, 0.02, 0.05, 0.01, -0.02, 0.01), (0, 0, 0.3, 0, 0, 0.05),
                                   (-0.2, 0.1, 0, 0.03, 0.02, 0)])
def test_the_motion_is_found(twist):
    pair = Pair(*twist)
    found = pair.align()
    length, turn = pair.errors(found.T_view_key)
    assert length < 0.002
    assert turn < 0.002
    assert found.seen > 0.7
    assert found.fits > 0.95


def test_pure_rotation_is_found_whatever_the_depth():
    pair = Pair(0, 0, 0, 0.03, 0.06, -0.05)
    found = pair.align(torch.full_like(pair.depth, 7.0))
    assert pair.errors(found.T_view_key)[1] < 0.002
    assert float(found.T_view_key[:3, 3].norm()) < 0.02 * 7


def test_an_image_without_contrast_leaves_the_start():
    pair = Pair(0.1, 0, 0, 0, 0, 0)
    pair.key = torch.full_like(pair.key, 0.5)
    start = se3_exp(torch.tensor([0.1, 0.2, 0.3, 0, 0, 0]))
    found = pair.align(start=start)
    torch.testing.assert_close(found.T_view_key, start)
    assert found.seen == 0


def test_unknown_depth_does_not_count():
    pair = Pair(0.1, 0.02, 0.05, 0.01, -0.02, 0.01)
    half = torch.arange(W).expand_as(pair.depth) < W // 2
    found = pair.align(torch.where(half, 0, pair.depth))
    length, turn = pair.errors(found.T_view_key)
    assert length < 0.005
    assert turn < 0.005


def test_another_place_does_not_fit():
    pair = Pair(0.1, 0, 0, 0, 0, 0)
    pair.view = torch.rand(pair.view.shape, generator=torch.Generator().manual_seed(0))
    assert pair.align().fits < 0.5


def test_sizes_are_halves_down_to_the_smallest():
    assert sizes(240, 320, 24) == [(30, 40), (60, 80), (120, 160), (240, 320)]
    assert sizes(20, 30, 24) == [(20, 30)]


def test_slope_is_exact_on_a_ramp():
    ramp = 0.3 * torch.arange(8.0) + 0.1 * torch.arange(6.0)[:, None]
    found = slope(ramp[None, None])[..., 1:-1, 1:-1]
    torch.testing.assert_close(found, torch.tensor([0.3, 0.1])[None, :, None, None].expand_as(found))
