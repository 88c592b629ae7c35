"""Points before two cameras, and where both see them."""

from typing import NamedTuple

import torch
from torch import Tensor

from epipole.geometry.camera import intrinsics
from epipole.geometry.epipolar import essential_from_motion, fundamental_from_essential
from epipole.geometry.motion import move, se3_exp

F64 = torch.float64


class TwoViews(NamedTuple):
    points: Tensor           # in the first camera's frame [*b n 3]
    T_second_first: Tensor   # [*b 4 4]
    K: Tensor                # of both cameras
    first: Tensor            # pixels [*b n 2]
    second: Tensor
    F: Tensor
    E: Tensor

    @property
    def weight(self) -> Tensor:
        return torch.ones_like(self.first[..., 0])


def pixels(points: Tensor, K: Tensor) -> Tensor:
    image = points @ K.mT
    return image[..., :2] / image[..., 2:]


def two_views(*shape: int, n: int = 30, seed: int = 0, focal: float = 500.0, flat: bool = False) -> TwoViews:
    """A box of points 4 to 9 units ahead (or, flat, a tilted plane in it) and a camera that moves mostly sideways."""
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(*shape, n, 3, generator=g, dtype=F64) * torch.tensor([6, 4, 5.0]) + torch.tensor([-3, -2, 4.0])
    if flat:
        points[..., 2] = 6 + 0.3 * points[..., 0] - 0.2 * points[..., 1]
    twist = torch.randn(*shape, 6, generator=g, dtype=F64) * torch.tensor([0.3, 0.3, 0.3, 0.08, 0.08, 0.08])
    T = se3_exp(twist + torch.tensor([0.6, 0, 0, 0, 0, 0], dtype=F64))
    K = intrinsics(focal, 0.96 * focal, 320.0, 240.0)
    E = essential_from_motion(T)
    K_each = K.expand(*shape, 3, 3)
    return TwoViews(points, T, K, pixels(points, K), pixels(move(T, points), K),
                    fundamental_from_essential(E, K_each, K_each), E)


def with_outliers(scene: TwoViews, share: float, px: float, seed: int = 1) -> Tensor:
    """Matches [n 4] with Gaussian noise in both views; the first `share` of them are wrong in the second."""
    g = torch.Generator().manual_seed(seed)
    matches = torch.cat([scene.first, scene.second], -1)
    matches = matches + px * torch.randn(matches.shape, generator=g, dtype=F64)
    k = int(share * len(matches))
    matches[:k, 2:] = torch.rand(k, 2, generator=g, dtype=F64) * torch.tensor([640.0, 480.0])
    return matches
