"""Depth of single images, taught by stereo pairs and left-right consistency (Godard, Mac Aodha, Brostow, CVPR 2017)."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ...engine.system import System
from ...geometry.pyramid import area_means
from ...geometry.rectified import depth_of_disparity, disparity_flow
from ...geometry.warp import flow_warp
from ...losses.photometric import erode, masked_mean
from ...losses.smooth import edge_aware
from ...losses.ssim import dssim
from ...losses.stereo import left_right
from ...nets.jitter import coin, gamma_brightness_colour
from ...nets.monodepth import ResNetDisparity, VggDisparity
from ...types.errors import InputError
from ...types.pairs import rectified_pair
from ...types.predictions import Depth
from ...types.views import Views

NETS = {"vgg": VggDisparity, "resnet50": ResNetDisparity}
SMALLEST = 17    # px along a side with which the coarsest scale has the 3 that SSIM takes
LEAST = 1e-4     # share of the width below which no disparity is read as depth


@dataclass(frozen=True)
class Config:
    """The paper's numbers."""

    encoder: Literal["vgg", "resnet50"] = "vgg"
    width: float = 1.0                # share of the paper's channels
    most: float = 0.3                 # d_max, share of the image's width
    appearance: float = 1.0           # alpha_ap
    ssim: float = 0.85                # alpha; the rest is L1
    smoothness: float = 0.1           # alpha_ds; scale s is weighted by 1 / 2^s
    left_right: float = 1.0           # alpha_lr
    augment: bool = True              # mirror half the pairs, which swaps the views, and change colours of half
    post_process: bool = False        # predict from the image and its mirror image


PRESETS = {
    "paper": Config(),
    "resnet50": Config(encoder="resnet50", post_process=True),
    "small": Config(width=0.25),      # 2.0 M weights
}


class Monodepth(System):
    """One network sees the left image alone and gives the disparities of both views, as shares of the image's width;
    each view is synthesised from the other by its own disparity. Depth is metric by the rig's baseline."""

    paper = "https://arxiv.org/abs/1609.03677"
    needs = frozenset({"image", "baseline"})
    reads = frozenset({"image", "K", "baseline"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = NETS[config.encoder](config.width)

    def disparities(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 2 _ _"]]:
        """d^l and d^r at four scales, the finest first, shares of the width."""
        return [self.config.most * d for d in self.net(image)]

    def forward(self, views: Views) -> Depth:
        """Depth (m) of every view, each seen as a left image: f baseline / disparity."""
        image = views.image.flatten(0, 1)
        disparity = self.disparities(image)[0][:, :1]
        if self.config.post_process:
            mirrored = self.disparities(image.flip(-1))[0][:, :1].flip(-1)
            disparity = post_processed(disparity, mirrored)
        px = disparity.clamp(min=LEAST).unflatten(0, views.image.shape[:2]) * image.shape[-1]
        return Depth(depth=depth_of_disparity(px, views.K, views.baseline))

    def loss(self, views: Views) -> dict[str, Tensor]:
        """C = sum over scales s of alpha_ap C_ap^s + alpha_ds C_ds^s + alpha_lr C_lr^s   (eq. 1, 5).

        Raises InputError for what is no rectified pair, and for images too small to have four scales.
        """
        left, right = rectified_pair(views, "monodepth")
        if min(left.shape[-2:]) < SMALLEST:
            raise InputError(f"monodepth learns from images of at least {SMALLEST} pixels along each side: "
                             "give larger ones")
        if self.config.augment and self.training:
            left, right = augmented(left, right)
        return self.objective(left, right, self.disparities(left))

    def objective(
        self,
        left: Float[Tensor, "b 3 h w"],
        right: Float[Tensor, "b 3 h w"],
        disparities: list[Float[Tensor, "b 2 _ _"]],
    ) -> dict[str, Tensor]:
        """The loss for given disparities (shares of the width). What falls out of view does not count."""
        c = self.config
        C_ap, C_ds, C_lr = ([] for _ in range(3))
        for s, d in enumerate(disparities):
            I_l, I_r = (area_means(I, d.shape[-2:]) for I in (left, right))
            d_l, d_r = d.split(1, 1)
            w = d.shape[-1]
            for I, other, shift in ((I_l, I_r, d_l), (I_r, I_l, -d_r)):
                synthetic, seen = flow_warp(other, disparity_flow(w * shift))
                C_ap.append(c.appearance * (c.ssim * masked_mean(dssim(synthetic, I), erode(seen))          # eq. 2
                                            + (1 - c.ssim) * masked_mean((synthetic - I).abs(), seen)))
            C_ds += [c.smoothness / 2**s * m.mean()                                                         # eq. 3
                     for d_k, I in ((d_l, I_l), (d_r, I_r)) for m in edge_aware(d_k, I)]
            C_lr += [c.left_right / w * masked_mean(m, seen) for m, seen in left_right(w * d_l, w * d_r)]   # eq. 4
        terms = {"appearance": C_ap, "smoothness": C_ds, "left_right": C_lr}
        return {name: torch.stack(values).sum() for name, values in terms.items()}


def augmented(
    left: Float[Tensor, "b 3 h w"], right: Float[Tensor, "b 3 h w"]
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]]:
    """Half the pairs mirrored, which makes the right view the left one; colours changed alike in both."""
    pair = torch.stack([left, right], 1)
    pair = torch.where(coin(pair), pair.flip(1, -1), pair)
    changed = gamma_brightness_colour(pair)
    return changed[:, 0], changed[:, 1]


def post_processed(
    disparity: Float[Tensor, "*b h w"], mirrored: Float[Tensor, "*b h w"]
) -> Float[Tensor, "*b h w"]:
    """The disparity of an image and that of its mirror image, mirrored back, joined (section 4.2): on the left edge,
    where an occlusion leaves a ramp in the first, the second; on the right edge the first; between them their mean."""
    x = torch.linspace(0, 1, disparity.shape[-1]).to(disparity)
    at_left = 1 - (20 * (x - 0.05)).clamp(0, 1)
    at_right = at_left.flip(-1)
    return at_left * mirrored + at_right * disparity + (1 - at_left - at_right) * (disparity + mirrored) / 2
