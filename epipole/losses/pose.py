"""Camera poses against known ones.

PoseNet's loss (Kendall 2015) is |x - x*| + beta `quaternion_distance`; with learned weights (Kendall & Cipolla
2017) it is `weighting.laplace` of the one plus that of the other. Their geometric loss is `reprojection`, with
`pixels` where the true pose sees the points, absolute values summed over u and v: no weight to choose, but it leads
nowhere from far away.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.camera import project, transform


def quaternion_distance(q: Float[Tensor, "*b 4"], truth: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b"]:
    """|q - truth / |truth||, for the nearer of truth and -truth, which are the same rotation. q comes as the network
    gave it, of any length: the loss draws it to unit length (Kendall 2015)."""
    unit = F.normalize(truth, dim=-1)
    nearer = torch.where((q * unit).sum(-1, keepdim=True) < 0, -unit, unit)
    return (q - nearer).norm(dim=-1)


def reprojection(
    points: Float[Tensor, "*b n 3"],
    pixels: Float[Tensor, "*b n 2"],
    T_camera_world: Float[Tensor, "*b 4 4"],
    K: Float[Tensor, "*b 3 3"],
) -> tuple[Float[Tensor, "*b n 2"], Bool[Tensor, "*b n"]]:
    """How far from `pixels` the camera sees the world's points (u, v in px), and which lie in front of it; of the
    others the residual is finite but meaningless."""
    seen, front = project(transform(T_camera_world, points.mT[..., None]), K)
    return seen[..., 0].mT - pixels, front[..., 0, :, 0]
