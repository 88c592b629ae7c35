"""SfM-Net (Vijayanarasimhan, Ricco, Schmid, Sukthankar, Fragkiadaki 2017): depth, the camera's motion, and the masks
and rigid motions of objects, from pairs, by three kinds of supervision."""

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...engine.system import System
from ...geometry.camera import pixel_grid, project, transform, unproject
from ...geometry.motion import angle, euler_to_rotation, se3, se3_inverse
from ...geometry.sample import sample
from ...losses.photometric import masked_mean
from ...losses.smooth import first_order
from ...nets.sfmnet import MotionNet, RawMotions, StructureNet
from ...types.errors import InputError
from ...types.predictions import DepthAndMotion
from ...types.views import Views

LARGEST_SINE = 0.99  # of a rotation's angles: beyond it their gradient has no end


@dataclass(frozen=True)
class Config:
    """The paper's numbers; there is no published code, and the comment says what is ours."""

    objects: int = 3                        # K
    width: float = 1.0                      # share of the paper's channels
    grid: tuple[int, int] = (4, 12)         # rows and columns of the coarsest features of 384 x 128 px
    hidden: int = 512                       # units of the two fully connected layers
    pivots: tuple[int, int] = (20, 30)      # rows and columns of the grid of pivots
    batch_norm: bool = False                # in the convolutions (ours)
    farthest: float = 100.0                 # depth lies between 1 and this
    sharpen: int = 10_000                   # steps in which the masks' sigmoids get steeper by 1 (ours)
    steepest: float = 10.0                  # of the masks' sigmoids (ours)
    photometric: float = 1.0                # weights of the terms (ours)
    flow_smoothness: float = 0.01           # of flow in shares of the image's width
    depth_smoothness: float = 0.01
    mask_smoothness: float = 0.01
    consistency: float = 0.01               # of depth forward and backward
    depth: float = 0.1                      # where depth is known
    camera: float = 1.0                     # where the camera's motion is known


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25, grid=(2, 3), hidden=128, pivots=(8, 12), batch_norm=True),  # 3.6 M weights
}
PRESETS["small_static"] = replace(PRESETS["small"], objects=0)  # of scenes at rest: depth alone explains parallax


class RigidMotions(NamedTuple):
    """What moves the points of a view into the next camera: m_k of each object's motion, then the camera's."""

    masks: Float[Tensor, "b k h w"]     # in [0, 1]; objects may overlap
    objects: Float[Tensor, "b k 4 4"]
    camera: Float[Tensor, "b 4 4"]


class Explained(NamedTuple):
    """A pair as SfM-Net sees it, of the first of both views."""

    depth: Float[Tensor, "b 1 h w"]
    motions: RigidMotions
    flow: Float[Tensor, "b 2 h w"]      # px
    inside: Bool[Tensor, "b 1 h w"]     # where the flow ends inside the second image, in front of its camera
    rise: Float[Tensor, "b 1 h w"]      # what is added to the depth of every point on its way


