"""Depth and ego-motion from unlabelled clips with a 3-D loss (Mahjourian, Wicke, Angelova, CVPR 2018)."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ...engine.system import System
from ...geometry.camera import unproject
from ...geometry.motion import pose_vector_to_motion, se3_inverse
from ...geometry.pyramid import pyramid_level
from ...geometry.warp import inverse_warp
from ...losses.photometric import erode, masked_mean
from ...losses.points import icp_exact_gradient, icp_paper_gradient
from ...losses.smooth import edge_aware
from ...losses.ssim import dssim
from ...nets.dispnet import SMALLEST, DispNet
from ...nets.posenet import PoseNet, stacked
from ...types.errors import InputError
from ...types.predictions import DepthAndMotion
from ...types.views import Views

ICP = {"paper": icp_paper_gradient, "exact": icp_exact_gradient}


@dataclass(frozen=True)
class Config:
    """The paper's numbers; where paper and code are silent or slow, the comment says what is ours."""

    frames: int = 3                                  # of a clip
    width: float = 1.0                               # share of the paper's channels
    reconstruction: float = 0.85                     # alpha
    ssim: float = 0.15                               # gamma
    smoothness: float = 0.05                         # omega; scale s is weighted by 1 / 2^s
    icp: float = 0.1                                 # beta; scale s is weighted by 1 / 2^s; 0 leaves the term out
    icp_gradient: Literal["paper", "exact"] = "paper"  # the paper's rule, or through the last Procrustes (ours)
    icp_iterations: int = 10                         # at most
    icp_points: int = 1024        # random pixels per cloud that are aligned, drawn anew each time (paper: all); 0 = all
    icp_target_points: int = 8192  # random pixels per cloud that they may match (paper: all); 0 = all
    icp_trim: float = 0.0                            # share of the farthest pairs left out (ours)
    principled_mask: bool = True                     # leave out what the source does not see


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25, icp_points=256, icp_target_points=1024),  # 2.1 M weights
}


