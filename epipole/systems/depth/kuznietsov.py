"""Depth of a single image from sparse depth and stereo pairs together (Kuznietsov, Stueckler, Leibe, CVPR 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...engine.system import System
from ...geometry.pyramid import gaussian_blur
from ...geometry.warp import flow_warp
from ...losses.photometric import masked_mean
from ...losses.robust import berhu
from ...losses.smooth import edge_aware
from ...nets.convolution import BatchNorm
from ...nets.resnet import Depth as Layers
from ...nets.resnet import ResNet
from ...nets.upprojection import UpProjection
from ...types.pairs import rectified_pair
from ...types.predictions import Depth
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """Weights of the terms and their forms; the published code holds no training, so all of them are open to change."""

    layers: Layers = 50         # of the encoder
    channels: int = 1024        # between encoder and decoder; each of the four up-projections halves them
    supervised: float = 1.0     # beta, the weight of the sparse depth once training is well under way
    ramp: float = 10.0          # steps; at step t the sparse depth has the weight beta exp(-ramp / t)
    photometric: float = 1.0    # gamma
    smoothness: float = 0.01    # weight of the regulariser
    edge: float = 1.0           # eta, contrast at which smoothness gives way
    blur: float = 1.0           # px, standard deviation of the Gaussian that smooths images before they are compared
    share: float = 0.2          # c of the berHu loss, as a share of the largest error in the batch
    farthest: float = 100.0     # m


PRESETS = {
    "paper": Config(),
    "small": Config(layers=18, channels=192, ramp=0.0),     # 13.4 M weights
}


class SkipUpProjectionNet(nn.Module):
    """Images to inverse depth, 1/m and above 1 / farthest, at half the size (rounded up).

    The encoder's residual blocks are the paper's: of type 1 where they add their input, of type 2 where they add a
    projection of it. After each of the first three up-projections the encoder's features of that size are appended.
    """

    def __init__(self, layers: Layers, channels: int, farthest: float):
        super().__init__()
        self.encoder, self.least = ResNet(layers), 1 / farthest
        *_, bottom = self.encoder.channels
        skips = [0, *self.encoder.channels[-2:0:-1]]
        self.bridge = nn.Sequential(nn.Conv2d(bottom, channels, 1, bias=False), BatchNorm(channels))
        self.decoder = nn.ModuleList(
            UpProjection((channels >> i) + skip, channels >> i + 1) for i, skip in enumerate(skips))
        self.last = nn.Conv2d(channels >> 4, 1, 3, padding=1)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 y x"]:
        stem, *skips, bottom = self.encoder((image - 0.45) / 0.225)
        x = self.decoder[0](self.bridge(bottom))
        for up, skip in zip(self.decoder[1:], reversed(skips), strict=True):
            x = up(torch.cat([cropped(x, skip.shape[-2:]), skip], 1))
        return F.softplus(cropped(self.last(x), stem.shape[-2:]).float()) + self.least


class Kuznietsov(System):
    """Metric depth of single images, learned from pairs: from depth where it is known, a few pixels, and elsewhere from
    what the other camera sees. Depth is read in training alone."""

    paper = "https://arxiv.org/abs/1702.02706"
    needs = frozenset({"image", "K", "baseline", "depth", "depth_valid"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = SkipUpProjectionNet(config.layers, config.channels, config.farthest)
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros(()))  # of training, which the ramp follows

    def forward(self, views: Views) -> Depth:
        """Depth (m) of every view."""
        rho = self.inverse_depth(views.image.flatten(0, 1))
        return Depth(depth=1 / rho.unflatten(0, views.image.shape[:2]))

    def inverse_depth(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """The network's map (1/m), resized bilinearly to the image."""
        return F.interpolate(self.net(image), image.shape[-2:], mode="bilinear", align_corners=False)

    def loss(self, views: Views) -> dict[str, Tensor]:
        """L = lambda_t E_S + gamma E_U + E_R, with lambda_t = beta exp(-ramp / t) at step t of training.

        Raises InputError for what is no rectified pair.
        """
        rectified_pair(views, "kuznietsov")
        if self.training:
            self.steps += 1
        rho = self.inverse_depth(views.image.flatten(0, 1)).unflatten(0, views.image.shape[:2])
        gain = views.K[..., 0, 0] * views.baseline
        terms = self.objective(views.image, gain, rho, views.depth, views.depth_valid)
        return terms | {"supervised": torch.exp(-self.config.ramp / self.steps.clamp(min=1)) * terms["supervised"]}

    def objective(
        self, image: Float[Tensor, "b 2 3 h w"], gain: Float[Tensor, "b 2"], rho: Float[Tensor, "b 2 1 h w"],
        depth: Float[Tensor, "b 2 1 h w"], valid: Bool[Tensor, "b 2 1 h w"],
    ) -> dict[str, Tensor]:
        """The loss for given inverse depth (1/m) of the left and the right view, without the ramp; `gain` is focal
        length times baseline (px m), so that gain * rho is disparity."""
        c = self.config
        E_S = 2 * masked_mean(berhu(1 / rho - depth, valid, c.share), valid)   # the mean over each view
        smooth = gaussian_blur(image.flatten(0, 1), c.blur).unflatten(0, image.shape[:2])
        E_U, E_R = [], []
        for here, sign in ((0, -1), (1, 1)):
            shift = sign * gain[:, here, None, None, None] * rho[:, here]
            synthetic, seen = flow_warp(smooth[:, 1 - here], torch.cat([shift, torch.zeros_like(shift)], 1))
            error = (synthetic - smooth[:, here]).abs()
            E_U.append(masked_mean(error, seen & ~valid[:, here]))
            E_R += [m.mean() for m in edge_aware(rho[:, here], c.edge * image[:, here])]
        return {"supervised": c.supervised * E_S, "photometric": c.photometric * torch.stack(E_U).sum(),
                "smoothness": c.smoothness * torch.stack(E_R).sum()}


def cropped(x: Float[Tensor, "b c _ _"], size: Sequence[int]) -> Float[Tensor, "b c y x"]:
    """The upper left part of this size: a map that was rounded up keeps its place."""
    return x[..., : size[0], : size[1]]
