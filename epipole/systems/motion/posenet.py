"""Where in a known scene a single image was taken: PoseNet (Kendall, Grimes, Cipolla, ICCV 2015), and its geometric
losses (Kendall & Cipolla, CVPR 2017)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...engine.system import Stages, System
from ...geometry.camera import pixel_grid, transform, unproject
from ...geometry.motion import quaternion_to_rotation, rotation_to_quaternion, se3, se3_inverse, so3_exp
from ...geometry.sample import sample
from ...geometry.warp import reproject
from ...losses.photometric import masked_mean
from ...losses.pose import quaternion_distance, reprojection
from ...losses.weighting import laplace
from ...nets.googlenet import GoogLeNet
from ...types.errors import InputError
from ...types.predictions import Pose
from ...types.views import Views


@dataclass(frozen=True)
class Config:
    """The papers' numbers."""

    width: float = 1.0                  # share of the trunk's channels
    batch_norm: bool = False            # in place of local response normalisation and of weights trained elsewhere
    features: int = 2048                # of the image, from which its pose is read; half as many at the two branches
    dropout: float = 0.5                # of them
    dropout_branch: float = 0.7
    beta: float = 500.0                 # m per unit of quaternion; indoors 120 to 750, outdoors 250 to 2000
    branch: float = 0.3                 # weight of each of the two branches half way up the trunk
    log_position: float = 0.0           # where s_x begins
    log_rotation: float = -3.0          # where s_q begins
    points: int = 256                   # of the scene, drawn anew from what each view sees
    turn: float = 0.0                   # degrees, by which views are turned in training, see `turned` (ours)


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25, batch_norm=True, features=256, dropout=0.0, dropout_branch=0.0,
                    turn=15.0),     # 0.6 M weights
}


