"""Depth from focus: from a stack of images of one scene, each focused elsewhere (Hazirbas et al., ACCV 2018)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...engine.system import System
from ...losses.photometric import masked_mean
from ...nets.ddff import MULTIPLE, SliceNet
from ...nets.flownet import padded
from ...types.errors import InputError
from ...types.predictions import Depth
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """The paper's numbers."""

    slices: int = 10                    # of a stack
    skips: tuple[int, ...] = (3,)       # stages whose features reach the decoder: 1, 2, 3 for CC1, CC2, CC3
    width: float = 1.0                  # share of VGG-16's channels
    dropout: float = 0.5
    farthest: float = 50.0              # m, where disparity, which is 1 / depth here, counts as too small


PRESETS = {
    "paper": Config(),
    "cc1": Config(skips=(1,)),
    "cc2": Config(skips=(2,)),
    "small": Config(slices=5, width=0.125, dropout=0.1, farthest=20.0),     # 0.6 M weights
}


class Ddff(System):
    """Metric depth from focal stacks: views from one place that differ in the distance of focus. One network scores
    every slice by itself, and a weight for each slice, the nearest focus first, makes disparity of the scores.

    It learns the distances at which stacks are focused with the rest: give it stacks of the same ones.
    """

    paper = "https://arxiv.org/abs/1704.01085"
    needs = frozenset({"image", "focus", "depth", "depth_valid"})
    reads = frozenset({"image", "focus"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = SliceNet(config.skips, config.width, config.dropout)
        self.fuse = nn.Conv2d(config.slices, 1, 1, bias=False)
        falling = torch.arange(config.slices, 0, -1.0)  # as disparity does; from random weights it hardly learns
        self.fuse.weight.data.copy_((falling / falling.sum())[:, None, None])

    def forward(self, views: Views) -> Depth:
        """Depth (m), the same for every slice."""
        depth = 1 / self.disparity(views).clamp(min=1 / self.config.farthest)
        return Depth(depth=depth[:, None].expand(-1, views.image.shape[1], -1, -1, -1))

    def disparity(self, views: Views) -> Float[Tensor, "b 1 h w"]:
        """1 / depth (1/m) from the slices, in whatever order they come.

        Raises InputError for anything but stacks of as many colour images as the network was made for.
        """
        image, shape = views.image, list(views.image.shape)
        if len(shape) != 5 or shape[1:3] != [self.config.slices, 3]:
            raise InputError(f"DDFF was made for focal stacks [scenes, {self.config.slices}, 3, height, width], not "
                             f"{shape}: give such stacks, or set its slices to their number")
        nearest_first = views.focus.argsort(1)
        image = image[torch.arange(len(image), device=image.device)[:, None], nearest_first]
        score = self.net((padded(image.flatten(0, 1), MULTIPLE) - 0.45) / 0.225)[..., : shape[3], : shape[4]]
        return self.fuse(score.unflatten(0, shape[:2])[:, :, 0]).float()

    def loss(self, views: Views) -> dict[str, Tensor]:
        """The squared error of disparity; the slices show one scene, and the first one's depth is its truth."""
        return {"disparity": self.objective(self.disparity(views), views.depth[:, 0], views.depth_valid[:, 0])}

    def objective(
        self, disparity: Float[Tensor, "b 1 h w"], depth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]
    ) -> Float[Tensor, ""]:
        """mean (d - d*)^2 over the valid pixels; the paper's is the sum, which grows with the image."""
        return masked_mean((disparity - 1 / torch.where(valid, depth, 1)).square(), valid)
