"""Depth up to its order, from pairs of points of which it is known which is nearer: Depth in the Wild (Chen, Fu, Yang,
Deng, NeurIPS 2016)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...engine.system import System
from ...losses.depth import ordinal
from ...losses.photometric import masked_mean
from ...nets.hourglass import Hourglass
from ...types.predictions import Depth
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """The paper's numbers; where it is silent the comment says what is ours."""

    width: float = 1.0      # share of the paper's channels
    pairs: int = 800        # of points, drawn anew from every image whose depth is known
    equal: float = 0.02     # two depths whose ratio is within 1 + this count as equal (ours)


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25),    # 0.4 M weights
}


class DepthInTheWild(System):
    """Depth of single images that was learned from its order alone. To make depth of z, the paper gives every map the
    mean and spread of depth in the training set; here those of log depth, which keep it positive."""

    paper = "https://arxiv.org/abs/1604.03901"
    needs = frozenset({"image", "depth", "depth_valid"})
    reads = frozenset({"image"})
    log_depth: Tensor
    batches: Tensor

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = Hourglass(config.width)
        self.register_buffer("log_depth", torch.tensor([0.0, 0.3]))  # mean and standard deviation, of training images
        self.register_buffer("batches", torch.tensor(0))

    def forward(self, views: Views) -> Depth:
        """Of every view: z, shifted and stretched to the log depth of a training image."""
        z = self.z(views.image.flatten(0, 1))
        deviation, middle = torch.std_mean(z, (1, 2, 3), keepdim=True)
        log_depth = self.log_depth[0] + self.log_depth[1] * (z - middle) / deviation.clamp(min=1e-6)
        return Depth(depth=log_depth.exp().unflatten(0, views.image.shape[:2]))

    def z(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Of every pixel, larger where it is farther away."""
        return self.net(image - 0.45).float()

    def loss(self, views: Views) -> dict[str, Tensor]:
        """The ranking loss over random pairs of known depth; it sees which of the two is more, nothing else."""
        image, depth, valid = (x.flatten(0, 1) for x in (views.image, views.depth, views.depth_valid))
        if self.training:
            self.count(depth, valid)
        a, b = torch.randint(depth[0].numel(), (2, len(depth), self.config.pairs), device=depth.device)
        known = valid.flatten(1).gather(1, a) & valid.flatten(1).gather(1, b)
        relation = self.relation(depth.flatten(1).gather(1, a), depth.flatten(1).gather(1, b), known)
        return {"ordinal": self.objective(self.z(image), a, b, relation, known)}

    @torch.no_grad()
    def count(self, depth: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"]) -> None:
        """Takes a batch into the mean and standard deviation of log depth, both means over batches of known pixels."""
        if valid.sum() > 1:
            deviation, middle = torch.std_mean(depth[valid].clamp(min=1e-3).log())
            self.batches += 1
            self.log_depth += (torch.stack([middle, deviation]) - self.log_depth) / self.batches

    def relation(
        self, a: Float[Tensor, "b p"], b: Float[Tensor, "b p"], known: Bool[Tensor, "b p"]
    ) -> Int[Tensor, "b p"]:
        """1 where depth a is more than b, -1 where it is less, 0 where they are about equal."""
        ratio = (torch.where(known, a, 1) / torch.where(known, b, 1)).log()
        return (ratio.sign() * (ratio.abs() > math.log1p(self.config.equal))).long()

    def objective(
        self, z: Float[Tensor, "b 1 h w"], a: Int[Tensor, "b p"], b: Int[Tensor, "b p"], relation: Int[Tensor, "b p"],
        known: Bool[Tensor, "b p"],
    ) -> Float[Tensor, ""]:
        """The mean over the known pairs of pixels a and b (numbered row by row) of log(1 + exp(-r (z_a - z_b))), and of
        (z_a - z_b)^2 where r = 0."""
        z_a, z_b = (z.flatten(1).gather(1, at) for at in (a, b))
        return masked_mean(ordinal(z_a, z_b, relation), known)
