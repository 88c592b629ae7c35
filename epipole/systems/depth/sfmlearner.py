"""Depth and ego-motion from unlabelled clips by view synthesis (Zhou, Brown, Snavely, Lowe, CVPR 2017)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...engine.system import System
from ...geometry.motion import pose_vector_to_motion, se3_inverse
from ...geometry.pyramid import pyramid_level
from ...geometry.warp import inverse_warp
from ...losses.photometric import masked_mean
from ...losses.smooth import mean_normalised, second_order
from ...nets.dispnet import SMALLEST, DispNet
from ...nets.posenet import PoseNet, stacked
from ...types.errors import InputError
from ...types.predictions import DepthAndMotion
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """The paper's numbers; those that only the authors' code tells are marked [code]."""

    sources: int = 2                # S: a clip has S + 1 frames and its middle one is the target; 4 for odometry
    width: float = 1.0              # share of the paper's channels
    batch_norm: bool = False        # in the convolutions; the authors' code has none, vid2depth's has it
    explain: bool = True            # predict an explainability mask
    explainability: float = 0.2     # lambda_e; the authors' later code uses 0 and no mask
    smoothness: float = 0.5         # lambda_s; level l is weighted by 1 / 2^l
    normalise: bool = False         # every image's disparity by its mean (Wang 2018), which leaves no scale to drift


PRESETS = {
    "paper": Config(),
    "odometry": Config(sources=4),
    # 2.1 M weights, for images of 128 px: a third of the paper's, in which second differences are ten times as large
    "small": Config(width=0.25, batch_norm=True, smoothness=0.1, normalise=True),
}


class SfmLearner(System):
    """A depth network and a motion network, taught by nothing but the synthesis of the middle frame from the others.

    Depth and motion share one unknown scale. The network sees images in [-1, 1], as the authors'.
    """

    paper = "https://arxiv.org/abs/1704.07813"
    needs = frozenset({"image", "K"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.depth_net = DispNet(config.width, config.batch_norm)
        self.pose_net = PoseNet(config.sources + 1, config.sources, config.width, config.batch_norm, config.explain)

    def forward(self, views: Views) -> DepthAndMotion:
        """Depth of every view and the path of the clip; of a single view, depth alone. The path is in the unit of the
        middle view's depth; where disparity is normalised, every view's depth has a unit of its own."""
        image = 2 * views.image - 1
        depth = 1 / self.disparities(image.flatten(0, 1))[0].unflatten(0, image.shape[:2])
        if image.shape[1] == 1:
            return DepthAndMotion(depth=depth)
        T_source_target, _ = self.motion(image)
        T_target_camera = se3_inverse(T_source_target)
        middle = self.config.sources // 2
        identity = torch.eye(4).to(depth).expand(len(depth), 1, 4, 4)
        T_target_camera = torch.cat([T_target_camera[:, :middle], identity, T_target_camera[:, middle:]], 1)
        return DepthAndMotion(depth=depth, T_first_camera=se3_inverse(T_target_camera[:, :1]) @ T_target_camera)

    def disparities(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 1 _ _"]]:
        """Of images in [-1, 1] at four scales, the finest first."""
        found = self.depth_net(image)
        return [mean_normalised(d) for d in found] if self.config.normalise else found

    def motion(self, image: Float[Tensor, "b n 3 h w"]) -> tuple[Float[Tensor, "b s 4 4"], list[Tensor]]:
        """T_source_target of every source, and the logits of the explainability masks [b s 2 _ _] at four scales.

        Raises InputError if the clip has another length than the network was made for.
        """
        frames, middle = self.config.sources + 1, self.config.sources // 2
        if image.shape[1] != frames:
            raise InputError(f"SfMLearner was made for clips of {frames} frames, not {image.shape[1]}: "
                             f"cut clips of {frames}, or set its sources to {image.shape[1] - 1}")
        order = [middle, *(i for i in range(frames) if i != middle)]  # the target comes first
        vector, logits = self.pose_net(stacked(image, order))
        return pose_vector_to_motion(vector), logits

    def loss(self, views: Views) -> dict[str, Tensor]:
        """L_final = sum over scales l of L_vs^l + lambda_s L_smooth^l + lambda_e sum_s L_reg(E_s^l)   (eq. 4).

        Raises InputError for images too small to have four scales.
        """
        if min(views.image.shape[-2:]) < SMALLEST:
            raise InputError(f"SfMLearner learns from images of at least {SMALLEST} pixels along each side: "
                             "give larger ones")
        image, middle = 2 * views.image - 1, self.config.sources // 2
        disparities = self.disparities(image[:, middle])
        T_source_target, logits = self.motion(image)
        return self.objective(image, views.K, disparities, T_source_target, logits)

    def objective(
        self,
        image: Float[Tensor, "b n 3 h w"],
        K: Float[Tensor, "b n 3 3"],
        disparities: list[Float[Tensor, "b 1 _ _"]],
        T_source_target: Float[Tensor, "b s 4 4"],
        logits: list[Float[Tensor, "b s 2 _ _"]],
    ) -> dict[str, Tensor]:
        """Eq. 4 for given depth, motion and masks (no logits: everything is explainable); images in [-1, 1]."""
        c, target = self.config, self.config.sources // 2
        L_vs, L_smooth, L_reg = ([] for _ in range(3))
        for level, disparity in enumerate(disparities):
            I, K_level = pyramid_level(image, K, disparity.shape[-2:])
            L_smooth += [c.smoothness / 2**level * m.mean() for m in second_order(disparity)]
            for s, source in enumerate(i for i in range(c.sources + 1) if i != target):
                synthetic, valid = inverse_warp(                                              # eq. 2
                    I[:, source], 1 / disparity, T_source_target[:, s], K_level[:, target], K_level[:, source]
                )
                error = (synthetic - I[:, target]).abs()                                      # eq. 1
                if logits:
                    log_E = F.log_softmax(logits[level][:, s], 1)[:, 1:]
                    error = error * log_E.exp()                                               # eq. 3
                    L_reg.append(-c.explainability * log_E.mean())  # cross-entropy against "all explainable"
                L_vs.append(masked_mean(error, valid))
        terms = {"view_synthesis": L_vs, "smoothness": L_smooth, "explainability": L_reg}
        return {name: torch.stack(values).sum() for name, values in terms.items() if values}
