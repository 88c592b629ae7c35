"""Depth and ego-motion from unlabelled clips with what occlusion and standing still need (Godard, Mac Aodha, Firman,
Brostow, ICCV 2019): minimum reprojection, auto-masking, and all scales judged at full resolution."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...engine.system import System
from ...geometry.motion import se3, se3_inverse, so3_exp
from ...geometry.pyramid import pyramid_level
from ...geometry.warp import inverse_warp
from ...losses.smooth import edge_aware, mean_normalised
from ...losses.ssim import ssim_l1
from ...nets.depth_decoder import DepthDecoder, PoseDecoder
from ...nets.jitter import coin, colour_jitter
from ...nets.resnet import ResNet
from ...types.errors import InputError
from ...types.predictions import DepthAndMotion
from ...types.views import Views

SMALLEST = 17  # px along a side with which the coarsest scale has the 3 that derivatives take


@dataclass(frozen=True)
class Config:
    """The paper's numbers; those that only the authors' code tells are marked [code]."""

    width: float = 1.0              # share of the ResNet-18's and the depth decoder's channels
    nearest: float = 0.1            # of the depth that the network can say, in the path's unit
    farthest: float = 100.0
    ssim: float = 0.85              # alpha; the rest is L1
    smoothness: float = 1e-3        # lambda; scale s is weighted by 1 / 2^s [code]
    tie: float = 1e-5               # noise on the unwarped error, so that equal errors decide at random [code]
    minimum: bool = True            # over the sources, per pixel (eq. 4); else their mean
    auto_mask: bool = True          # a pixel that no warp explains better than no motion does not count (eq. 5)
    full_resolution: bool = True    # each scale's depth is resized to the image; else the image to the depth
    augment: bool = True            # mirror half the clips; the networks see half the clips in other colours


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25),    # 2.8 M weights
}


class DepthNet(nn.Module):
    """Image to sigmoid maps at four scales, the finest first; 14,329,236 weights at width 1."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.encoder = ResNet(18, width=width)
        self.decoder = DepthDecoder(self.encoder.channels, width=width)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 1 _ _"]]:
        return self.decoder(self.encoder(normalised(image)), image.shape[-2:])


