"""Visual-inertial odometry as a sequence-to-sequence problem: an LSTM at the rate of the inertial sensor, one at the
camera's, and poses composed on SE(3) (Clark, Wang, Wen, Markham, Trigoni, AAAI 2017)."""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...engine.system import System
from ...geometry.costvolume import correlation_2d
from ...geometry.motion import rotation_to_quaternion, se3_exp, se3_inverse, se3_log
from ...losses.pose import quaternion_distance
from ...nets.flownet import Matching, padded
from ...types.errors import InputError
from ...types.predictions import Motion
from ...types.views import Views

TURN = 0.1      # rad/s; what the gyro says is read in multiples of it, and
GRAVITY = 9.81  # m/s^2; accelerations in multiples of this


@dataclass(frozen=True)
class Config:
    """The paper's numbers; those that only a port tells are marked [port]. Images of any size are read, the last
    features always on the same grid."""

    width: float = 1.0                  # share of FlowNetC's channels
    reach: int = 20                     # of its correlation: displacements up to this at 1/8 of the size, px ...
    stride: int = 2                     # ... in steps of this
    grid: tuple[int, int] = (6, 8)      # rows and columns of the last features [port]; as of 512 x 384 px
    inertial: int = 6                   # units of each of the inertial LSTM's two layers [port]
    units: int = 1000                   # of each of the core LSTM's two layers
    rotation: float = 30.0              # weight of a radian, and of a quaternion's unit, against a metre (ours)
    ramp: int = 10_000                  # steps in which the loss goes over from motions to poses (ours)


PRESETS = {
    "paper": Config(),
    "small": Config(width=0.25, reach=8, grid=(2, 3), inertial=32, units=128, ramp=1000),   # 2.5 M weights
}

Memory = tuple[Float[Tensor, "l b u"], Float[Tensor, "l b u"]]  # of an LSTM: h and c


class State(NamedTuple):
    """What is carried from frame to frame."""

    inertial: Memory | None
    core: Memory | None
    T_first_this: Float[Tensor, "b 4 4"]


