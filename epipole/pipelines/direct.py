"""Where a view was taken from, by comparing it directly with a key frame of known depth: no features, every pixel with
contrast counts by how sure its depth is (semi-dense direct alignment, Engel et al., LSD-SLAM, ECCV 2014)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.camera import unproject
from ..geometry.motion import se3_exp
from ..geometry.pnp import reprojection
from ..geometry.pyramid import depth_level, pyramid_level
from ..geometry.robust import huber
from ..geometry.sample import sample


@dataclass(frozen=True)
class Config:
    """Grey values are in [0, 1]."""

    noise: float = 0.015
    """Standard deviation of a grey value."""
    contrast: float = 0.02
    """Change of grey per pixel from which a pixel counts."""
    huber: float = 1.345
    """Standard deviations beyond which a residual pulls with constant force."""
    iterations: int = 12
    """Steps of Gauss-Newton at each size of the images, at most."""
    smallest: int = 24
    """Shorter side of the smallest image, px: each is half as large as the next."""
    least: int = 30
    """Pixels that must count; with fewer a view cannot be aligned."""


class Reference(NamedTuple):
    """The pixels of a key frame that count, at one size of the image: points, grey values, variance of log depth."""

    points: Float[Tensor, "n 3"]
    grey: Float[Tensor, "n"]
    variance: Float[Tensor, "n"]


class Alignment(NamedTuple):
    """The motion that aligns, the share of the reference's pixels that the view shows, and the share of those that fit
    within two standard deviations."""

    T_view_key: Float[Tensor, "4 4"]
    seen: float
    fits: float


def sizes(height: int, width: int, smallest: int) -> list[tuple[int, int]]:
    """(height, width) of the images to align, halved as long as the shorter side stays at least `smallest`; coarse to
    fine."""
    halved = [(height, width)]
    while min(halved[-1]) // 2 >= smallest:
        halved.append((halved[-1][0] // 2, halved[-1][1] // 2))
    return halved[::-1]


def slope(image: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 2 h w"]:
    """Central differences along x and y, per pixel."""
    wide = F.pad(image, (1, 1, 1, 1), "replicate")
    return torch.cat([wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2], wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]], 1) / 2


def reference(
    image: Float[Tensor, "1 1 h w"], depth: Float[Tensor, "1 1 h w"], variance: Float[Tensor, "1 1 h w"],
    K: Float[Tensor, "3 3"], config: Config,
) -> list[Reference]:
    """A key frame for `align`: pixels of high gradient and known depth (> 0) at every size, coarse to fine."""
    levels = []
    for size in sizes(image.shape[-2], image.shape[-1], config.smallest):
        small, K_small = pyramid_level(image[:, None], K[None, None], size)
        z, known = depth_level(depth, depth > 0, size)
        U, _ = depth_level(variance, depth > 0, size)
        counts = (slope(small[:, 0]).norm(dim=1) > config.contrast) & known[:, 0]
        points = unproject(z, K_small[:, 0]).movedim(1, -1)[counts]
        levels.append(Reference(points, small[:, 0, 0][counts], U[:, 0][counts]))
    return levels


def align(
    key: Sequence[Reference], image: Float[Tensor, "1 1 h w"], K: Float[Tensor, "3 3"],
    T_view_key: Float[Tensor, "4 4"], config: Config,
) -> Alignment:
    """T_view_key of least sum rho(r / sigma(r)) with r = I_view(pi(K T V_key(u))) - I_key(u), rho of Huber, by
    Gauss-Newton in SE(3) with Levenberg's damping, from a start (Tateno 2017, section 3.1).

    sigma(r) holds the noise of both grey values and what the variance of a pixel's depth does to the residual, so that
    a pixel of unknown depth still tells rotation. A reference with too few pixels leaves the start as it is.
    """
    T = T_view_key.double()
    found = Alignment(T, 0.0, 0.0)
    for level, size in zip(key, sizes(image.shape[-2], image.shape[-1], config.smallest), strict=True):
        small, K_small = pyramid_level(image[:, None], K[None, None], size)
        maps = torch.cat([small[:, 0], slope(small[:, 0])], 1)
        if len(level.points) >= config.least:
            found = _gauss_newton(level, maps, K_small[0, 0], found.T_view_key, config)
    return found._replace(T_view_key=found.T_view_key.to(T_view_key))


class _Linear(NamedTuple):
    """Normal equations at a motion, the mean robust cost, and which points are seen and fit."""

    H: Float[Tensor, "6 6"]
    b: Float[Tensor, "6"]
    cost: float
    seen: Bool[Tensor, "n"]
    fits: Bool[Tensor, "n"]


def _gauss_newton(
    level: Reference, maps: Float[Tensor, "1 3 h w"], K: Float[Tensor, "3 3"], T: Float[Tensor, "4 4"], config: Config
) -> Alignment:
    at, damping = _linearise(level, maps, K, T, config), 1e-4
    for _ in range(config.iterations):
        H = at.H + torch.diag(damping * at.H.diagonal() + 1e-9)
        step = torch.linalg.solve(H, -at.b)
        new = se3_exp(step) @ T
        then = _linearise(level, maps, K, new, config)
        if then.cost < at.cost:
            small = at.cost - then.cost < 1e-4 * at.cost
            T, at, damping = new, then, damping / 10
            if small:
                break
        else:
            damping = max(damping, 1e-4) * 10
    seen = float(at.seen.float().mean())
    return Alignment(T, seen, float((at.fits & at.seen).sum() / at.seen.sum().clamp(min=1)))


def _linearise(
    level: Reference, maps: Float[Tensor, "1 3 h w"], K: Float[Tensor, "3 3"], T: Float[Tensor, "4 4"], config: Config
) -> _Linear:
    points = level.points
    pixels, front, by_twist = reprojection(T.to(points), points, torch.zeros_like(points[:, :2]), K.to(points))
    looked, inside = sample(maps, pixels.T[None, :, None])
    (grey, *gradient), seen = looked[0, :, 0], inside[0, 0, 0] & front
    by_pixel = torch.stack(gradient, 1)
    J = torch.einsum("ni,nij->nj", by_pixel, by_twist)
    turned = points @ T[:3, :3].to(points).mT  # how the point moves with the logarithm of its depth
    by_depth = torch.einsum("ni,nij,nj->n", by_pixel, by_twist[..., :3], turned)
    sigma = (2 * config.noise**2 + by_depth.square() * level.variance).sqrt()
    r = (grey - level.grey) / sigma
    J = (J / sigma[:, None]).double()
    weight = (huber(r, config.huber) * seen).double()
    size = r.abs()
    rho = torch.where(size < config.huber, r.square() / 2, config.huber * (size - config.huber / 2))
    few = int(seen.sum()) < config.least
    cost = torch.inf if few else float(rho[seen].mean() / seen.float().mean())  # leaving the view does not pay
    return _Linear(J.mT @ (weight[:, None] * J), J.mT @ (weight * r.double()), cost, seen, size < 2)