class PairNet(nn.Module):
    """A pair in its order in time, stacked on its channels, to (rotation vector, translation) from the first frame to
    the second; 12,500,492 weights at width 1. A second motion comes out and is not used, as in the authors' code."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.encoder = ResNet(18, inputs=6, width=width)
        self.decoder = PoseDecoder(self.encoder.channels[-1], motions=2)

    def forward(self, pair: Float[Tensor, "b 6 h w"]) -> Float[Tensor, "b 6"]:
        return self.decoder(self.encoder(normalised(pair))[-1])[:, 0]


class Monodepth2(System):
    """A depth network and a network for the motion of a pair, taught by the synthesis of a clip's middle frame from
    its neighbours. Depth and motion share one unknown scale."""

    paper = "https://arxiv.org/abs/1806.01260"
    needs = frozenset({"image", "K"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.depth_net = DepthNet(config.width)
        self.pair_net = PairNet(config.width)

    def forward(self, views: Views) -> DepthAndMotion:
        """Depth of every view and the path of the clip, of any length; of a single view, depth alone."""
        image = views.image
        depth = 1 / self.disparity(self.depth_net(image.flatten(0, 1))[0]).unflatten(0, image.shape[:2])
        path = [torch.eye(4).to(depth).expand(len(depth), 4, 4)]
        for first, second in zip(image.unbind(1), image.unbind(1)[1:], strict=False):
            path.append(path[-1] @ se3_inverse(self.motion(first, second)))
        path_known = {"T_first_camera": torch.stack(path, 1)} if len(path) > 1 else {}
        return DepthAndMotion(depth=depth, **path_known)

    def disparity(self, sigma: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Inverse depth, 1 / farthest to 1 / nearest, for a sigmoid map (section 4)."""
        low, high = 1 / self.config.farthest, 1 / self.config.nearest
        return low + (high - low) * sigma

    def motion(self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 4 4"]:
        """T_second_first of two frames in their order in time."""
        vector = self.pair_net(torch.cat([first, second], 1))
        return se3(so3_exp(vector[:, :3]), vector[:, 3:])

    def loss(self, views: Views) -> dict[str, Tensor]:
        """L = mean over scales s of mu L_p + lambda / 2^s L_s   (section 3.3).

        Raises InputError for clips that are not of three frames, and for images too small to have four scales.
        """
        image, K = views.image, views.K
        if image.ndim != 5 or image.shape[1:3] != (3, 3) or min(image.shape[-2:]) < SMALLEST:
            raise InputError("monodepth2 learns from clips of 3 colour frames, at least "
                             f"{SMALLEST} pixels along each side, not from images {list(image.shape)}")
        seen = image
        if self.config.augment and self.training:
            image, K = mirrored(image, K)
            seen = colour_jitter(image)
        disparities = [self.disparity(sigma) for sigma in self.depth_net(seen[:, 1])]
        before, after = self.motion(seen[:, 0], seen[:, 1]), self.motion(seen[:, 1], seen[:, 2])
        return self.objective(image, K, disparities, torch.stack([se3_inverse(before), after], 1))

    def objective(
        self,
        image: Float[Tensor, "b 3 3 h w"],
        K: Float[Tensor, "b 3 3 3"],
        disparities: list[Float[Tensor, "b 1 _ _"]],
        T_source_target: Float[Tensor, "b 2 4 4"],
    ) -> dict[str, Tensor]:
        """The loss for given inverse depth of the middle frame, and motion from it to the first and the last."""
        c = self.config
        L_p, L_s = ([] for _ in range(2))
        for s, disparity in enumerate(disparities):
            I, K_s = pyramid_level(image, K, disparity.shape[-2:])
            smooth = edge_aware(mean_normalised(disparity), I[:, 1])
            L_s += [c.smoothness / 2**s / len(disparities) * m.mean() for m in smooth]
            if c.full_resolution:
                disparity = F.interpolate(disparity, image.shape[-2:], mode="bilinear", align_corners=False)
                I, K_s = image, K
            warped = [inverse_warp(I[:, j], 1 / disparity, T_source_target[:, k], K_s[:, 1], K_s[:, j])[0]
                      for k, j in enumerate((0, 2))]
            L_p.append(self.photometric(I, warped).mean() / len(disparities))
        return {"photometric": torch.stack(L_p).sum(), "smoothness": torch.stack(L_s).sum()}

    def photometric(
        self, image: Float[Tensor, "b 3 3 h w"], warped: list[Float[Tensor, "b 3 h w"]]
    ) -> Float[Tensor, "b 1 h w"]:
        """min over sources of pe(I_t, I_s->t), and of pe(I_t, I_s) where no motion explains more (eq. 3-5). Without a
        mask: beyond a source's border its last pixels stand in, and the minimum sorts them out."""
        c = self.config
        errors = torch.cat([ssim_l1(w, image[:, 1], c.ssim) for w in warped], 1)
        still = torch.cat([ssim_l1(image[:, j], image[:, 1], c.ssim) for j in (0, 2)], 1)
        errors, still = (e if c.minimum else e.mean(1, keepdim=True) for e in (errors, still))
        if c.auto_mask:
            errors = torch.cat([errors, still + c.tie * torch.randn_like(still)], 1)
        return errors.min(1, keepdim=True).values


def normalised(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Images in [0, 1] to about zero mean and unit variance."""
    return (image - 0.45) / 0.225


def mirrored(
    image: Float[Tensor, "b n 3 h w"], K: Float[Tensor, "b n 3 3"]
) -> tuple[Float[Tensor, "b n 3 h w"], Float[Tensor, "b n 3 3"]]:
    """Half the clips seen in a mirror, with the principal point that belongs to it."""
    heads, flipped = coin(image), K.clone()
    flipped[..., 0, 2] = image.shape[-1] - 1 - K[..., 0, 2]
    return torch.where(heads, image.flip(-1), image), torch.where(heads[..., 0], flipped, K)