class SfmNet(System):
    """A structure network and a motion network, taught by the images alone. Depth and motion share one unknown scale;
    `explain` tells the masks, the objects' motions and the flow of a pair."""

    paper = "https://arxiv.org/abs/1704.07804"
    needs = frozenset({"image", "K"})
    reads = frozenset({"image", "K"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        c = self.config = config
        self.structure_net = StructureNet(c.width, c.batch_norm)
        self.motion_net = MotionNet(c.objects, c.width, c.grid, c.hidden, c.pivots, c.batch_norm)
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros(()))  # of training, with which masks sharpen

    def forward(self, views: Views) -> DepthAndMotion:
        """Depth of every view and the path of the camera; of a single view, depth alone."""
        image = views.image
        depth = self.depth(image)
        path = [torch.eye(4).to(depth).expand(len(depth), 4, 4)]
        for i in range(image.shape[1] - 1):
            T_next_this = self.motions(image[:, i], image[:, i + 1], views.K[:, i]).camera
            path.append(path[-1] @ se3_inverse(T_next_this))
        path_known = {"T_first_camera": torch.stack(path, 1)} if len(path) > 1 else {}
        return DepthAndMotion(depth=depth, **path_known)

    def explain(self, views: Views) -> list[Explained]:
        """Each view but the last against the next one."""
        image, depth = views.image, self.depth(views.image)
        return [explained(depth[:, i], self.motions(image[:, i], image[:, j], views.K[:, i]), views.K[:, i],
                          views.K[:, j]) for i, j in pairwise(range(image.shape[1]))]

    def depth(self, image: Float[Tensor, "b n 3 h w"]) -> Float[Tensor, "b n 1 h w"]:
        """Of every view."""
        depth = self.structure_net(image.flatten(0, 1) - 0.5).clamp(max=self.config.farthest)
        return depth.unflatten(0, image.shape[:2])

    def motions(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"], K: Float[Tensor, "b 3 3"]
    ) -> RigidMotions:
        """Of the first view's points into the second camera; K is the first camera's."""
        raw = RawMotions(*self.motion_net((torch.cat([first, second], 1) - 0.45) / 0.225))
        steepness = min(1 + float(self.steps) / self.config.sharpen, self.config.steepest)
        height, width = first.shape[-2:]
        pixels = raw.pivot * torch.tensor([width, height]).to(raw.pivot) - 0.5
        focal = torch.diagonal(K, dim1=-2, dim2=-1)[:, None, :2]
        pivot = torch.cat([(pixels - K[:, None, :2, 2]) / focal, torch.ones_like(pixels[..., :1])], -1)
        T = about(euler_to_rotation(torch.asin(LARGEST_SINE * raw.sines)), raw.translation, pivot)
        return RigidMotions(torch.sigmoid(steepness * raw.logits), T[:, 1:], T[:, 0])

    def loss(self, views: Views) -> dict[str, Tensor]:
        """The mean over all neighbours of the terms of both directions, and of the supervision if there is any.

        Raises InputError for single views."""
        image, K = views.image, views.K
        if image.ndim != 5 or image.shape[1] < 2 or image.shape[2] != 3:
            raise InputError("SfM-Net learns from clips [scenes, views, 3, height, width] of two views at least, "
                             f"not from images {list(image.shape)}")
        if self.training:
            self.steps += 1
        depth, there, back = self.depth(image), [], []
        for i, j in pairwise(range(image.shape[1])):
            there.append(self.motions(image[:, i], image[:, j], K[:, i]))
            back.append(self.motions(image[:, j], image[:, i], K[:, j]))
        return self.objective(image, K, depth, there, back) | self.supervision(views, depth, there, back)

    def supervision(
        self, views: Views, depth: Float[Tensor, "b n 1 h w"], there: list[RigidMotions], back: list[RigidMotions]
    ) -> dict[str, Tensor]:
        """What is known beside the images: nothing."""
        return {}

    def objective(
        self, image: Float[Tensor, "b n 3 h w"], K: Float[Tensor, "b n 3 3"], depth: Float[Tensor, "b n 1 h w"],
        there: list[RigidMotions], back: list[RigidMotions],
    ) -> dict[str, Tensor]:
        """The loss for given depth, and for given motions of each view into the next (there) and of each next view into
        the one before (back)."""
        terms = defaultdict[str, list[Tensor]](list)
        for i, forward, backward in zip(range(len(there)), there, back, strict=True):
            for a, b, motions in ((i, i + 1, forward), (i + 1, i, backward)):
                seen = explained(depth[:, a], motions, K[:, a], K[:, b])
                for name, value in self.one_way(image[:, a], image[:, b], depth[:, b], seen).items():
                    terms[name].append(value)
        return {name: torch.stack(values).sum() / len(there) for name, values in terms.items()}

    def one_way(
        self, I_a: Float[Tensor, "b 3 h w"], I_b: Float[Tensor, "b 3 h w"], d_b: Float[Tensor, "b 1 h w"],
        seen: Explained,
    ) -> dict[str, Tensor]:
        """View a against view b: |I_a(p) - I_b(p')|, |d_a(p) + rise(p) - d_b(p')|, and first differences."""
        c, (h, w) = self.config, I_a.shape[-2:]
        found, _ = sample(torch.cat([I_b, d_b], 1), pixel_grid(h, w, I_a) + seen.flow)
        smooth = {"flow": (c.flow_smoothness, seen.flow / I_a.shape[-1]), "depth": (c.depth_smoothness, seen.depth),
                  "mask": (c.mask_smoothness, seen.motions.masks)}
        return {
            "photometric": c.photometric * masked_mean((found[:, :3] - I_a).abs(), seen.inside),
            "consistency": c.consistency * masked_mean((seen.depth + seen.rise - found[:, 3:]).abs(), seen.inside),
        } | {f"{name}_smoothness": torch.stack([weight * m.mean() for m in first_order(x)]).sum()
             for name, (weight, x) in smooth.items() if x.numel()}


class SfmNetDepth(SfmNet):
    """The same, taught by known depth on top: its unit is then that of the truth."""

    needs = frozenset({"image", "K", "depth", "depth_valid"})

    def supervision(
        self, views: Views, depth: Float[Tensor, "b n 1 h w"], there: list[RigidMotions], back: list[RigidMotions]
    ) -> dict[str, Tensor]:
        """|d - d*| where d* is known."""
        gap = depth - torch.where(views.depth_valid, views.depth, 0)
        return {"depth": self.config.depth * masked_mean(gap.abs(), views.depth_valid)}


class SfmNetCamera(SfmNet):
    """The same, taught by the camera's known motion on top."""

    needs = frozenset({"image", "K", "T_world_camera"})

    def supervision(
        self, views: Views, depth: Float[Tensor, "b n 1 h w"], there: list[RigidMotions], back: list[RigidMotions]
    ) -> dict[str, Tensor]:
        """|t_err|^2 + angle(R_err), both ways, of T_err = T_c^-1 T*."""
        T = views.T_world_camera
        T_next_this = se3_inverse(T[:, 1:]) @ T[:, :-1]
        found = [torch.stack([m.camera for m in motions], 1) for motions in (there, back)]
        error = torch.stack([se3_inverse(found[0]) @ T_next_this, se3_inverse(found[1]) @ se3_inverse(T_next_this)])
        wrong = error[..., :3, 3].square().sum(-1) + angle(error[..., :3, :3])
        return {"camera": 2 * self.config.camera * wrong.mean()}


def about(
    R: Float[Tensor, "*b 3 3"], t: Float[Tensor, "*b 3"], pivot: Float[Tensor, "*b 3"]
) -> Float[Tensor, "*b 4 4"]:
    """X -> R (X - pivot) + t + pivot: without a rotation the pivot does nothing."""
    return se3(R, t + pivot - (R @ pivot[..., None])[..., 0])


def explained(
    depth: Float[Tensor, "b 1 h w"], motions: RigidMotions, K: Float[Tensor, "b 3 3"], K_next: Float[Tensor, "b 3 3"]
) -> Explained:
    """X = d K^-1 p; X' = X + sum_k m_k (T_k X - X); X'' = T_c X'; flow = K X'' - p."""
    X = unproject(depth, K)
    pushed = transform(motions.objects, X[:, None].expand(-1, motions.objects.shape[1], -1, -1, -1)) - X[:, None]
    X = X + (motions.masks[:, :, None] * pushed).sum(1)
    X = transform(motions.camera, X)
    pixels, front = project(X, K_next)
    h, w = depth.shape[-2:]
    limit = torch.tensor([w - 1, h - 1]).to(pixels)[:, None, None]
    inside = ((pixels >= 0) & (pixels <= limit)).all(1, keepdim=True)
    return Explained(depth, motions, pixels - pixel_grid(h, w, depth), inside & front, X[:, 2:] - depth)
