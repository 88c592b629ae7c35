"""Key frames with depth and its variance, and how one inherits from the one before: scale, doubt and depth (Tateno et
al., CNN-SLAM, CVPR 2017, section 3.3)."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.sample import sample
from ..geometry.warp import reproject
from .narrow_stereo import LogDepth, fused


@dataclass(frozen=True)
class Config:
    """Standard deviations are of log depth."""

    prior: float = 0.3
    """Of depth by the network where nothing else is known, and at most."""
    least: float = 0.05
    """Of depth by the network at least: where two predictions agree they may err alike."""
    propagation: float = 0.02
    """That depth gains when it is carried to another frame (sigma_p)."""
    hidden: float = 0.15
    """A surface that is nearer than a point by more than this, in log depth, hides it."""


class KeyFrame(NamedTuple):
    """Image, intrinsics, and depth with its variance (D_k and U_k of the paper)."""

    grey: Float[Tensor, "1 1 h w"]
    K: Float[Tensor, "3 3"]
    depth: LogDepth

    @property
    def typical(self) -> float:
        """Median depth."""
        return float(self.depth.log.median().exp())


def inherit(new: KeyFrame, key: KeyFrame, T_key_new: Float[Tensor, "4 4"], config: Config) -> KeyFrame:
    """A new key frame after the one before: its depth is brought to that one's scale, made unsure where both disagree,
    and joined with what that one knows."""
    new = matched_scale(new, key, T_key_new)
    return propagated(initial_variance(new, key, T_key_new, config), key, T_key_new, config)


class Seen(NamedTuple):
    """The pixels of a new frame in a key frame: by how much log depth of the key frame's surface is more than that of
    the pixel's point, z of that point, the surface's variance, and whether the point lies in the image."""

    farther: Float[Tensor, "1 1 h w"]
    z: Float[Tensor, "1 1 h w"]
    variance: Float[Tensor, "1 1 h w"]
    inside: Bool[Tensor, "1 1 h w"]


def seen_in(key: KeyFrame, new: KeyFrame, T_key_new: Float[Tensor, "4 4"]) -> Seen:
    """log D_key(v) - log z for every pixel of the new frame, v being where it lies in the key frame, z how deep."""
    v, z, front = reproject(new.depth.log.exp(), T_key_new[None], new.K[None], key.K[None])
    maps, inside = sample(torch.cat([key.depth.log, key.depth.variance], 1), v)
    z = z.clamp(min=1e-6)
    return Seen(maps[:, :1] - z.log(), z, maps[:, 1:], inside & front)


def relative_scale(new: KeyFrame, key: KeyFrame, T_key_new: Float[Tensor, "4 4"]) -> float:
    """What a unit of the new frame's depth is in units of the key frame's: the median over the pixels both see; 1
    where there are none. Scale changes where a pixel lies in the key frame, so a few rounds are made."""
    log_scale = 0.0
    for _ in range(4):
        scaled = new._replace(depth=new.depth._replace(log=new.depth.log + log_scale))
        seen = seen_in(key, scaled, T_key_new)
        if seen.inside.any():
            log_scale += float(seen.farther[seen.inside].median())
    return float(torch.tensor(log_scale).exp())


def matched_scale(new: KeyFrame, key: KeyFrame, T_key_new: Float[Tensor, "4 4"]) -> KeyFrame:
    """The new frame with its depth at the scale of the key frame's; what a network says of an image is deeper or less
    deep as a whole than what it says of the next."""
    scale = torch.tensor(relative_scale(new, key, T_key_new))
    return new._replace(depth=new.depth._replace(log=new.depth.log + scale.log()))


def initial_variance(new: KeyFrame, key: KeyFrame, T_key_new: Float[Tensor, "4 4"], config: Config) -> KeyFrame:
    """U_k(u) = (D_k(u) - D_j(v))^2 (eq. 4), between what the network says or may err at least and what it may at most:
    that two of its words agree does not make it surer than it is. Pixels that the key frame does not see, or whose
    place is hidden there, keep what the network says."""
    seen = seen_in(key, new, T_key_new)
    variance = torch.maximum(seen.farther.square(), new.depth.variance).clamp(config.least**2, config.prior**2)
    known = seen.inside & (seen.farther > -config.hidden)
    return new._replace(depth=new.depth._replace(variance=torch.where(known, variance, new.depth.variance)))


def propagated(new: KeyFrame, key: KeyFrame, T_key_new: Float[Tensor, "4 4"], config: Config) -> KeyFrame:
    """The new frame's depth met with the key frame's, whose variance becomes U~ = (D_j / D_k) U_j + sigma_p^2: of
    log depth, with the square of the ratio."""
    seen = seen_in(key, new, T_key_new)
    ratio = seen.z / new.depth.log.exp()
    known = seen.inside & (seen.farther > -config.hidden)
    carried = torch.where(known, ratio.square() * seen.variance + config.propagation**2, torch.inf)
    return new._replace(depth=met(new.depth, LogDepth(new.depth.log + seen.farther, carried)))


def met(own: LogDepth, carried: LogDepth) -> LogDepth:
    """The mean of a network's word and of what was carried to it, by inverse variance as in the paper, but no surer
    than the surer of both: the network spoke in both, and errs alike."""
    return fused(own, carried)._replace(variance=torch.minimum(own.variance, carried.variance))
