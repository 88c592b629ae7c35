"""Depth of a single image by a coarse and a fine network, and the scale-invariant loss (Eigen, Puhrsch, Fergus, NIPS
2014)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ...engine.system import Stages, System
from ...geometry.pyramid import depth_level
from ...geometry.zoom import zoomed
from ...losses.depth import scale_invariant
from ...nets.jitter import draw
from ...nets.two_scales import Coarse, Fine
from ...types.predictions import Depth
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """The paper's numbers for NYU. The size is what the networks see; images of any size are resized to it."""

    height: int = 228
    width: int = 304
    channels: tuple[int, ...] = (96, 256, 384, 384, 256)  # of the coarse network's convolutions
    hidden: int = 4096              # of its fully connected layer
    edges: int = 63                 # of the fine network's first layer; the coarse map is one more
    fine: int = 64                  # of its second one
    dropout: float = 0.5            # after the fully connected layer
    balance: float = 0.5            # lambda: 0 is the squared error of logs, 1 does not see the scale
    augment: bool = True            # scale, turn, cut, recolour and mirror what is learned from


PRESETS = {
    "paper": Config(),
    "small": Config(height=114, width=152, channels=(24, 64, 96, 96, 64), hidden=512, edges=31, fine=32),  # 1.0 M
}


class Eigen(System):
    """Metric depth of single images, learned from true depth."""

    paper = "https://arxiv.org/abs/1406.2283"
    needs = frozenset({"image", "depth", "depth_valid"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        c = self.config = config
        self.coarse = Coarse(c.height, c.width, c.channels, c.hidden, c.dropout)
        self.fine = Fine(c.edges, c.fine)

    def forward(self, views: Views) -> Depth:
        """Depth (m) of every view: the fine network's map, resized bilinearly to the image."""
        image = self.resized(views.image.flatten(0, 1))
        log_depth = F.interpolate(self.fine(image, self.coarse(image)).float(), views.image.shape[-2:], mode="bilinear")
        return Depth(depth=log_depth.exp().unflatten(0, views.image.shape[:2]))

    def resized(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 y x"]:
        """Images at the size that the networks see."""
        return F.interpolate(image, (self.config.height, self.config.width), mode="bilinear", antialias=True)

    def loss(self, views: Views) -> dict[str, Tensor]:
        """Both stages at once: each network has the loss of its own map, and the fine one's does not reach the coarse.
        The paper trains one after the other, see `stages`."""
        image, *truth = self.learned_from(views)
        coarse = self.coarse(image)
        fine = self.fine(image, coarse.detach())
        return {"coarse": self.objective(coarse, *truth), "fine": self.objective(fine, *truth)}

    def stages(self) -> Stages:
        """First the coarse network, then the fine one beside it."""
        return {"coarse": (("coarse",), self.coarse_loss), "fine": (("fine",), self.fine_loss)}

    def coarse_loss(self, views: Views) -> dict[str, Tensor]:
        """The first stage's: of the coarse network alone."""
        image, *truth = self.learned_from(views)
        return {"coarse": self.objective(self.coarse(image), *truth)}

    def fine_loss(self, views: Views) -> dict[str, Tensor]:
        """The second stage's: of the fine network, while the coarse one stays as it is."""
        image, *truth = self.learned_from(views)
        with torch.no_grad():
            coarse = self.coarse(image)
        return {"fine": self.objective(self.fine(image, coarse), *truth)}

    def objective(
        self, log_depth: Float[Tensor, "b 1 y x"], depth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> Float[Tensor, ""]:
        """L = mean d^2 - lambda (mean d)^2 of d = log y - log y* over the known pixels (eq. 4), mean over images."""
        truth = depth_level(depth, valid, log_depth.shape[-2:])
        return scale_invariant(log_depth.float().exp(), *truth, self.config.balance).mean()

    def learned_from(
        self, views: Views
    ) -> tuple[Float[Tensor, "b 3 y x"], Float[Tensor, "b 1 h w"], Bool[Tensor, "b 1 h w"]]:
        """Images at the networks' size, and the truth, changed at random while training."""
        image, depth, valid = (x.flatten(0, 1) for x in (views.image, views.depth, views.depth_valid))
        if self.config.augment and self.training:
            image, depth, valid = augmented(image, depth, valid)
        return self.resized(image), depth, valid


def augmented(
    image: Float[Tensor, "b 3 h w"], depth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"], Bool[Tensor, "b 1 h w"]]:
    """Section 3.3: scale s in [1, 1.5] and depth / s, turn by up to 5 degrees, cut out at random, colours times
    [0.8, 1.2] each, mirror half."""
    scale, angle, across, down, side = (
        torch.empty(len(image)).uniform_(low, high).to(image)
        for low, high in ((1.0, 1.5), (-math.radians(5), math.radians(5)), (-0.5, 0.5), (-0.5, 0.5), (-1.0, 1.0))
    )
    room = torch.stack([across * image.shape[-1], down * image.shape[-2]], 1) * (scale - 1)[:, None]
    image, depth, valid = zoomed(image, depth, valid, scale, angle, room, side > 0)
    return (image * draw(image[:, None], 0.8, 1.2, 3)[:, 0]).clamp(0, 1), depth, valid
