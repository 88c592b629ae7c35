"""Depth of single images from stereo pairs alone, the first of its kind: an auto-encoder whose decoder is the warp
(Garg, Vijay Kumar, Carneiro, Reid, ECCV 2016)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...engine.system import Stages, System
from ...geometry.pyramid import area_means
from ...geometry.rectified import depth_of_disparity, disparity_flow, linearised_warp
from ...geometry.warp import flow_warp
from ...losses.photometric import masked_mean
from ...nets.alexnet import CoarseToFine
from ...types.pairs import rectified_pair
from ...types.predictions import Depth
from ...types.views import Views

LEAST = 1e-3     # share of the width below which no disparity is read as depth


@dataclass(frozen=True)
class Config:
    """The paper's numbers; what it leaves open is marked [ours]."""

    width: float = 1.0              # share of the network's channels
    smoothness: float = 0.01        # gamma; images in [0, 1], disparity in px of its level
    linearised: bool = True         # warp by its Taylor series, as the paper; else by bilinear look-up, as all since
    start: float = 0.02             # disparity before training, share of the width [ours]


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25),    # 1.3 M weights
}


class Garg(System):
    """One network sees the left image and gives its disparity, coarse to fine; the right image, warped by it, must
    give the left one back. Depth is metric by the rig's baseline."""

    paper = "https://arxiv.org/abs/1603.04992"
    needs = frozenset({"image", "baseline"})
    reads = frozenset({"image", "K", "baseline"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = CoarseToFine(config.width, config.start)

    def forward(self, views: Views) -> Depth:
        """Depth (m) of every view, each seen as a left image: f baseline / disparity."""
        share = self.net(views.image.flatten(0, 1))[0].float()
        share = F.interpolate(share, views.image.shape[-2:], mode="bilinear", align_corners=False)
        px = share.clamp(min=LEAST).unflatten(0, views.image.shape[:2]) * views.image.shape[-1]
        return Depth(depth=depth_of_disparity(px, views.K, views.baseline))

    def loss(self, views: Views) -> dict[str, Tensor]:
        """E of all levels together, the coarse ones leading the fine. The paper adds one level after the other, see
        `stages`. Raises InputError for what is no rectified pair."""
        return self.loss_down_to(0)(views)

    def stages(self) -> Stages:
        """From the coarsest level on, which is 1/32 of the image, each stage adds the next finer one."""
        return {f"level{k}": (("net",), self.loss_down_to(k)) for k in (3, 2, 1, 0)}

    def loss_down_to(self, level: int) -> Callable[[Views], dict[str, Tensor]]:
        """The loss of a stage: E of the levels from the coarsest to this one (0 is the finest, 1/4 of the image)."""

        def loss(views: Views) -> dict[str, Tensor]:
            left, right = rectified_pair(views, "Garg's system")
            return self.objective(left, right, [d.float() for d in self.net(left)[level:]])

        return loss

    def objective(
        self,
        left: Float[Tensor, "b 3 h w"],
        right: Float[Tensor, "b 3 h w"],
        disparities: list[Float[Tensor, "b 1 _ _"]],
    ) -> dict[str, Tensor]:
        """E = |I_2(x - D) - I_1(x)|^2 + gamma |grad D|^2, means over the pixels (eq. 1-3), for disparities as shares of
        the width; I_1 is the left image. What falls out of view does not count."""
        warp = linearised_warp if self.config.linearised else bilinear_warp
        E_recons, E_smooth = ([] for _ in range(2))
        for share in disparities:
            I_1, I_2 = (area_means(I, share.shape[-2:]) for I in (left, right))
            D = share * share.shape[-1]
            synthetic, seen = warp(I_2, D)
            E_recons.append(masked_mean((synthetic - I_1).square().sum(1, keepdim=True), seen))
            E_smooth += [self.config.smoothness * slope.square().sum() / D.numel()
                         for slope in (D.diff(dim=-1), D.diff(dim=-2))]
        return {"reconstruction": torch.stack(E_recons).sum(), "smoothness": torch.stack(E_smooth).sum()}


def bilinear_warp(right: Float[Tensor, "b c h w"], disparity: Float[Tensor, "b 1 h w"]) -> tuple[Tensor, Tensor]:
    """The left view from the right one, and where the look-up falls inside."""
    return flow_warp(right, disparity_flow(disparity))
