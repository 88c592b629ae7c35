"""Disparity from a learned cost volume by soft-argmin (GC-Net; Kendall et al., ICCV 2017)."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from ...engine.system import System
from ...geometry.costvolume import concatenation_volume, soft_argmin
from ...geometry.rectified import disparity_flow
from ...geometry.warp import flow_warp
from ...losses.photometric import erode, masked_mean
from ...losses.smooth import edge_aware
from ...losses.ssim import dssim
from ...nets.flownet import padded
from ...nets.gcnet import MULTIPLE, Hourglass, Tower
from ...types.errors import InputError
from ...types.pairs import rectified_pair, two_views
from ...types.predictions import Disparity
from ...types.views import Views

QUANTISED = 1 / 12  # px^2: variance within one step of disparity, what is left where the network is sure


@dataclass(frozen=True)
class Config:
    """The paper's numbers; the terms of learning without labels are those of Godard 2017."""

    disparities: int = 192          # candidates 0, 1, ... px; a multiple of 32
    channels: int = 32              # of the features
    units: int = 8                  # residual units of the tower
    ssim: float = 0.85              # reprojection: share of DSSIM, the rest is L1
    smoothness: float = 0.1         # reprojection: edge-aware, of disparity as a share of the candidates


PRESETS = {
    "paper": Config(),
    "medium": Config(disparities=96, channels=16, units=4),  # 0.7 M weights
    "small": Config(disparities=32, channels=8, units=4),    # 0.17 M weights; for images of some 100 to 200 px
}


class GCNet(System):
    """Features of both images by shared weights, concatenated at every disparity, regularised in 3-D; the disparity
    is the mean of the matching distribution, log_variance the logarithm of its variance (px^2).

    Images are padded to multiples of 32. Pixels whose truth lies beyond the candidates do not teach.
    """

    paper = "https://arxiv.org/abs/1703.04309"
    needs = frozenset({"image", "disparity"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        if config.disparities % MULTIPLE:
            raise InputError(f"GC-Net takes a multiple of {MULTIPLE} disparities, not {config.disparities}")
        self.config = config
        self.tower = Tower(config.channels, config.units)
        self.hourglass = Hourglass(config.channels)

    def forward(self, views: Views) -> Disparity:
        """Disparity (px) of the left image. Raises InputError for what is no pair of colour images."""
        mean, variance = soft_argmin(self.cost(*two_views(views, "GC-Net")))
        return Disparity(disparity=mean, log_variance=(variance + QUANTISED).log())

    def cost(self, left: Float[Tensor, "b 3 h w"], right: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d h w"]:
        """What the match of every left pixel with every candidate costs."""
        h, w = left.shape[-2:]
        one, two = (self.tower(2 * padded(image, MULTIPLE) - 1) for image in (left, right))
        volume = concatenation_volume(one, two, self.config.disparities // 2)
        return self.hourglass(volume)[..., :h, :w]

    def loss(self, views: Views) -> dict[str, Tensor]:
        """Mean of |d - d*| over the pixels whose disparity is known, hidden in the right image or not   (eq. 2)."""
        truth = views.disparity[:, 0]
        return {"disparity": self.supervised(self(views).disparity, truth, truth > 0)}

    def supervised(
        self, disparity: Float[Tensor, "b 1 h w"], truth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> Float[Tensor, ""]:
        """Eq. 2 for a given disparity; what is not valid may be NaN."""
        known = valid & (truth <= self.config.disparities - 1)
        return masked_mean((disparity - truth).abs(), known)


class GCNetByReprojection(GCNet):
    """The same network, taught without labels: the left image is synthesised from the right one by its disparity."""

    needs = frozenset({"image", "baseline"})

    def loss(self, views: Views) -> dict[str, Tensor]:
        """Appearance and edge-aware smoothness. Raises InputError for what is no rectified pair."""
        left, right = rectified_pair(views, "GC-Net")
        return self.unsupervised(left, right, self(views.keep(self.reads)).disparity)

    def unsupervised(
        self, left: Float[Tensor, "b 3 h w"], right: Float[Tensor, "b 3 h w"], disparity: Float[Tensor, "b 1 h w"]
    ) -> dict[str, Tensor]:
        """The loss for a given disparity. What falls out of view does not count."""
        c = self.config
        synthetic, seen = flow_warp(right, disparity_flow(disparity))
        dx, dy = edge_aware(disparity / c.disparities, left)
        return {
            "ssim": c.ssim * masked_mean(dssim(synthetic, left), erode(seen)),
            "colour": (1 - c.ssim) * masked_mean((synthetic - left).abs(), seen),
            "smoothness": c.smoothness * (dx.mean() + dy.mean()),
        }
