"""Depth of a single image as a choice among bins of log depth, smoothed by a fully connected random field (Cao, Wu,
Shen 2016)."""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ...engine.system import System
from ...geometry.pyramid import area_means, depth_level
from ...losses.classification import information_gain, undecided
from ...losses.photometric import masked_mean
from ...nets.crf import Crf, mean_field
from ...nets.resnet import Depth as Layers
from ...nets.resnet import ResNet
from ...types.predictions import Depth
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """The paper's numbers; of those marked [ours] it tells only that they were searched for."""

    layers: Layers = 101        # of the encoder; the paper has 152 too
    bins: int = 100             # of equal width in log depth; 50 for KITTI
    near: float = 0.7           # m, of the first bin
    far: float = 10.0           # m, of the last bin
    alpha: float = 0.2          # how fast a neighbouring bin's share of the credit falls
    threshold: float = 0.7      # pixels whose true bin has this probability teach no more [ours]
    crf: Crf = field(default_factory=Crf)   # of the map of 1/8 of the size [ours]


PRESETS = {
    "paper": Config(),
    "kitti": Config(layers=152, bins=50, near=1.0, far=80.0),
    "small": Config(layers=18, bins=50, near=0.2, far=20.0),    # 11.2 M weights
}


class BinNet(nn.Module):
    """Images to the logits of every bin at 1/8 of the size: the average pooling before the classifier is left out, and
    the classifier is a 1x1 convolution."""

    def __init__(self, layers: Layers, bins: int):
        super().__init__()
        self.encoder = ResNet(layers, dense=True)
        self.classify = nn.Conv2d(self.encoder.channels[-1], bins, 1)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b l y x"]:
        return self.classify(self.encoder((image - 0.45) / 0.225)[-1])


class Cao(System):
    """Metric depth of single images with its uncertainty, learned from true depth."""

    paper = "https://arxiv.org/abs/1605.02305"
    needs = frozenset({"image", "depth", "depth_valid"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = BinNet(config.layers, config.bins)

    def forward(self, views: Views) -> Depth:
        """Depth (m) of every view by the mean log depth of the bins, and its variance, both resized bilinearly to the
        image."""
        p = self.probability(views).flatten(0, 1)
        centre = self.centres(p)[:, None, None]
        mean = (p * centre).sum(1, keepdim=True)
        variance = (p * (centre - mean).square()).sum(1, keepdim=True) + self.width**2 / 12  # a bin's own comes on top
        maps = torch.cat([mean, variance], 1)
        maps = F.interpolate(maps, views.image.shape[-2:], mode="bilinear", align_corners=False)
        mean, variance = maps.unflatten(0, views.image.shape[:2]).split(1, 2)
        return Depth(depth=mean.exp(), log_variance=variance.log())

    def confidence(self, views: Views) -> Float[Tensor, "b n 1 y x"]:
        """The probability of the likeliest bin, at 1/8 of the size."""
        return self.probability(views).amax(2, keepdim=True)

    def probability(self, views: Views) -> Float[Tensor, "b n l y x"]:
        """Of every bin, after the random field, at 1/8 of the size."""
        image = views.image.flatten(0, 1)
        logits = self.net(image).float()
        seen = area_means(image, logits.shape[-2:])
        return mean_field(logits.log_softmax(1), seen, self.config.crf).exp().unflatten(0, views.image.shape[:2])

    def loss(self, views: Views) -> dict[str, Tensor]:
        """The information gain loss on the network's own grid."""
        image, depth, valid = (x.flatten(0, 1) for x in (views.image, views.depth, views.depth_valid))
        logits = self.net(image).float()
        depth, valid = depth_level(depth, valid, logits.shape[-2:])
        return {"information_gain": self.objective(logits, depth, valid)}

    def objective(
        self, logits: Float[Tensor, "b l h w"], depth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> Float[Tensor, ""]:
        """-(1/N) sum_i sum_D H(D*_i, D) log P(D | z_i) over the N pixels that are not yet decided, less the
        least that it can be, which makes 0 of a perfect answer and leaves the gradient as it is."""
        c, target = self.config, self.bin_of(torch.where(valid, depth, 1.0))
        perfect = -c.alpha * (target[:, None] - torch.arange(c.bins).to(logits)[:, None, None]).square()
        gain = information_gain(logits, target, c.alpha) - information_gain(perfect, target, c.alpha)
        return masked_mean(gain, valid[:, 0] & undecided(logits.detach(), target, c.threshold))

    def bin_of(self, depth: Float[Tensor, "b 1 h w"]) -> Int[Tensor, "b h w"]:
        """The bin whose centre is nearest in log depth; the first or last one for what lies beyond."""
        place = (depth[:, 0].clamp(min=1e-6).log() - self.centres(depth)[0]) / self.width
        return place.round().long().clamp(0, self.config.bins - 1)

    def centres(self, like: Tensor) -> Float[Tensor, "l"]:
        """Log depth of the bins' centres."""
        return math.log(self.config.near) + self.width * torch.arange(self.config.bins).to(like)

    @property
    def width(self) -> float:
        """Of a bin, in log depth."""
        return math.log(self.config.far / self.config.near) / (self.config.bins - 1)
