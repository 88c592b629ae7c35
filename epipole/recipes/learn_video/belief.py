"""Where flow is not believed: what keeps pace with the camera looks infinitely far, and flow and path agree that it is.

Only who knows such things by sight knows better. So the network's start is asked before it learns: where flow puts a
pixel several times as far as that, flow does not teach.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...formats.atomic import whole_folder
from ...geometry.camera import pixel_grid
from ...geometry.motion import se3_inverse
from ...geometry.triangulation import inverse_depth_of_flow
from ...geometry.warp import reproject
from ...types.views import Views
from .cache import Rows, RowWriter
from .correspond import KeyImages
from .predict import KeyDepth
from .solve import Solution

BEYOND = 3.0        # times as far as the start says: its own errors stay below
MISSED = 3.0        # px of the network's grid by which flow must miss where the start says the pixel goes
AGREE = 0.3         # of log depth, by which the start errs
AROUND = 2          # px by which what is not believed grows: flow smears the border of things
MOST = 0.25         # share of a view's flow: a start that doubts more does not know such footage


class Belief:
    """The start's depth of every key frame, kept in a folder; in its own unit."""

    def __init__(self, folder: Path):
        self.depth = Rows(folder / "depth.npy")

    @staticmethod
    def build(folder: Path, keys: KeyImages, depth_of: KeyDepth) -> "Belief":
        """Asked of every key frame; found again if it was kept."""
        w, h = keys.size
        if not folder.exists():
            with whole_folder(folder) as part, RowWriter(part / "depth.npy", (h, w), np.float16) as rows:
                for k in range(len(keys)):
                    rows.append(depth_of(k).depth)
        return Belief(folder)

    def of(self, frames: Int[np.ndarray, "n"]) -> Float[Tensor, "n 1 h w"]:
        """Of these key frames."""
        return torch.from_numpy(self.depth[frames].astype(np.float32))[:, None]

    def unit(self, solution: Solution, seen: Bool[Tensor, "n m"]) -> float:
        """The start's unit in that of the path: the ratio that most anchors agree on within `AGREE`. Those that flow
        puts anywhere are many, but agree on nothing."""
        u, v = solution.pixels.long().T.numpy()
        start = np.stack([self.depth[k][v, u] for k in range(len(self.depth))]).astype(np.float32)
        ratio = solution.scene.inverse_depth * torch.from_numpy(start)
        logs = (-ratio[seen & (ratio > 0)].log()).sort().values
        if not len(logs):
            return 1.0
        count = torch.searchsorted(logs, logs + 2 * AGREE) - torch.arange(len(logs))
        most = int(count.argmax())
        return float(logs[most:most + int(count[most])].median().exp())


def doubted(views: Views, start: Float[Tensor, "n 1 h w"]) -> Views:
    """Two views whose flow, and anchors, teach nothing where they are not believed."""
    T = views.T_world_camera
    believed = flow_believed(views.flow, views.flow_valid, se3_inverse(T.flip(0)) @ T, views.K, start)
    near = views.depth < BEYOND * start
    return Views(**views.fields() | {"flow_valid": believed, "depth_valid": views.depth_valid & near})


def flow_believed(
    flow: Float[Tensor, "n 2 h w"], valid: Bool[Tensor, "n 1 h w"], T_target_source: Float[Tensor, "n 4 4"],
    K: Float[Tensor, "n 3 3"], depth: Float[Tensor, "n 1 h w"],
) -> Bool[Tensor, "n 1 h w"]:
    """Where flow may teach: not where it puts a pixel more than `BEYOND` times as far as `depth` does, and misses by
    more than `MISSED` px where that says the pixel goes."""
    q = inverse_depth_of_flow(flow, T_target_source, K, K)
    pixels, _, front = reproject(depth, T_target_source, K, K)
    missed = (pixels - pixel_grid(flow.shape[-2], flow.shape[-1], flow) - flow).norm(dim=1, keepdim=True)
    beyond = valid & front & (BEYOND * q * depth < 1) & (missed > MISSED)
    share = beyond.sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp(min=1)
    around = F.max_pool2d(beyond.float(), 2 * AROUND + 1, 1, AROUND) > 0
    return valid & ~(around & (share < MOST)[:, None, None, None])