class Vid2Depth(System):
    """A depth network and a motion network, taught by view synthesis both ways between neighbours in a clip and by
    the alignment of their point clouds. Depth and motion share one unknown scale."""

    paper = "https://arxiv.org/abs/1802.05522"
    needs = frozenset({"image", "K"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.depth_net = DispNet(config.width, batch_norm=True)
        self.pose_net = PoseNet(config.frames, config.frames - 1, config.width, batch_norm=True)

    def forward(self, views: Views) -> DepthAndMotion:
        """Depth of every view and the path of the clip; of a single view, depth alone."""
        depth = 1 / self.depth_net(views.image.flatten(0, 1))[0].unflatten(0, views.image.shape[:2])
        if views.image.shape[1] == 1:
            return DepthAndMotion(depth=depth)
        path = [torch.eye(4).to(depth).expand(len(depth), 4, 4)]
        for T_next_this in self.motion(views.image).unbind(1):
            path.append(path[-1] @ se3_inverse(T_next_this))
        return DepthAndMotion(depth=depth, T_first_camera=torch.stack(path, 1))

    def motion(self, image: Float[Tensor, "b n 3 h w"]) -> Float[Tensor, "b m 4 4"]:
        """T_next_this from each frame to the next. Raises InputError if the clip has another length than the network
        was made for."""
        frames = self.config.frames
        if image.shape[1] != frames:
            raise InputError(f"vid2depth was made for clips of {frames} frames, not {image.shape[1]}: "
                             f"cut clips of {frames}, or set its frames to {image.shape[1]}")
        return pose_vector_to_motion(self.pose_net(stacked(image, list(range(frames))))[0])

    def loss(self, views: Views) -> dict[str, Tensor]:
        """L = sum over scales s of alpha L_rec^s + beta L_3D^s + gamma L_SSIM^s + omega L_sm^s   (section 3.5).

        Raises InputError for images too small to have four scales.
        """
        if min(views.image.shape[-2:]) < SMALLEST:
            raise InputError(f"vid2depth learns from images of at least {SMALLEST} pixels along each side: "
                             "give larger ones")
        flat = self.depth_net(views.image.flatten(0, 1))
        disparities = [d.unflatten(0, views.image.shape[:2]) for d in flat]
        return self.objective(views.image, views.K, disparities, self.motion(views.image))

    def objective(
        self,
        image: Float[Tensor, "b n 3 h w"],
        K: Float[Tensor, "b n 3 3"],
        disparities: list[Float[Tensor, "b n 1 _ _"]],
        T_next_this: Float[Tensor, "b m 4 4"],
    ) -> dict[str, Tensor]:
        """The loss for given depth and motion: every frame is a target, each of its neighbours a source."""
        c = self.config
        pairs = ordered_pairs(T_next_this)
        L_rec, L_ssim, L_sm, L_3D = ([] for _ in range(4))
        for s, disparity in enumerate(disparities):
            X, K_s = pyramid_level(image, K, disparity.shape[-2:])
            depth = 1 / disparity
            cloud = unproject(depth, K_s)                                                     # Q, eq. 1
            L_sm += [c.smoothness / 2**s * m.mean() for m in edge_aware(disparity, X)]
            for i, j, T_j_i, _ in pairs:
                synthetic, mask = inverse_warp(X[:, j], depth[:, i], T_j_i, K_s[:, i], K_s[:, j])  # eq. 2, 3
                if not c.principled_mask:
                    mask = torch.ones_like(mask)
                L_rec.append(c.reconstruction * masked_mean((synthetic - X[:, i]).abs(), mask))
                L_ssim.append(c.ssim * masked_mean(dssim(synthetic, X[:, i]), erode(mask)))
            if c.icp:  # all pairs as one batch
                clouds = [(cloud[:, j], T_i_j, cloud[:, i]) for i, j, _, T_i_j in pairs]
                aligned = self.alignment(*(torch.cat(part) for part in zip(*clouds, strict=True)))
                L_3D.append(c.icp / 2**s * len(pairs) * aligned)
        terms = {"reconstruction": L_rec, "ssim": L_ssim, "smoothness": L_sm, "icp": L_3D}
        return {name: torch.stack(values).sum() for name, values in terms.items() if values}

    def alignment(
        self, source: Float[Tensor, "b 3 h w"], T_target_source: Float[Tensor, "b 4 4"],
        target: Float[Tensor, "b 3 h w"],
    ) -> Float[Tensor, ""]:
        """L_3D = |T' - I|_1 + |r|_1   (section 3.3), means over the six numbers and over the matched points."""
        c = self.config
        a, b = some_points(source, c.icp_points), some_points(target, c.icp_target_points)
        T, r, matched = ICP[c.icp_gradient](a, T_target_source, b, c.icp_iterations, c.icp_trim)
        return T.abs().mean() + masked_mean(r.abs(), matched[..., None])


def ordered_pairs(T_next_this: Float[Tensor, "b m 4 4"]) -> list[tuple[int, int, Tensor, Tensor]]:
    """(target i, source j, T_j_i, T_i_j) of all neighbours, both ways."""
    pairs = []
    for i, (T, T_inverse) in enumerate(zip(T_next_this.unbind(1), se3_inverse(T_next_this).unbind(1), strict=True)):
        pairs += [(i, i + 1, T, T_inverse), (i + 1, i, T_inverse, T)]
    return pairs


def some_points(cloud: Float[Tensor, "b 3 h w"], count: int) -> Float[Tensor, "b n 3"]:
    """The points of `count` pixels drawn at random, the same in the whole batch; of all pixels for count 0."""
    points = cloud.flatten(2).mT
    if not count or count >= points.shape[1]:
        return points
    return points[:, torch.randperm(points.shape[1], device=cloud.device)[:count]]
