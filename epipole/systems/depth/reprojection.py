"""Depth of one camera's footage, taught by correspondence along a known path: the network of the main job.

A single image in, depth and its uncertainty out. What teaches is where the pixels of one key frame are seen in
another (dense flow, checked) and the motion between the two, which geometry has found; nothing is annotated. It joins
Mahjourian 2018 (photometric and 3-D terms, principled mask) with the consistency of Bian 2019 and a reprojection error
in place of a learned motion, which on one clip alone collapses to identity.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...engine.system import System
from ...geometry.camera import pixel_grid, project, transform, unproject
from ...geometry.motion import se3_inverse
from ...geometry.sample import sample
from ...geometry.triangulation import sensitivity
from ...losses.photometric import masked_mean
from ...losses.points import icp_exact_gradient
from ...losses.robust import charbonnier
from ...losses.smooth import edge_aware, mean_normalised
from ...losses.ssim import ssim_l1
from ...losses.weighting import laplace
from ...nets.unet import UNet
from ...types.errors import InputError
from ...types.predictions import Depth
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """Weights of the terms are per pixel of the network's grid; depth has the unit of the path, typically 1."""

    widths: tuple[int, ...] = (16, 32, 64, 128, 160, 192)
    depth_span: float = 4.0         # log depth stays within this of 0
    triangulated: float = 4.0       # |log depth - log of triangulated anchors|: many views agree on them
    reprojection: float = 1.0       # px
    soft: float = 0.3               # px; below it the reprojection error counts squared (Charbonnier)
    parallax: float = 4.0           # px per unit of log depth; where a pixel moves by more, its error counts less
    farthest: float = 6.0           # px so weighted; a larger error teaches no more: not depth, the flow is wrong
    consistency: float = 0.5        # log depth of this view, moved into the other, against the other's own
    photometric: float = 0.1        # 0.85 DSSIM + 0.15 L1
    moving: float = 3.0             # px; flow that rigid motion misses by more is a moving thing or a wrong flow
    smoothness: float = 0.01        # edge-aware, of mean-normalised inverse depth
    edge: float = 10.0              # contrast at which smoothness gives way
    icp: float = 0.0                # 3-D loss of Mahjourian 2018 between the clouds of the two views
    icp_points: int = 256           # of each cloud, drawn anew each step; they may match four times as many
    uncertainty: float = 0.05       # Laplace likelihood of the consistency error


PRESETS = {"paper": Config(), "small": Config(widths=(16, 24, 32, 48, 64))}


class ReprojectionDepth(System):
    """Single-image depth, one scale for the whole clip; log_variance is that of log depth."""

    paper = "https://arxiv.org/abs/1802.05522"
    needs = frozenset({"image", "K", "T_world_camera", "flow", "flow_valid", "depth", "depth_valid"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = UNet(2, config.widths)

    def forward(self, views: Views) -> Depth:
        """Depth (unit of the path) and log variance of log depth of every view.

        Raises InputError for images that are not [scenes, views, 3, height, width].
        """
        if views.image.ndim != 5 or views.image.shape[2] != 3:
            raise InputError(f"ReprojectionDepth reads colour images [scenes, views, 3, height, width], "
                             f"not {list(views.image.shape)}")
        maps = self.net(views.image.flatten(0, 1) - 0.45).unflatten(0, views.image.shape[:2])
        log_depth, log_scale = maps.float().split(1, 2)
        span = self.config.depth_span
        return Depth(depth=log_depth.clamp(-span, span).exp(), log_variance=2 * log_scale.clamp(-6, 2))

    def loss(self, views: Views) -> dict[str, Tensor]:
        """The terms of `objective` for the depth that the network predicts."""
        return self.objective(views, self(views))

    def objective(self, views: Views, predicted: Depth) -> dict[str, Tensor]:
        """The loss for given depth. Each view is a target a; the next one (the last one's: the first) its source b."""
        c = self.config
        image, K, depth = (x.flatten(0, 1) for x in (views.image, views.K, predicted.depth))
        pose, flow, seen = (x.flatten(0, 1) for x in (views.T_world_camera, views.flow, views.flow_valid))
        other = following(*views.image.shape[:2]).to(image.device)
        T_b_a = se3_inverse(pose[other]) @ pose

        # where depth and path say that a pixel went, and where flow says it
        cloud = transform(T_b_a, unproject(depth, K))
        pixels, front = project(cloud, K[other])
        grid = pixel_grid(image.shape[-2], image.shape[-1], image)
        square = (pixels - grid - flow).square().sum(1, keepdim=True)
        missed = charbonnier(square, c.soft)
        rigid = seen & front & (square.detach() < c.moving**2)
        gain = c.parallax / (sensitivity(cloud.detach(), T_b_a, K[other]).square() + c.parallax**2).sqrt()
        terms = {"reprojection": c.reprojection * masked_mean((gain * missed).clamp(max=c.farthest), seen & front)}

        depth_b, inside = sample(depth[other], grid + flow)
        apart = (cloud[:, 2:].clamp(min=1e-3).log() - depth_b.log()).abs()
        terms["consistency"] = c.consistency * masked_mean(apart.clamp(max=0.5), rigid & inside)

        synthetic, visible = sample(image[other], pixels)  # `visible` is the principled mask
        terms["photometric"] = c.photometric * masked_mean(ssim_l1(synthetic, image), visible & rigid)

        smooth = edge_aware(mean_normalised(1 / depth), c.edge * image)
        terms["smoothness"] = c.smoothness * (smooth[0].mean() + smooth[1].mean())

        # Laplace with scale b; the difference of two depths has the variance 2 b^2, each of them then b^2
        log_b = predicted.log_variance.flatten(0, 1) / 2
        terms["uncertainty"] = c.uncertainty * masked_mean(laplace(apart.detach(), log_b), seen & front & inside)

        if c.icp:
            terms["icp"] = c.icp * self.alignment(unproject(depth, K), T_b_a, unproject(depth, K)[other], rigid)
        if c.triangulated:
            terms["triangulated"] = c.triangulated * self.distance_to_anchors(views, depth)
        return terms

    def distance_to_anchors(self, views: Views, depth: Float[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
        """|log depth - log of the known depth|, where it is known; more than a factor e teaches no more."""
        known = views.depth_valid.flatten(0, 1)
        ratio = depth / torch.where(known, views.depth.flatten(0, 1), 1)
        return masked_mean(ratio.log().abs().clamp(max=1), known)

    def alignment(
        self, source: Float[Tensor, "b 3 h w"], T_target_source: Float[Tensor, "b 4 4"],
        target: Float[Tensor, "b 3 h w"], rigid: Bool[Tensor, "b 1 h w"],
    ) -> Float[Tensor, ""]:
        """|T' - I|_1 + |r|_1 of Mahjourian 2018 over random pixels, the residual where the scene is rigid."""
        pick = torch.randperm(source[0, 0].numel(), device=source.device)[: 4 * self.config.icp_points]
        some = pick[: self.config.icp_points]
        a, b = source.flatten(2).mT[:, some], target.flatten(2).mT[:, pick]
        T, r, matched = icp_exact_gradient(a, T_target_source, b, iterations=4, trim=0.2)
        return T.abs().mean() + masked_mean(r.abs(), (matched & rigid.flatten(2)[:, 0, some])[..., None])


def following(b: int, n: int) -> Int[Tensor, "{b*n}"]:
    """Index of the next view of the same scene, for views flattened to b * n; the last one's is the first."""
    index = torch.arange(b * n).view(b, n)
    return index.roll(-1, 1).flatten()
