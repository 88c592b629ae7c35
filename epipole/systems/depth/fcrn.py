"""Depth of a single image by a residual network that up-projects (Laina, Rupprecht, Belagiannis, Tombari, Navab, 3DV
2016)."""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...engine.system import System
from ...geometry.pyramid import depth_level
from ...losses.photometric import masked_mean
from ...losses.robust import berhu
from ...nets.convolution import BatchNorm
from ...nets.resnet import Depth as Layers
from ...nets.resnet import ResNet
from ...nets.upprojection import UpProjection
from ...types.predictions import Depth
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """The paper's numbers; its images are 304 x 228 and its maps 160 x 128 pixels."""

    layers: Layers = 50         # of the encoder
    channels: int = 1024        # between encoder and decoder; each of the four up-projections halves them
    dropout: float = 0.5        # share of the last features that a training step does not see
    share: float = 0.2          # c of the berHu loss, as a share of the largest error in the batch
    start: float = 1.0          # m, around which predictions begin (ours)
    nearest: float = 0.01       # m; a prediction is at least that: the last layer is linear


PRESETS = {
    "paper": Config(),
    "small": Config(layers=18, channels=192, dropout=0.0),  # 12.6 M weights
}


class UpProjectionNet(nn.Module):
    """Images to one map of 16/32 of the size, sides rounded up to multiples of 16; 63.6 M weights in the paper."""

    def __init__(self, layers: Layers, channels: int, dropout: float, start: float):
        super().__init__()
        self.encoder = ResNet(layers)
        self.bridge = nn.Sequential(nn.Conv2d(self.encoder.channels[-1], channels, 1, bias=False), BatchNorm(channels))
        self.decoder = nn.Sequential(*(UpProjection(channels >> i, channels >> i + 1) for i in range(4)))
        last = nn.Conv2d(channels >> 4, 1, 3, padding=1)
        nn.init.constant_(last.bias, start)  # type: ignore[arg-type]
        self.last = nn.Sequential(nn.Dropout(dropout), last)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 y x"]:
        return self.last(self.decoder(self.bridge(self.encoder((image - 0.45) / 0.225)[-1])))


class Fcrn(System):
    """Metric depth of single images, learned from true depth."""

    paper = "https://arxiv.org/abs/1606.00373"
    needs = frozenset({"image", "depth", "depth_valid"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = UpProjectionNet(config.layers, config.channels, config.dropout, config.start)

    def forward(self, views: Views) -> Depth:
        """Depth (m) of every view, the network's map resized bilinearly to the image."""
        depth = self.net(views.image.flatten(0, 1)).float()
        depth = F.interpolate(depth, views.image.shape[-2:], mode="bilinear", align_corners=False)
        return Depth(depth=depth.clamp(min=self.config.nearest).unflatten(0, views.image.shape[:2]))

    def loss(self, views: Views) -> dict[str, Tensor]:
        """The berHu loss on the network's own grid."""
        image, depth, valid = (x.flatten(0, 1) for x in (views.image, views.depth, views.depth_valid))
        predicted = self.net(image).float()
        return {"berhu": self.objective(predicted, *depth_level(depth, valid, predicted.shape[-2:]))}

    def objective(
        self, predicted: Float[Tensor, "b 1 h w"], depth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> Float[Tensor, ""]:
        """mean B(x), x = predicted - true depth: |x| up to c, (x^2 + c^2) / 2c above, with c a fifth of the largest |x|
        in the batch."""
        return masked_mean(berhu(predicted - depth, valid, self.config.share), valid)
