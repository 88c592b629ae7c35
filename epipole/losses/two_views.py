"""What two views show in truth, as networks that compare views are taught it (Ummenhofer 2017): the baseline is the
unit of length, and flow is a share of the image's size."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.camera import unproject
from ..geometry.motion import se3, so3_exp, so3_log
from ..geometry.normals import map_normals
from ..geometry.share import rigid_share

STATIC = 1e-4  # m, a baseline below which a translation has no direction


class Scene(NamedTuple):
    """What is seen in the first image of each pair, and how the camera moves."""

    rho: Float[Tensor, "b 1 h w"]           # inverse depth
    normals: Float[Tensor, "b 3 h w"]       # outward, camera axes
    rotation: Float[Tensor, "b 3"]          # vector, radians
    translation: Float[Tensor, "b 3"]       # its direction counts

    def motion(self) -> Float[Tensor, "b 4 4"]:
        """T_second_first, with a translation of length 1."""
        return se3(so3_exp(self.rotation), F.normalize(self.translation, dim=1))


class Truth(NamedTuple):
    """The true scene and flow, and where they are known."""

    scene: Scene
    flow: Float[Tensor, "b 2 h w"]          # share of the image's size
    known: Bool[Tensor, "b 1 h w"]          # has depth
    followed: Bool[Tensor, "b 1 h w"]       # has flow
    flat: Bool[Tensor, "b 1 h w"]           # has a normal
    moves: Bool[Tensor, "b 1"]              # has a direction of translation


def true_scene(
    depth: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    T_second_first: Float[Tensor, "b 4 4"],
    K: Float[Tensor, "b 3 3"],
) -> Truth:
    """The truth of pairs seen by one camera; depth that is not valid may be NaN. Without a baseline the inverse depth
    is 0 and the flow that of the rotation."""
    t, depth = T_second_first[:, :3, 3], torch.where(valid, depth, 1)
    baseline = t.norm(dim=1)
    flow, seen = rigid_share(depth, T_second_first, K, K)
    normals, flat = map_normals(unproject(depth, K), valid)
    scene = Scene(baseline[:, None, None, None] / depth, normals, so3_log(T_second_first[:, :3, :3]), F.normalize(t))
    return Truth(scene, flow, valid, valid & seen, flat, baseline[:, None] > STATIC)
