"""Visual odometry by a recurrent convolutional network (Wang, Clark, Wen, Trigoni, ICRA 2017)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...engine.system import System
from ...geometry.motion import pose_vector_to_motion, rotation_to_euler, se3_inverse
from ...nets.convolution import conv
from ...types.errors import InputError
from ...types.predictions import Motion
from ...types.views import Views

# kernel, stride, channels: FlowNetS as far as conv6
LAYERS = ((7, 2, 64), (5, 2, 128), (5, 2, 256), (3, 1, 256), (3, 2, 512), (3, 1, 512), (3, 2, 512), (3, 1, 512),
          (3, 2, 1024))
State = tuple[Float[Tensor, "l b u"], Float[Tensor, "l b u"]]  # of the LSTM: h and c


@dataclass(frozen=True)
class Config:
    """The paper's numbers; images of any size are read, the last features always on the paper's grid."""

    width: float = 1.0                  # share of the paper's channels
    grid: tuple[int, int] = (6, 20)     # rows and columns of the last features; as they are for images of 1280 x 384
    units: int = 1000                   # of each of the LSTM's two layers
    kappa: float = 100.0                # weight of a squared radian against a squared metre
    batch_norm: bool = False            # in the convolutions (a later re-implementation's)


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25, grid=(2, 3), units=128, batch_norm=True),     # 1.9 M weights
}


class PairNet(nn.Module):
    """A stacked pair of images to one vector of features: nine convolutions, averaged to the grid."""

    def __init__(self, width: float, grid: tuple[int, int], batch_norm: bool):
        super().__init__()
        self.grid, counts = grid, [6, *(max(4, round(width * c)) for *_, c in LAYERS)]
        self.layers = nn.Sequential(*(
            conv(before, after, kernel, stride, batch_norm)
            for (kernel, stride, _), before, after in zip(LAYERS, counts, counts[1:], strict=False)
        ))
        self.features = counts[-1] * math.prod(grid)

    def forward(self, pair: Float[Tensor, "b 6 h w"]) -> Float[Tensor, "b f"]:
        return F.adaptive_avg_pool2d(self.layers(pair), self.grid).flatten(1)


class DeepVO(System):
    """The camera's path through a clip, in metres: each frame's motion since the one before, from what the pair shows
    and what the network remembers of all before it. The memory begins anew with each clip."""

    paper = "https://arxiv.org/abs/1709.08429"
    needs = frozenset({"image", "T_world_camera"})
    reads = frozenset({"image"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        self.config = config
        self.pair_net = PairNet(config.width, config.grid, config.batch_norm)
        self.memory = nn.LSTM(self.pair_net.features, config.units, num_layers=2, batch_first=True)
        self.pose = nn.Linear(config.units, 6)
        # At first next to no motion: kappa makes any other guess of the turn what the shared layers learn from first,
        # and the way comes late or not at all.
        nn.init.normal_(self.pose.weight, std=1e-3)
        nn.init.zeros_(self.pose.bias)

    def forward(self, views: Views) -> Motion:
        """The path in the first frame's axes, composed of the motions; a single view stands at its origin."""
        image = views.image
        if image.shape[1] == 1:
            return Motion(T_first_camera=torch.eye(4).to(image).expand(len(image), 1, 4, 4))
        vectors, _ = self.motions(image)
        return Motion(T_first_camera=path(pose_vector_to_motion(vectors)))

    def motions(
        self, image: Float[Tensor, "b n 3 h w"], state: State | None = None
    ) -> tuple[Float[Tensor, "b m 6"], State]:
        """(t, Euler angles) of T_previous_this for every frame but the first, and the memory after the last. A long
        sequence may come in pieces, each beginning with the last frame of the one before and with its memory."""
        mean_free = image - 0.5
        pairs = torch.cat([mean_free[:, :-1], mean_free[:, 1:]], 2)
        features = self.pair_net(pairs.flatten(0, 1)).unflatten(0, pairs.shape[:2])
        remembered, state = self.memory(features, state)
        return self.pose(remembered).float(), state

    def loss(self, views: Views) -> dict[str, Tensor]:
        """mean |p - p*|^2 + kappa |phi - phi*|^2 over all motions of the clips, p in metres and phi the Euler angles in
        radians.

        Raises InputError for single views.
        """
        if views.image.ndim != 5 or views.image.shape[1] < 2:
            raise InputError(f"DeepVO learns from clips [scenes, views, 3, height, width] of two views at least, "
                             f"not from images {list(views.image.shape)}")
        T = views.T_world_camera
        vectors, _ = self.motions(views.image)
        return self.objective(vectors, se3_inverse(T[:, :-1]) @ T[:, 1:])

    def objective(
        self, vectors: Float[Tensor, "b m 6"], T_previous_this: Float[Tensor, "b m 4 4"]
    ) -> dict[str, Tensor]:
        """The two terms for given motions; an angle counts the short way round."""
        p, phi = T_previous_this[..., :3, 3], rotation_to_euler(T_previous_this[..., :3, :3])
        turn = torch.remainder(vectors[..., 3:] - phi + math.pi, 2 * math.pi) - math.pi
        return {"translation": (vectors[..., :3] - p).square().sum(-1).mean(),
                "rotation": self.config.kappa * turn.square().sum(-1).mean()}


def path(T_previous_this: Float[Tensor, "b m 4 4"]) -> Float[Tensor, "b n 4 4"]:
    """T_first_this of every frame, the first one's included."""
    poses = [torch.eye(4).to(T_previous_this).expand(len(T_previous_this), 4, 4)]
    for T in T_previous_this.unbind(1):
        poses.append(poses[-1] @ T)
    return torch.stack(poses, 1)