class PoseRegressor(nn.Module):
    """Images to (x, q) from the end of the trunk and, in training alone of use, from two branches half way up: camera
    centre and quaternion x y z w of any length."""

    def __init__(self, config: Config):
        super().__init__()
        self.trunk = GoogLeNet(config.width, config.batch_norm)
        *middle, last = self.trunk.channels
        between = max(4, round(128 * config.width))
        self.branches = nn.ModuleList(nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Conv2d(c, between, 1), nn.ReLU(), nn.Flatten(),
            _head(16 * between, config.features // 2, config.dropout_branch)) for c in middle)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), _head(last, config.features, config.dropout))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 7"]]:
        *middle, last = self.trunk((image - 0.45) / 0.225)
        return [self.head(last), *(branch(x) for branch, x in zip(self.branches, middle, strict=True))]


class PoseNet(System):
    """The camera's pose in the one scene it was trained on, each image by itself, with a fixed weight between metres
    and rotation. Images are never mirrored: a mirror image has another pose. K tells how a turned view looks."""

    paper = "https://arxiv.org/abs/1505.07427"
    needs = frozenset({"image", "T_world_camera", "K"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.net = PoseRegressor(config)

    def forward(self, views: Views) -> Pose:
        """The pose of every view."""
        vector = self.net(views.image.flatten(0, 1))[0].float()
        return Pose(T_world_camera=pose(vector).unflatten(0, views.image.shape[:2]))

    def loss(self, views: Views) -> dict[str, Tensor]:
        """The objective of the head and, with a lower weight, that of the two branches.

        Raises InputError for anything but colour images in scenes."""
        return self.in_all(views, self.objective)

    def in_all(
        self, views: Views, objective: Callable[[Float[Tensor, "k 7"], Views], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The same of any objective."""
        check(views, type(self).__name__)
        if self.training and self.config.turn:
            views = turned(views, self.config.turn)
        weights = (1.0, self.config.branch, self.config.branch)
        estimates = [vector.float() for vector in self.net(views.image.flatten(0, 1))]
        all_terms = [objective(vector, views) for vector in estimates]
        return {name: torch.stack([w * terms[name] for w, terms in zip(weights, all_terms, strict=True)]).sum()
                for name in all_terms[0]}

    def objective(self, vector: Float[Tensor, "k 7"], views: Views) -> dict[str, Tensor]:
        """|x - x*| + beta |q - q* / |q*||, means over the views."""
        position, rotation = distances(vector, views)
        return {"position": position, "rotation": self.config.beta * rotation}


class PoseNetLearned(PoseNet):
    """PoseNet that learns how much a metre weighs against a rotation, from how well it does in each."""

    paper = "https://arxiv.org/abs/1704.00390"

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__(config)
        self.s = nn.Parameter(torch.tensor([config.log_position, config.log_rotation]))

    def objective(self, vector: Float[Tensor, "k 7"], views: Views) -> dict[str, Tensor]:
        """|x - x*| exp(-s_x) + s_x + |q - q* / |q*|| exp(-s_q) + s_q."""
        return self.weighted(*distances(vector, views))

    def weighted(self, position: Float[Tensor, ""], rotation: Float[Tensor, ""]) -> dict[str, Tensor]:
        """Both under the learned weights, which settle at s = log of each."""
        return {"position": laplace(position, self.s[0]), "rotation": laplace(rotation, self.s[1])}


class PoseNetGeometric(PoseNetLearned):
    """PoseNet by one error, in pixels: where the scene's points are seen from the estimated pose. It refines what was
    trained with learned weights, in the first of its stages; from far away it leads nowhere."""

    needs = frozenset({"image", "T_world_camera", "K", "depth", "depth_valid"})

    def stages(self) -> Stages:
        """The learned weights bring the poses near."""
        return {"learned": (("net",), partial(self.in_all, objective=super().objective)),
                "geometric": (("net",), self.loss)}

    def objective(self, vector: Float[Tensor, "k 7"], views: Views) -> dict[str, Tensor]:
        """L_g: the mean over points g that a view sees of |pi(x, q, g) - pi(x*, q*, g)|_1; points that lie behind the
        estimated camera do not count."""
        depth, valid, K, T = (x.flatten(0, 1) for x in (views.depth, views.depth_valid, views.K, views.T_world_camera))
        pick = torch.randint(depth[0].numel(), (self.config.points,), device=depth.device)
        known = valid.flatten(1)[:, pick]
        cloud = transform(T, unproject(torch.where(valid, depth, 1.0), K)).flatten(2)[..., pick].mT
        height, width = depth.shape[-2:]
        pixels = pixel_grid(height, width, depth).flatten(1)[:, pick].mT.expand(len(depth), -1, -1)
        apart, front = reprojection(cloud, pixels, se3_inverse(pose(vector)), K)
        return {"reprojection": masked_mean(apart.abs().sum(-1), front & known)}


def pose(vector: Float[Tensor, "k 7"]) -> Float[Tensor, "k 4 4"]:
    """T_world_camera of camera centre and quaternion."""
    return se3(quaternion_to_rotation(vector[:, 3:]), vector[:, :3])


def turned(views: Views, degrees: float) -> Views:
    """Every view [b n ..] as its camera sees it after a turn about its centre, by a random rotation vector with this
    standard deviation along each axis: what it has not seen is black and of unknown depth. A room seen along one path
    teaches few directions, and learned by heart they tell nothing of others."""
    image, K, T = (x.flatten(0, 1) for x in (views.image, views.K, views.T_world_camera))
    R = so3_exp(math.radians(degrees) * torch.randn(len(T), 3, device=T.device))
    T_camera_turned = se3(R, torch.zeros_like(T[:, :3, 3]))
    pixels, z, front = reproject(torch.ones_like(image[:, :1]), T_camera_turned, K, K)
    seen, inside = sample(image, pixels)
    inside = inside & front
    fields = {"image": torch.where(inside, seen, 0), "K": K, "T_world_camera": T @ T_camera_turned}
    if "depth" in views:
        depth, valid = views.depth.flatten(0, 1), views.depth_valid.flatten(0, 1)
        found, share = sample(torch.cat([torch.where(valid, depth, 0), valid.to(depth)], 1), pixels)[0].split(1, 1)
        known = inside & (share > 1 - 1e-4)
        fields |= {"depth": torch.where(known, found / z, 1), "depth_valid": known}
    return Views(**fields).map(lambda x: x.unflatten(0, views.image.shape[:2]))


def distances(vector: Float[Tensor, "k 7"], views: Views) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean distance of the camera centres (m) and of the quaternions from the true ones."""
    T = views.T_world_camera.flatten(0, 1)
    rotation = quaternion_distance(vector[:, 3:], rotation_to_quaternion(T[:, :3, :3]))
    return (vector[:, :3] - T[:, :3, 3]).norm(dim=-1).mean(), rotation.mean()


def check(views: Views, who: str) -> None:
    """Raises InputError for anything but colour images in scenes."""
    if views.image.ndim != 5 or views.image.shape[2] != 3:
        raise InputError(f"{who} learns from colour images [scenes, views, 3, height, width], "
                         f"not {list(views.image.shape)}")


def _head(inputs: int, features: int, dropout: float) -> nn.Sequential:
    """A layer of features and the pose read from them, which begins near no rotation."""
    last = nn.Linear(features, 7)
    nn.init.constant_(last.bias, 0.0)  # type: ignore[arg-type]
    last.bias.data[6] = 1.0
    return nn.Sequential(nn.Linear(inputs, features), nn.ReLU(), nn.Dropout(dropout), last)
