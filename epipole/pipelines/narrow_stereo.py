"""Depth of a key frame measured again by every view of it: a search along the epipolar line no farther than the depth
is unsure, joined by inverse variance (small-baseline stereo; Engel et al., ICCV 2013; Tateno et al. 2017, section 3.4).

Depth is kept as its logarithm, with a variance: it stays positive, and an error is a share of it at every distance.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.camera import transform, unproject
from ..geometry.motion import se3_inverse
from ..geometry.sample import sample
from ..geometry.triangulation import sensitivity
from .direct import slope


@dataclass(frozen=True)
class Config:
    """Grey values are in [0, 1], lengths in pixels."""

    noise: float = 0.015
    """Standard deviation of a grey value."""
    off_line: float = 0.25
    """Standard deviation of the epipolar line's place: what the pose is off."""
    contrast: float = 0.02
    """Change of grey per pixel along the line from which a pixel can be found again."""
    reach: float = 8.0
    """Farthest that is searched to either side."""
    steps: int = 17
    """Places along the line that are tried."""
    misfit: float = 0.05
    """Root mean square difference of grey over the pattern from which a match is none."""
    clear: float = 1.5
    """Factor by which any other minimum along the line must fit worse."""
    worth: float = 2.0
    """A search is worth while if its variance will be less than this times what is known."""
    floor: float = 0.01
    """Least standard deviation of log depth: views in a row err alike."""


PATTERN = (-2.0, -1.0, 0.0, 1.0, 2.0)  # px along the epipolar line: five points, compared by their squared differences


class LogDepth(NamedTuple):
    """The logarithm of depth and its variance (D and U of the paper); a variance of inf: nothing known."""

    log: Float[Tensor, "1 1 h w"]
    variance: Float[Tensor, "1 1 h w"]


def fused(known: LogDepth, measured: LogDepth) -> LogDepth:
    """The mean weighted by inverse variance, where something was measured: D = (U' D + U D') / (U + U'),
    U = U U' / (U + U')."""
    share = torch.where(measured.variance.isfinite(), known.variance / (known.variance + measured.variance), 0)
    log = known.log + share * torch.where(share > 0, measured.log - known.log, 0)
    return LogDepth(log, known.variance * (1 - share))


def refine(
    key: Float[Tensor, "1 1 h w"], known: LogDepth, view: Float[Tensor, "1 1 h w"], K: Float[Tensor, "3 3"],
    T_view_key: Float[Tensor, "4 4"], config: Config,
) -> LogDepth:
    """What is known of a key frame's depth after one more view of it. Pixels without contrast along their epipolar line
    keep what they have; the variance never grows."""
    better = fused(known, measure(key, known, view, K, T_view_key, config))
    return better._replace(variance=torch.maximum(better.variance, known.variance.clamp(max=config.floor**2)))


def measure(
    key: Float[Tensor, "1 1 h w"], known: LogDepth, view: Float[Tensor, "1 1 h w"], K: Float[Tensor, "3 3"],
    T_view_key: Float[Tensor, "4 4"], config: Config,
) -> LogDepth:
    """What one view says of a key frame's depth, and the variance of that from contrast and baseline."""
    along, contrast = _along(key, K, T_view_key)
    cloud = transform(T_view_key[None], unproject(known.log.exp(), K[None]))
    px = sensitivity(cloud, T_view_key[None], K[None])  # per unit of log depth
    steepness = (slope(key).norm(dim=1, keepdim=True) / contrast).square()
    variance = (config.off_line**2 * steepness + 2 * config.noise**2 / contrast.square()) / px.square()
    tried = (contrast > config.contrast) & (variance < config.worth * known.variance) & (cloud[:, 2:] > 0)
    found, log = _search(key, known, view, K, T_view_key, along, px, tried, config)
    nothing = torch.full_like(known.variance, torch.inf)
    return LogDepth(known.log.masked_scatter(tried, log), nothing.masked_scatter(
        tried, torch.where(found, variance[tried], torch.inf)))