class VINet(System):
    """The camera's path through a clip, in metres, from images and inertial readings; neither calibration nor a common
    clock is asked for. What is remembered begins anew with each clip."""

    paper = "https://arxiv.org/abs/1701.08376"
    needs = frozenset({"image", "imu", "T_world_camera"})
    reads = frozenset({"image", "imu"})

    def __init__(self, config: Config = PRESETS["paper"]):
        super().__init__()
        c = self.config = config
        cost = partial(correlation_2d, reach=c.reach, stride=c.stride)
        self.pair_net = Matching(cost, (2 * (c.reach // c.stride) + 1) ** 2, c.width)
        visual = self.pair_net.contraction.channels[-1] * math.prod(c.grid)
        self.inertial = nn.LSTM(6, c.inertial, num_layers=2, batch_first=True)
        self.core = nn.LSTM(visual + c.inertial + 7, c.units, num_layers=2, batch_first=True)
        self.twist = nn.Linear(c.units, 6)
        # At first next to no motion, and all features of the images weigh about as much as the few numbers beside them:
        # else a gyro that tells the turn nearly by itself is not heard for thousands of steps.
        nn.init.normal_(self.twist.weight, std=1e-3)
        nn.init.zeros_(self.twist.bias)
        nn.init.uniform_(self.core.all_weights[0][0].data[:, :visual], -visual**-0.5, visual**-0.5)
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros(()))  # of training, with which poses gain weight

    def forward(self, views: Views) -> Motion:
        """The path in the first frame's axes; a single view stands at its origin."""
        image = views.image
        if image.shape[1] == 1:
            return Motion(T_first_camera=torch.eye(4).to(image).expand(len(image), 1, 4, 4))
        poses = self.travel(image, views.imu)[1]
        return Motion(T_first_camera=torch.cat([torch.eye(4).to(poses).expand(len(poses), 1, 4, 4), poses], 1))

    def travel(
        self, image: Float[Tensor, "b n 3 h w"], imu: Float[Tensor, "b n r 6"], state: State | None = None
    ) -> tuple[Float[Tensor, "b m 6"], Float[Tensor, "b m 4 4"], State]:
        """The twist and the pose T_first_this of every frame but the first, and what to carry on. A long sequence may
        come in pieces, each beginning with the last frame of the one before and with its state."""
        seen = self.seen(image)
        if state is None:
            state = State(None, None, torch.eye(4).to(seen).expand(len(image), 4, 4))
        felt, inertial = self.felt(imu[:, 1:], state.inertial)
        core, pose, twists, poses = state.core, state.T_first_this, [], []
        for see, feel in zip(seen.unbind(1), felt.unbind(1), strict=True):
            x = torch.cat([see, feel, pose_vector(pose)], -1)
            remembered, core = self.core(x[:, None], core)
            twists.append(self.twist(remembered[:, 0]))
            pose = pose @ se3_exp(twists[-1])
            poses.append(pose)
        return torch.stack(twists, 1), torch.stack(poses, 1), State(inertial, core, pose)

    def seen(self, image: Float[Tensor, "b n 3 h w"]) -> Float[Tensor, "b m f"]:
        """Features of every pair of neighbours."""
        flat = padded(image.flatten(0, 1) - 0.5).unflatten(0, image.shape[:2])
        features = self.pair_net(flat[:, :-1].flatten(0, 1), flat[:, 1:].flatten(0, 1))[-1]
        return F.adaptive_avg_pool2d(features, self.config.grid).flatten(1).unflatten(0, (len(image), -1))

    def felt(
        self, imu: Float[Tensor, "b m r 6"], memory: Memory | None
    ) -> tuple[Float[Tensor, "b m u"], Memory]:
        """What the inertial LSTM, which takes every reading, says when each frame comes; and its memory."""
        readings = imu / torch.tensor([TURN, TURN, TURN, GRAVITY, GRAVITY, GRAVITY]).to(imu)
        told, memory = self.inertial(readings.flatten(1, 2), memory)
        return told.unflatten(1, imu.shape[1:3])[:, :, -1], memory

    def loss(self, views: Views) -> dict[str, Tensor]:
        """(1 - alpha) of the motions' errors and alpha of the poses', alpha rising from 0 to 1: global poses teach only
        where single motions are about right.

        Raises InputError for single views."""
        if views.image.ndim != 5 or views.image.shape[1] < 2 or views.image.shape[2] != 3:
            raise InputError(f"VINet learns from clips [scenes, views, 3, height, width] of two views at least, "
                             f"not from images {list(views.image.shape)}")
        if self.training:
            self.steps += 1
        twists, poses, _ = self.travel(views.image, views.imu)
        return self.objective(twists, poses, views.T_world_camera)

    def objective(
        self, twists: Float[Tensor, "b m 6"], poses: Float[Tensor, "b m 4 4"], T: Float[Tensor, "b n 4 4"]
    ) -> dict[str, Tensor]:
        """|v - v*| + beta |w - w*| of the twists, and |t - t*| + beta |q - q*| of the poses T_first_this, for the true
        poses T_world_camera of all frames."""
        c, alpha = self.config, (self.steps / max(self.config.ramp, 1)).clamp(max=1)
        truth = se3_log(se3_inverse(T[:, :-1]) @ T[:, 1:])
        whole = se3_inverse(T[:, :1]) @ T[:, 1:]
        v, w = (twists - truth).split(3, -1)
        turned = quaternion_distance(*(rotation_to_quaternion(P[..., :3, :3]) for P in (poses, whole)))
        return {
            "motion_translation": (1 - alpha) * v.norm(dim=-1).mean(),
            "motion_rotation": (1 - alpha) * c.rotation * w.norm(dim=-1).mean(),
            "pose_translation": alpha * (poses - whole)[..., :3, 3].norm(dim=-1).mean(),
            "pose_rotation": alpha * c.rotation * turned.mean(),
        }


def pose_vector(T: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b 7"]:
    """Translation and unit quaternion."""
    return torch.cat([T[:, :3, 3], rotation_to_quaternion(T[:, :3, :3])], -1)