def _along(
    key: Float[Tensor, "1 1 h w"], K: Float[Tensor, "3 3"], T_view_key: Float[Tensor, "4 4"]
) -> tuple[Float[Tensor, "1 2 h w"], Float[Tensor, "1 1 h w"]]:
    """The direction of every pixel's epipolar line in the key frame, and how much grey changes along it (> 0)."""
    epipole = K @ se3_inverse(T_view_key)[:3, 3]
    rays = unproject(torch.ones_like(key), torch.eye(3).to(K)[None])  # u, v, 1
    line = epipole[:2, None, None] - epipole[2] * rays[:, :2]
    line = line / line.norm(dim=1, keepdim=True).clamp(min=1e-9)
    return line, (slope(key) * line).sum(1, keepdim=True).abs().clamp(min=1e-6)


def _search(
    key: Tensor, known: LogDepth, view: Tensor, K: Tensor, T_view_key: Tensor, along: Tensor, px: Tensor, tried: Tensor,
    config: Config,
) -> tuple[Bool[Tensor, "n"], Float[Tensor, "n"]]:
    """Of the pixels that are tried: which were found, and their log depth. Five points of the key frame along the line
    are compared with where they lie in the view at every depth within two standard deviations."""
    v, u = tried[0, 0].nonzero().unbind(1)
    at = torch.stack([u, v], 1).to(key)[:, None] + torch.tensor(PATTERN).to(key)[:, None] * along[0][:, v, u].T[:, None]
    prior, per_log = known.log[tried], px[tried]
    half = (2 * known.variance[tried].sqrt() * per_log).clamp(1.5, config.reach) / per_log
    offset = half[:, None] * torch.linspace(-1, 1, config.steps).to(half)
    depth = (prior[:, None] + offset).exp()
    grey, within = sample(key, at.movedim(-1, 0)[None])  # [1 1 n 5]
    rays = torch.cat([(at - K[:2, 2]) / K.diagonal()[:2], torch.ones_like(at[..., :1])], -1)
    moved = depth[:, :, None, None] * (rays @ T_view_key[:3, :3].mT)[:, None] + T_view_key[:3, 3]  # [n steps 5 3]
    z = moved[..., 2].clamp(min=1e-3)
    places = moved[..., :2] / z[..., None] * K.diagonal()[:2] + K[:2, 2]
    seen, inside = sample(view, places.flatten(1, 2).movedim(-1, 0)[None])
    shape = (len(u), config.steps, len(PATTERN))
    difference = seen[0, 0].reshape(shape) - grey[0, 0][:, None]
    visible = inside[0, 0].reshape(shape).all(-1) & (moved[..., 2] > 1e-3).all(-1) & within[0, 0].all(-1)[:, None]
    cost = torch.where(visible, difference.square().mean(-1), torch.inf)
    return _least(cost, prior, offset, config)


def _least(
    cost: Float[Tensor, "n s"], prior: Float[Tensor, "n"], offset: Float[Tensor, "n s"], config: Config
) -> tuple[Bool[Tensor, "n"], Float[Tensor, "n"]]:
    """The place that fits best, between the steps by a parabola, and whether it is a clear minimum within the line."""
    best, where = cost.min(1)
    apart = (torch.arange(cost.shape[1], device=cost.device) - where[:, None]).abs()
    beside = F.pad(cost, (1, 1), value=torch.inf)
    rival = (cost <= beside[:, :-2]) & (cost <= beside[:, 2:]) & (apart > 2)
    other = torch.where(rival, cost, torch.inf).amin(1)
    inner = (where > 0) & (where < cost.shape[1] - 1)
    middle = where.clamp(1, cost.shape[1] - 2)[:, None]
    left, right = cost.gather(1, middle - 1)[:, 0], cost.gather(1, middle + 1)[:, 0]
    bend = left - 2 * best + right
    found = (best < config.misfit**2) & (other > config.clear * (best + config.noise**2)) & inner & bend.isfinite()
    found = found & (bend > 0)
    shift = torch.where(found, (left - right) / torch.where(found, 2 * bend, 1), 0)
    step = offset[:, 1] - offset[:, 0]
    return found, prior + offset.gather(1, where[:, None])[:, 0] + shift * step
